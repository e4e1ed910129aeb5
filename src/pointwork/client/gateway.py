"""Tasks through the gateway: no Temporal, no ledger and no vault on this side, only a key.

A client talks to the one address that it is given: no proxy of the environment, no redirect. The
prompt leaves this process for there, so beyond loopback the address should be an ``https`` one.
"""

import asyncio
import contextlib
import time
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2

from pointwork.client.gateway_replies import Reply, TaskProgress
from pointwork.client.gateway_steps import (
    CONNECT_SECONDS,
    Call,
    GatewayAddress,
    GatewaySteps,
    NoReply,
    Pause,
    Steps,
)
from pointwork.contract.decision import DecisionRecord
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.prompt import Answer, AnswerSchema, Prompt
from pointwork.contract.task import TaskDeclaration

RETRY_SECONDS = 30.0
"""How long a gateway that does not answer is asked again: longer than one takes to restart."""

T = TypeVar("T")

_BEFORE_SENDING = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
"""How many tasks a program waits for at a time is its own to say, and the gateway's."""


class GatewayClient:
    """Asynchronous. For one event loop; any number of tasks at a time.

    ``declaration.task_id`` is the idempotency key: the same with the same request is the same task,
    for ever and from any replica, so every request here is safe to repeat. The id under which the
    task is then known is another, which ``submit`` returns and an outcome carries; keys are each
    account's own. ``declaration.caller`` is the key's account, or a group of it whose budget pays.

    A request is repeated after a lost connection, a 429, or a gateway that is away (502, 503, 504),
    as ``Retry-After`` says and for at most ``retry_seconds`` without an answer. The task goes on
    meanwhile: another replica, or the same one restarted, answers for it.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retry_seconds: float = RETRY_SECONDS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        """``transport`` brings a certificate authority of one's own, or a proxy.

        Raises:
            ValueError: ``base_url`` is no address, or ``api_key`` no key.
        """
        address = GatewayAddress.of(base_url, api_key)
        self._steps = GatewaySteps(address.url, retry_seconds)
        self._http = httpx2.AsyncClient(
            base_url=address.url,
            headers=address.headers,
            transport=transport,
            limits=_LIMITS,
            follow_redirects=False,
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def submit(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> str:
        """Start a task and return its id at once. The same task twice starts it once.

        Raises:
            TaskIdReusedError: ``declaration.task_id`` was used for another request.
            TaskRefusedError: a fact or the content is not accepted; nothing was started.
            AccessRefusedError: the key opens nothing, or its account may not do this.
            ServiceUnavailableError: the gateway, or Temporal behind it, does not answer. Whether
                the task was started is not known; the same call again is safe.
        """
        return await self._do(self._steps.submit(prompt, declaration, schema))

    async def run(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None = None,
        *,
        wait_seconds: float | None = None,
        for_person: bool = False,
    ) -> TaskOutcome:
        """Start a task and wait until its outcome is recorded.

        It returns answered tasks and nothing else; every other end is an exception. Where a person
        must decide first it does not wait for days: it raises what is asked of them, unless
        ``for_person`` says to wait on. Given up or cancelled, it leaves the task running.

        Args:
            wait_seconds: the longest to wait, whatever the gateway does, and at most a second more
                for each last request; None waits as long as the task takes.

        Raises:
            TaskFailedError: the task ended without an answer; ``failure`` and ``reason`` say why.
            ApprovalPendingError: a person must decide; ``approval`` is what they are asked.
            TimeoutError: no answer within ``wait_seconds``; the task goes on, fetch it by its id.
                Its cause is what the gateway last failed with, if it did.
            TaskIdReusedError, TaskRefusedError, AccessRefusedError, ServiceUnavailableError: as
                for ``submit``; the last too where the wait ends and nothing can have been started.
        """
        running = self._steps.run(prompt, declaration, schema, wait_seconds, for_person=for_person)
        return await self._do(running)

    async def result(self, task_id: str, *, wait_seconds: float | None = None) -> TaskOutcome:
        """Wait for the recorded outcome of a task, running or long closed, and for any person.

        Raises:
            TaskFailedError: the task ended without an answer.
            TaskNotFoundError: no task with this id is the account's to see.
            TimeoutError: no answer within ``wait_seconds``, as for ``run``.
            ServiceUnavailableError: as for ``submit``; only while the wait is not over.
        """
        return await self._do(self._steps.result(task_id, wait_seconds))

    async def outcome(self, task_id: str) -> TaskOutcome | None:
        """The recorded outcome, whatever it is; None while the task runs."""
        return await self._do(self._steps.outcome(task_id))

    async def status(self, task_id: str) -> TaskProgress:
        """Where a task stands or how it ended, and what a person is asked about it.

        Raises:
            TaskNotFoundError: no task with this id is the account's to see.
        """
        return await self._do(self._steps.status(task_id))

    async def decision(self, task_id: str) -> DecisionRecord | None:
        """The latest decision with all it read; None before the first.

        Raises:
            TaskNotFoundError: no task with this id is the account's to see.
        """
        return await self._do(self._steps.decision(task_id))

    async def cancel(self, task_id: str) -> None:
        """Ask a running task to stop; its hold is settled and its outcome recorded all the same.

        One that was cancelled stays as it is.

        Raises:
            TaskRefusedError: it has ended in another way, which the text names.
            TaskNotFoundError: no task with this id is the account's.
        """
        await self._do(self._steps.cancel(task_id))

    async def answer(self, outcome: TaskOutcome) -> Answer:
        """The whole answer, its calls of tools included.

        Raises:
            TaskFailedError: CONTENT_UNAVAILABLE: it was erased or is damaged.
            ValueError: the outcome has no answer.
        """
        return await self._do(self._steps.answer(outcome))

    async def answer_text(self, outcome: TaskOutcome) -> str:
        """The answer's text alone, empty where the model only calls tools; raises as ``answer``."""
        return await self._do(self._steps.answer_text(outcome))

    async def _do(self, steps: Steps[T]) -> T:
        with contextlib.closing(steps):
            came: Reply | NoReply | None = None
            while True:
                try:
                    step = steps.send(came)
                except StopIteration as done:
                    result: T = done.value
                    return result
                came = None
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                else:
                    came = await self._reply(step)

    async def _reply(self, call: Call) -> Reply | NoReply:
        try:
            return _read(await self._http.request(**_request(call)))
        except httpx2.RequestError as error:
            return _no_reply(error)


