"""Which approval a person has just decided.

The task takes a verdict at once and the ledger a moment later; until then the approval stands open
there, and its page would ask the person again.
"""

from starlette.requests import Request
from starlette.responses import Response

from pointwork.contract.approval import ApprovalRequest
from pointwork.gateway.console.sessions import PATH

_COOKIE = "pointwork_answered"
_SECONDS = 15
"""Should the ledger refuse the verdict, the task waits on, and the page says so again."""


def remember_answered(response: Response, request: Request, found: ApprovalRequest) -> None:
    """Have the browser say so on the task's page for a moment."""
    response.set_cookie(
        _COOKIE,
        found.approval_id,
        max_age=_SECONDS,
        path=f"{PATH}/tasks/{found.task_id}",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def answered(request: Request) -> str:
    """The id of the approval; empty where there is none."""
    return request.cookies.get(_COOKIE, "")
