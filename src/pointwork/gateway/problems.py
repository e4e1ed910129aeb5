"""What a caller is told when a request is not served: one status for each fact, on every surface.

The OpenAI surface wraps it as its clients expect; the others answer with problem details
(RFC 9457). No text of a prompt or an answer stands in either.
"""

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from pointwork.contract.failures import (
    FailureType,
    PointworkError,
    ServiceUnavailableError,
    TaskFailedError,
    TaskIdReusedError,
    TaskNotFoundError,
    TaskRefusedError,
)
from pointwork.contract.reasons import ReasonCode
from pointwork.ledger.vault import ContentUnavailableError

_CLASS_REMEDY = "Declare one: `pointwork-class`, or the model name PACK/CLASS."

PROBLEM_TYPE = "application/problem+json"

FAILURE_STATUS: dict[FailureType, int] = {
    FailureType.POLICY_DENIED: 403,
    # Not 429: clients repeat that at once, and a budget does not refill in seconds.
    FailureType.BUDGET_EXCEEDED: 402,
    FailureType.APPROVAL_REJECTED: 403,
    FailureType.APPROVAL_EXPIRED: 403,
    FailureType.PROVIDERS_EXHAUSTED: 502,
    FailureType.VERIFICATION_FAILED: 502,
    FailureType.REDACTION_FAILED: 500,
    FailureType.DEADLINE_EXCEEDED: 504,
    FailureType.CONTENT_UNAVAILABLE: 410,
    FailureType.INTERNAL: 500,
}


@dataclass(eq=False)
class ProblemError(Exception):
    """A request that is not served. ``detail`` names the field, the value and the remedy."""

    status: int
    code: str
    detail: str
    param: str | None = None
    """The field of the request that is at fault."""
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Members beside the standard ones, such as the task's id."""


def bad_request(code: str, detail: str, param: str | None = None) -> ProblemError:
    return ProblemError(400, code, detail, param)


def too_many(detail: str, seconds: float) -> ProblemError:
    """More than the caller may send; ``seconds`` until it may send again."""
    return ProblemError(
        429, "rate_limited", detail, headers={"retry-after": str(max(1, round(seconds)))}
    )


def problem_of(error: PointworkError) -> ProblemError:
    """The one status and code of each error of the library."""
    match error:
        case TaskFailedError():
            # The task is over and on record; whether another try is worth it is policy's to say.
            headers = {"pointwork-task-id": error.task_id, "x-should-retry": "false"}
            return ProblemError(
                FAILURE_STATUS[error.failure],
                error.failure,
                _reason(error),
                headers=headers,
                more={"task_id": error.task_id},
            )
        case TaskIdReusedError():
            return ProblemError(409, "idempotency_key_reused", str(error))
        case TaskNotFoundError():
            return ProblemError(404, "task_not_found", str(error))
        case TaskRefusedError():
            return bad_request("task_refused", str(error))
        case ContentUnavailableError():
            gone = FailureType.CONTENT_UNAVAILABLE
            return ProblemError(FAILURE_STATUS[gone], gone, str(error))
        case ServiceUnavailableError():
            return ProblemError(503, "unavailable", str(error), headers={"retry-after": "1"})
        case _:
            return ProblemError(400, "refused", str(error))


def _reason(error: TaskFailedError) -> str:
    """Why the task failed, with what a request can say so that the next one does not."""
    unknown = ReasonCode.CLASS_UNKNOWN.sentence
    if error.reason.startswith(unknown):
        return f"{error.reason.rstrip('.')}. {_CLASS_REMEDY}"
    return error.reason


def openai_error(problem: ProblemError) -> dict[str, Any]:
    """The body that OpenAI's clients read; the type is what they group errors by."""
    kinds = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error"}
    kinds |= {404: "not_found_error", 429: "rate_limit_error"}
    default = "server_error" if problem.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": problem.detail,
            "type": kinds.get(problem.status, default),
            "param": problem.param,
            "code": problem.code,
        },
        **({"pointwork": problem.more} if problem.more else {}),
    }


def anthropic_error(problem: ProblemError) -> dict[str, Any]:
    """The same for Anthropic's clients."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
    kinds |= {402: "billing_error", 413: "request_too_large", 429: "rate_limit_error"}
    default = "api_error" if problem.status >= 500 else "invalid_request_error"
    error = {"type": kinds.get(problem.status, default), "message": problem.detail}
    return {"type": "error", "error": error | {"code": problem.code}, "pointwork": problem.more}


def respond(request: Request, problem: ProblemError) -> JSONResponse:
    """The problem as the surface that was asked says it."""
    if request.url.path.startswith("/v1/messages"):
        return JSONResponse(anthropic_error(problem), problem.status, problem.headers)
    if request.url.path.startswith("/v1/"):
        return JSONResponse(openai_error(problem), problem.status, problem.headers)
    body = {
        "type": f"urn:pointwork:problem:{problem.code}",
        "title": problem.code.replace("_", " "),
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        **({"param": problem.param} if problem.param else {}),
        **problem.more,
    }
    return JSONResponse(body, problem.status, problem.headers, media_type=PROBLEM_TYPE)
