"""What the gateway answers, read into the contract's own messages and errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ValidationError

from pointwork.contract.branches import Letter
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import (
    FailureType,
    PointworkError,
    ServiceUnavailableError,
    TaskFailedError,
    TaskIdReusedError,
    TaskNotFoundError,
    TaskRefusedError,
)
from pointwork.contract.money import NanoUsd
from pointwork.contract.outcome import TaskOutcome, TaskView
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Message, Name, TaskId

UNAVAILABLE = frozenset({429, 502, 503, 504})
"""Statuses of a gateway, or of what stands before it, that cannot answer just now."""
_REFUSED = frozenset({401, 403})

M = TypeVar("M", bound=BaseModel)


class PendingApproval(Message):
    """What a person is asked about a task; ``pointwork inbox`` and the console show the rest."""

    approval_id: str
    task_id: TaskId
    requester: Name
    asks_for: GrantKind
    reason: ReasonCode
    ceiling_nano_usd: NanoUsd
    request_sha256: str
    policy_sha256: str
    approvers_min: int
    opened_at: AwareDatetime
    expires_at: AwareDatetime
    letters: tuple[Letter, ...] = ()
    """The answers to choose from, where that is what is asked."""


class TaskProgress(TaskView):
    """Where a task stands, and what a person is asked about it."""

    approval: PendingApproval | None = None


class ApprovalPendingError(PointworkError):
    """A person must decide before the task can go on; it waits for them, whoever waits for it."""

    def __init__(self, approval: PendingApproval) -> None:
        super().__init__(
            f"{approval.task_id}: waits for a person ({approval.asks_for}: {approval.reason}) "
            f"until {approval.expires_at:%Y-%m-%d %H:%M} UTC; fetch it by its id when they decided"
        )
        self.approval = approval
        self.task_id = approval.task_id


class AccessRefusedError(TaskRefusedError):
    """The key opens nothing, or its account may not do this."""


@dataclass(frozen=True)
class Reply:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes


@dataclass(frozen=True)
class _Problem:
    """An error body, in either of the forms that the gateway has."""

    code: str = ""
    detail: str = ""
    task_id: str = ""

    @classmethod
    def of(cls, reply: Reply) -> "_Problem":
        try:
            body = json.loads(reply.body)
        except ValueError:
            return cls()
        if not isinstance(body, dict):
            return cls()
        error = body.get("error")
        if isinstance(error, dict):
            code, detail, more = error.get("code"), error.get("message"), body.get("pointwork")
        else:
            code = str(body.get("type", "")).removeprefix("urn:pointwork:problem:")
            detail, more = body.get("detail"), body
        task_id = more.get("task_id", "") if isinstance(more, dict) else ""
        return cls(str(code or ""), str(detail or ""), str(task_id))


def error_of(reply: Reply, url: str) -> PointworkError:
    """The library's error that a status of 400 or more stands for."""
    problem = _Problem.of(reply)
    detail = problem.detail or f"{url} answered HTTP {reply.status}"
    match problem.code:
        case code if code in set(FailureType):
            return TaskFailedError(FailureType(code), detail, problem.task_id)
        case "idempotency_key_reused":
            return TaskIdReusedError(detail)
        case "task_not_found":
            return TaskNotFoundError(detail)
    if reply.status in _REFUSED:
        return AccessRefusedError(detail)
    if not problem.code:
        return ServiceUnavailableError(
            f"{detail}, which is not a Pointwork gateway's answer; check base_url and that the "
            "gateway runs"
        )
    if reply.status in UNAVAILABLE:
        return ServiceUnavailableError(f"{detail}; try again later, the task id stays valid")
    if reply.status >= 500:
        return ServiceUnavailableError(f"{detail}; see the gateway's log")
    return TaskRefusedError(detail)


def body_of(reply: Reply, url: str) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        PointworkError: the gateway refused, or something else answers there.
    """
    if reply.status >= 400:
        raise error_of(reply, url)
    try:
        body = json.loads(reply.body) if reply.status in (200, 202) else None
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ServiceUnavailableError(
            f"{url} answered HTTP {reply.status} with no JSON object, which is not a Pointwork "
            "gateway's answer; check base_url"
        )
    return body


def message_of(kind: type[M], body: Mapping[str, Any], url: str) -> M:
    """A message of the contract. Fields that only a newer gateway knows are passed over.

    Raises:
        ServiceUnavailableError: the body is of another version of the contract.
    """
    try:
        return kind.model_validate_json(json.dumps(body), extra="ignore")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise ServiceUnavailableError(
            f"{url} speaks another version of Pointwork: {kind.__name__}.{place}: {first['msg']}; "
            "install the gateway's version here"
        ) from None


def progress_of(outcome: TaskOutcome) -> TaskProgress:
    """An ended task, as where it stands."""
    return TaskProgress(
        task_id=outcome.task_id,
        status=outcome.status,
        model=outcome.served_model,
        attempt=len(outcome.attempts),
        estimate_nano_usd=outcome.estimate_nano_usd,
        cost_nano_usd=outcome.cost_nano_usd,
        started_at=outcome.started_at,
    )
