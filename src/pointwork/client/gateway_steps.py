"""What is asked of the gateway and in which order, without doing any I/O.

Each operation is a generator: it yields a call to make or a pause to keep, is sent what came of
it, and returns the result. Whoever drives it brings the HTTP client, asynchronous or not.
"""

import json
import math
import random
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from pointwork.client.gateway_replies import (
    UNAVAILABLE,
    ApprovalPendingError,
    Reply,
    TaskProgress,
    body_of,
    error_of,
    message_of,
    progress_of,
)
from pointwork.contract.decision import DecisionRecord
from pointwork.contract.failures import (
    FailureType,
    ServiceUnavailableError,
    TaskFailedError,
    TaskNotFoundError,
    TaskRefusedError,
)
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Answer, AnswerSchema, Prompt
from pointwork.contract.task import TASK_ID_PATTERN, TaskDeclaration

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
HELD_SECONDS = 45
"""How long one request waits for a task: less than what proxies give up after."""
LAST_READ_SECONDS = 1.0
"""What a request may take beyond the caller's wait: a wait of nothing still asks, and the gateway
may say at the end of a held one how the task ended."""
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.1, 2.0
_SENDABLE = re.compile(r"[\x21-\x7e]+")

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """One HTTP request. Each does no harm a second time: nobody knows what became of a lost one."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    read_seconds: float = READ_SECONDS


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class NoReply:
    """The connection failed, before anything was sent or after."""

    was_sent: bool
    cause: str
    """The name of the HTTP client's error; its text may quote what was sent."""


Steps = Generator[Call | Pause, Reply | NoReply | None, T]


@dataclass(frozen=True)
class GatewayAddress:
    """Where the gateway is, and the key to it."""

    url: str
    api_key: str = field(repr=False)

    @classmethod
    def of(cls, base_url: str, api_key: str) -> "GatewayAddress":
        """``base_url`` may end in ``/v1``, as OpenAI's clients want it.

        Raises:
            ValueError: it is no address, or the key cannot be sent.
        """
        url = base_url.strip().rstrip("/").removesuffix("/v1")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            shown = base_url.rpartition("@")[2]
            msg = f"base_url: {shown!r} is no address; give one such as http://127.0.0.1:8780"
            raise ValueError(msg)
        key = api_key.strip()
        if not _SENDABLE.fullmatch(key):
            msg = "api_key is empty or no key; give the line that `pointwork access create` printed"
            raise ValueError(msg)
        return cls(url, key)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.api_key}"}


class _CrowdedError(Exception):
    """The account has as many waits open as it may; looks that do not wait are not counted."""


class _WaitOverError(Exception):
    """No answer until the caller's wait was over, and the task may run; the cause says why."""


