"""Both clients behind the asynchronous one's methods, so that each test holds for both."""

import asyncio
from typing import Protocol

from pointwork.client import SyncGatewayClient, TaskProgress
from pointwork.contract.decision import DecisionRecord
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.prompt import Answer, AnswerSchema, Prompt
from pointwork.contract.task import TaskDeclaration


class Asked(Protocol):
    """What the tests ask."""

    async def submit(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> str: ...

    async def run(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None = None,
        *,
        wait_seconds: float | None = None,
        for_person: bool = False,
    ) -> TaskOutcome: ...

    async def result(self, task_id: str, *, wait_seconds: float | None = None) -> TaskOutcome: ...

    async def outcome(self, task_id: str) -> TaskOutcome | None: ...

    async def status(self, task_id: str) -> TaskProgress: ...

    async def decision(self, task_id: str) -> DecisionRecord | None: ...

    async def cancel(self, task_id: str) -> None: ...

    async def answer(self, outcome: TaskOutcome) -> Answer: ...

    async def answer_text(self, outcome: TaskOutcome) -> str: ...


class Blocking:
    """The synchronous client, each call in a thread."""

    def __init__(self, client: SyncGatewayClient) -> None:
        self._client = client

    async def submit(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> str:
        return await asyncio.to_thread(self._client.submit, prompt, declaration, schema)

    async def run(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None = None,
        *,
        wait_seconds: float | None = None,
        for_person: bool = False,
    ) -> TaskOutcome:
        return await asyncio.to_thread(
            self._client.run,
            prompt,
            declaration,
            schema,
            wait_seconds=wait_seconds,
            for_person=for_person,
        )

    async def result(self, task_id: str, *, wait_seconds: float | None = None) -> TaskOutcome:
        return await asyncio.to_thread(self._client.result, task_id, wait_seconds=wait_seconds)

    async def outcome(self, task_id: str) -> TaskOutcome | None:
        return await asyncio.to_thread(self._client.outcome, task_id)

    async def status(self, task_id: str) -> TaskProgress:
        return await asyncio.to_thread(self._client.status, task_id)

    async def decision(self, task_id: str) -> DecisionRecord | None:
        return await asyncio.to_thread(self._client.decision, task_id)

    async def cancel(self, task_id: str) -> None:
        await asyncio.to_thread(self._client.cancel, task_id)

    async def answer(self, outcome: TaskOutcome) -> Answer:
        return await asyncio.to_thread(self._client.answer, outcome)

    async def answer_text(self, outcome: TaskOutcome) -> str:
        return await asyncio.to_thread(self._client.answer_text, outcome)
