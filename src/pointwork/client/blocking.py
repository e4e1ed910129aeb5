"""``PointworkClient`` for programs without an event loop: a loop of its own, in its own thread."""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from pointwork.client.direct import PointworkClient
from pointwork.contract.approval import SignedVerdict
from pointwork.contract.decision import DecisionRecord, Plan
from pointwork.contract.outcome import TaskOutcome, TaskView
from pointwork.contract.prompt import Answer, AnswerSchema, Prompt
from pointwork.contract.task import TaskDeclaration, TaskRequest
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import Vault
from pointwork.privacy.codec import EncryptingCodec

T = TypeVar("T")


class _LoopThread:
    """Runs coroutines for other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pointwork-client", daemon=True
        )
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """What ``work`` returns or raises. A thread that is interrupted meanwhile lets go of it."""
        with self._lock:
            if self._is_closed:
                work.close()
                msg = "the client is closed; connect another"
                raise RuntimeError(msg)
            waited = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waited.result()
        finally:
            waited.cancel()

    def close(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        asyncio.run_coroutine_threadsafe(self._let_go(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _let_go(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._loop.shutdown_default_executor()


class SyncPointworkClient:
    """Tasks straight on Temporal, by calls that block. Safe to use from several threads.

    Ctrl-C lets go of a wait and the task goes on; fetch it by its id. In an event loop it works
    too, and blocks that loop while it waits: use ``PointworkClient`` there. Close it, or use it as
    a context manager.
    """

    def __init__(self, loop: _LoopThread, client: PointworkClient) -> None:
        self._loop = loop
        self._client = client

    @classmethod
    def connect(
        cls,
        address: str,
        vault: Vault,
        outcomes: OutcomeLog,
        *,
        namespace: str = "default",
        codec: EncryptingCodec | None = None,
    ) -> Self:
        """As ``PointworkClient.connect``.

        Raises:
            ServiceUnavailableError: nothing answers there.
        """
        loop = _LoopThread()
        try:
            client = loop.call(
                PointworkClient.connect(address, vault, outcomes, namespace=namespace, codec=codec)
            )
        except BaseException:
            loop.close()
            raise
        return cls(loop, client)

    def close(self) -> None:
        """Let go of every wait; the tasks go on. Twice does no harm."""
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def is_served(self) -> bool:
        return self._loop.call(self._client.is_served())

    def submit(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> str:
        """As ``PointworkClient.submit``; so for every method, with its errors."""
        return self._loop.call(self._client.submit(prompt, declaration, schema))

    def run(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None = None,
        *,
        wait_seconds: float | None = None,
    ) -> TaskOutcome:
        running = self._client.run(prompt, declaration, schema, wait_seconds=wait_seconds)
        return self._loop.call(running)

    def seal(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> TaskRequest:
        return self._loop.call(self._client.seal(prompt, declaration, schema))

    def result(self, task_id: str) -> TaskOutcome:
        return self._loop.call(self._client.result(task_id))

    def outcome(self, task_id: str) -> TaskOutcome | None:
        return self._loop.call(self._client.outcome(task_id))

    def status(self, task_id: str) -> TaskView:
        return self._loop.call(self._client.status(task_id))

    def plan(self, task_id: str) -> Plan | None:
        return self._loop.call(self._client.plan(task_id))

    def decision(self, task_id: str) -> DecisionRecord | None:
        return self._loop.call(self._client.decision(task_id))

    def cancel(self, task_id: str) -> None:
        self._loop.call(self._client.cancel(task_id))

    def submit_verdict(self, signed: SignedVerdict) -> None:
        self._loop.call(self._client.submit_verdict(signed))

    def answer(self, outcome: TaskOutcome) -> Answer:
        return self._client.answer(outcome)

    def answer_text(self, outcome: TaskOutcome) -> str:
        return self._client.answer_text(outcome)