class GatewaySteps:
    """The operations of both clients. A task's id is what ``submit`` returned."""

    def __init__(
        self, url: str, retry_seconds: float, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._retry_seconds = retry_seconds
        self._now = now

    def submit(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None,
        give_up_at: float = math.inf,
    ) -> Steps[str]:
        sent: dict[str, Any] = {
            # Whole, so that a field's default is the contract's and not the gateway's own.
            "task": declaration.model_dump(mode="json"),
            "prompt": prompt.model_dump(mode="json"),
        }
        if schema is not None:
            sent["answer_schema"] = schema
        call = Call("POST", "/v1/tasks", body=_encoded(sent))
        try:
            accepted = yield from self._asked(call, give_up_at, may_run=False)
        except _WaitOverError as over:
            msg = (
                f"{declaration.task_id}: no answer within wait_seconds; the task may have been "
                "started and goes on then, and the same call finds it"
            )
            raise TimeoutError(msg) from over.__cause__
        return str(accepted["id"])

    def run(
        self,
        prompt: Prompt,
        declaration: TaskDeclaration,
        schema: AnswerSchema | None,
        wait_seconds: float | None,
        *,
        for_person: bool,
    ) -> Steps[TaskOutcome]:
        give_up_at = self._give_up_at(wait_seconds)
        task_id = yield from self.submit(prompt, declaration, schema, give_up_at)
        return (yield from self._waited(task_id, give_up_at, for_person=for_person))

    def result(self, task_id: str, wait_seconds: float | None) -> Steps[TaskOutcome]:
        return (yield from self._waited(task_id, self._give_up_at(wait_seconds), for_person=True))

    def outcome(self, task_id: str) -> Steps[TaskOutcome | None]:
        found = yield from self._task(task_id)
        return found if isinstance(found, TaskOutcome) else None

    def status(self, task_id: str) -> Steps[TaskProgress]:
        found = yield from self._task(task_id)
        return progress_of(found) if isinstance(found, TaskOutcome) else found

    def decision(self, task_id: str) -> Steps[DecisionRecord | None]:
        body = yield from self._asked(Call("GET", f"{_path(task_id)}/decision"))
        found = body.get("decision")
        return message_of(DecisionRecord, found, self._url) if found is not None else None

    def cancel(self, task_id: str) -> Steps[None]:
        yield from self._asked(Call("POST", f"{_path(task_id)}/cancel"))

    def answer(self, outcome: TaskOutcome) -> Steps[Answer]:
        if outcome.answer is None:
            msg = f"task {outcome.task_id} ended {outcome.status} and has no answer"
            raise ValueError(msg)
        body = yield from self._asked(Call("GET", f"{_path(outcome.task_id)}/answer"))
        return message_of(Answer, body, self._url)

    def answer_text(self, outcome: TaskOutcome) -> Steps[str]:
        return (yield from self.answer(outcome)).text

    def _waited(self, task_id: str, give_up_at: float, *, for_person: bool) -> Steps[TaskOutcome]:
        """The outcome of a task that succeeded; one request after another holds for it."""
        msg = f"{task_id}: no answer within wait_seconds; the task goes on, fetch it by its id"
        while True:
            try:
                found = yield from self._held(task_id, give_up_at, for_person=for_person)
            except _WaitOverError as over:
                raise TimeoutError(msg) from over.__cause__
            if isinstance(found, TaskOutcome):
                return _succeeded(found)
            if found.approval is not None and not for_person:
                raise ApprovalPendingError(found.approval)
            if self._now() >= give_up_at:
                raise TimeoutError(msg)

    def _held(
        self, task_id: str, give_up_at: float, *, for_person: bool
    ) -> Steps[TaskOutcome | TaskProgress]:
        seconds = max(0.0, min(give_up_at - self._now(), HELD_SECONDS))
        try:
            return (yield from self._task(task_id, seconds, give_up_at, for_person=for_person))
        except _CrowdedError:
            yield Pause(min(seconds, PAUSE_SECONDS_MAX))
            return (yield from self._task(task_id, give_up_at=give_up_at))

    def _task(
        self,
        task_id: str,
        held_seconds: float = 0.0,
        give_up_at: float = math.inf,
        *,
        for_person: bool = False,
    ) -> Steps[TaskOutcome | TaskProgress]:
        query = {"wait_seconds": f"{held_seconds:.3f}"} if held_seconds else {}
        if held_seconds and for_person:
            query["for_person"] = "true"
        read_seconds = READ_SECONDS + held_seconds
        call = Call("GET", _path(task_id), query, read_seconds=read_seconds)
        body = yield from self._asked(call, give_up_at)
        if body.get("is_final"):
            return message_of(TaskOutcome, body, self._url)
        return message_of(TaskProgress, body, self._url)

    def _asked(
        self, call: Call, give_up_at: float = math.inf, *, may_run: bool = True
    ) -> Steps[dict[str, Any]]:
        """The body of the answer; a gateway that cannot answer is asked again for a while.

        Args:
            give_up_at: when the caller's wait is over, by the monotonic clock, in seconds.
            may_run: the task may run already, whatever becomes of the call.

        Raises:
            PointworkError: it refused, or gave no answer in that time.
            _CrowdedError: the call would wait, and too many do.
            _WaitOverError: the caller's wait was over first, and the task may run.
        """
        retry_until = math.inf
        pause = PAUSE_SECONDS_MIN
        while True:
            left = max(0.0, give_up_at - self._now())
            got = yield replace(call, read_seconds=min(call.read_seconds, left + LAST_READ_SECONDS))
            assert got is not None
            if isinstance(got, Reply) and got.status not in UNAVAILABLE:
                return body_of(got, self._url)
            if isinstance(got, Reply) and got.status == 429 and "wait_seconds" in call.query:
                raise _CrowdedError
            may_run = may_run or _may_have_started(got)
            now = self._now()
            retry_until = min(retry_until, now + self._retry_seconds)
            seconds = max(pause * random.uniform(0.5, 1.0), _retry_after(got))
            if now + seconds > min(retry_until, give_up_at):
                break
            yield Pause(seconds)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
        error = self._no_reply(got) if isinstance(got, NoReply) else error_of(got, self._url)
        is_over = give_up_at <= max(now, retry_until)
        if is_over and may_run and isinstance(error, ServiceUnavailableError):
            # To the end, so that who waits again and again does not ask without a pause.
            yield Pause(max(0.0, give_up_at - now))
            raise _WaitOverError from error
        raise error

    def _give_up_at(self, wait_seconds: float | None) -> float:
        return math.inf if wait_seconds is None else self._now() + wait_seconds

    def _no_reply(self, got: NoReply) -> ServiceUnavailableError:
        what = "hung up" if got.was_sent else "does not answer"
        return ServiceUnavailableError(
            f"the gateway {what} at {self._url} ({got.cause}); start it with `pointwork up`, or "
            "check base_url; a task that was submitted goes on, and the same id finds it"
        )


def _encoded(sent: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(sent, separators=(",", ":"), ensure_ascii=False).encode()
    except (UnicodeEncodeError, TypeError, ValueError) as error:
        # Not shown with its text, which quotes the content.
        raise TaskRefusedError(
            f"the prompt or answer_schema cannot be written as JSON ({type(error).__name__}); "
            "remove what is no text, such as half of a surrogate pair"
        ) from None


def _may_have_started(got: Reply | NoReply) -> bool:
    """Whether a task whose submission met this may run: something else than the limit saw it."""
    return got.was_sent if isinstance(got, NoReply) else got.status != 429


def _retry_after(got: Reply | NoReply) -> float:
    said = got.headers.get("retry-after", "") if isinstance(got, Reply) else ""
    return float(said) if said.isascii() and said.isdigit() else 0.0


def _succeeded(outcome: TaskOutcome) -> TaskOutcome:
    if outcome.status is not TaskStatus.SUCCEEDED:
        failure = outcome.failure or FailureType.INTERNAL
        raise TaskFailedError(failure, outcome.reason or outcome.status, outcome.task_id)
    return outcome


def _path(task_id: str) -> str:
    if not re.fullmatch(TASK_ID_PATTERN, task_id):
        raise TaskNotFoundError(f"no task {task_id[:64]!r}; give the id that `submit` returned")
    return f"/v1/tasks/{quote(task_id, safe='')}"