class SyncGatewayClient:
    """The same with calls that block: every method is as ``GatewayClient``'s, with its errors.

    Safe to use from several threads. Ctrl-C lets go of a wait, and the task goes on.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retry_seconds: float = RETRY_SECONDS,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        address = GatewayAddress.of(base_url, api_key)
        self._steps = GatewaySteps(address.url, retry_seconds)
        self._http = httpx2.Client(
            base_url=address.url,
            headers=address.headers,
            transport=transport,
            limits=_LIMITS,
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def submit(
        self, prompt: Prompt, declaration: TaskDeclaration, schema: AnswerSchema | None = None
    ) -> str:
        return self._do(self._steps.submit(prompt, declaration, schema))

    def run(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None = None,
        *,
        wait_seconds: float | None = None,
        for_person: bool = False,
    ) -> TaskOutcome:
        running = self._steps.run(prompt, declaration, schema, wait_seconds, for_person=for_person)
        return self._do(running)

    def result(self, task_id: str, *, wait_seconds: float | None = None) -> TaskOutcome:
        return self._do(self._steps.result(task_id, wait_seconds))

    def outcome(self, task_id: str) -> TaskOutcome | None:
        return self._do(self._steps.outcome(task_id))

    def status(self, task_id: str) -> TaskProgress:
        return self._do(self._steps.status(task_id))

    def decision(self, task_id: str) -> DecisionRecord | None:
        return self._do(self._steps.decision(task_id))

    def cancel(self, task_id: str) -> None:
        self._do(self._steps.cancel(task_id))

    def answer(self, outcome: TaskOutcome) -> Answer:
        return self._do(self._steps.answer(outcome))

    def answer_text(self, outcome: TaskOutcome) -> str:
        return self._do(self._steps.answer_text(outcome))

    def _do(self, steps: Steps[T]) -> T:
        with contextlib.closing(steps):
            came: Reply | NoReply | None = None
            while True:
                try:
                    step = steps.send(came)
                except StopIteration as done:
                    result: T = done.value
                    return result
                came = None
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                else:
                    came = self._reply(step)

    def _reply(self, call: Call) -> Reply | NoReply:
        try:
            return _read(self._http.request(**_request(call)))
        except httpx2.RequestError as error:
            return _no_reply(error)


def _request(call: Call) -> dict[str, Any]:
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.query),
        "content": call.body,
        "headers": {"content-type": "application/json"} if call.body is not None else {},
        "timeout": httpx2.Timeout(
            call.read_seconds, connect=min(CONNECT_SECONDS, call.read_seconds)
        ),
    }


def _read(response: httpx2.Response) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content)


def _no_reply(error: httpx2.RequestError) -> NoReply:
    return NoReply(not isinstance(error, _BEFORE_SENDING), type(error).__name__)
