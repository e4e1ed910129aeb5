"""A request of either of OpenAI's APIs: from its prompt to what is sent back, or streamed."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from pointwork.contract.failures import PointworkError
from pointwork.contract.outcome import TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer, AnswerSchema, Prompt
from pointwork.gateway.answering import Answering, StillRuns, accepted
from pointwork.gateway.declaring import Declared
from pointwork.gateway.openai.completion import served_tokens
from pointwork.gateway.problems import ProblemError, openai_error, problem_of

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

_PROMPT_SECONDS = 2.0
"""How long a streamed request waits for an early end, which then has a status of its own."""
_BEAT_SECONDS = 10.0
"""A comment every so often keeps what stands between us and the client from giving up."""


class Wire(ABC):
    """How one API writes a stream: each method yields server-sent events, ready to be sent."""

    @abstractmethod
    def opened(self) -> Iterator[str]: ...

    @abstractmethod
    def text(self, piece: str) -> Iterator[str]: ...

    @abstractmethod
    def closed(self, outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> Iterator[str]: ...

    @abstractmethod
    def failed(self, error: dict[str, Any]) -> Iterator[str]: ...


class Question:
    """A task that is asked over HTTP. It goes on whatever happens to the request."""

    def __init__(
        self, gateway: "Gateway", prompt: Prompt, schema: AnswerSchema | None, declared: Declared
    ) -> None:
        self._gateway = gateway
        self._prompt = prompt
        self._schema = schema
        self._declaration = declared.declaration
        self._person_seconds = declared.wait_seconds

    @property
    def task_id(self) -> str:
        return self._declaration.task_id

    async def result(self) -> TaskOutcome | StillRuns:
        answering = Answering(self._gateway.client, self._gateway.approvals)
        return await answering.run(
            self._prompt,
            self._declaration,
            self._schema,
            open_seconds=self._gateway.options.wait.total_seconds(),
            person_seconds=self._person_seconds,
        )

    async def answer(self, outcome: TaskOutcome) -> tuple[Answer, TokenUsage]:
        """The answer as the vault has it, and the tokens of its call as the ledger has them."""

        def opened() -> tuple[Answer, TokenUsage]:
            answer = self._gateway.client.answer(outcome)
            attempts = self._gateway.outcomes.attempts(outcome.task_id)
            return answer, served_tokens(outcome, attempts)

        return await asyncio.to_thread(opened)

    async def streamed(self, holder: str, wire: Wire) -> Response:
        """Server-sent events; an end that comes at once has a status instead."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._gateway.calls.one(holder))
            running = asyncio.create_task(self.result())
            stack.callback(running.cancel)
            await asyncio.wait({running}, timeout=_PROMPT_SECONDS)
            if running.done() and isinstance(found := running.result(), StillRuns):
                return accepted(found)
            held = stack.pop_all()

        async def events() -> AsyncIterator[str]:
            async with held:
                async for each in self._events(running, wire):
                    yield each

        links = {"pointwork-task-id": self.task_id, "cache-control": "no-cache"}
        return StreamingResponse(events(), media_type="text/event-stream", headers=links)

    async def _events(
        self, running: "asyncio.Task[TaskOutcome | StillRuns]", wire: Wire
    ) -> AsyncIterator[str]:
        yield f": task {self.task_id}\n\n"
        for event in wire.opened():
            yield event
        while not running.done():
            await asyncio.wait({running}, timeout=_BEAT_SECONDS)
            if not running.done():
                yield ": still at work\n\n"
        try:
            outcome = _answered(running.result())
            answer, tokens = await self.answer(outcome)
        except PointworkError as error:
            ended = wire.failed(openai_error(problem_of(error)))
        except ProblemError as problem:
            ended = wire.failed(openai_error(problem))
        else:
            for event in wire.text(answer.text) if answer.text else ():
                yield event
            ended = wire.closed(outcome, answer, tokens)
        for event in ended:
            yield event


def _answered(found: TaskOutcome | StillRuns) -> TaskOutcome:
    if isinstance(found, StillRuns):
        raise ProblemError(202, "waiting", "the task goes on; fetch it by its id", more=found.body)
    return found
