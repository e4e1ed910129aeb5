"""Tasks over HTTP: list, look at, fetch the answer of, and cancel."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from pointwork.contract.failures import TaskNotFoundError
from pointwork.contract.identity import Identity
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.task import TaskId
from pointwork.gateway.access import Reader
from pointwork.gateway.permissions import Right, callers_seen, is_own, may_read, rights_of
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.tasks.views import entry_view, outcome_view, running_view
from pointwork.ledger.task_list import PAGE_ROWS_MAX, TaskList

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter(prefix="/tasks", tags=["tasks"])


@router.get("")
async def list_tasks(
    request: Request,
    caller: Reader,
    status: Annotated[str | None, Query(max_length=32)] = None,
    pack: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX)] = 50,
    cursor: Annotated[str | None, Query(max_length=512)] = None,
) -> dict[str, Any]:
    """Tasks the caller may see, newest first; ``next_cursor`` begins the next page."""
    gateway: Gateway = request.app.state.gateway
    known = {"running", *TaskStatus}
    if status is not None and status not in known:
        detail = f"status: {status!r} is not one of {', '.join(sorted(known))}"
        raise ProblemError(400, "invalid_status", detail, "status")
    page = await asyncio.to_thread(
        TaskList(gateway.engine).page,
        rows_max=limit,
        callers=callers_seen(caller),
        status=status,
        pack=pack,
        cursor=cursor,
    )
    entries = [entry_view(each) for each in page.entries]
    return {"object": "list", "data": entries, "next_cursor": page.next_cursor}


@router.get("/{task_id}")
async def retrieve_task(task_id: TaskId, request: Request, caller: Reader) -> dict[str, Any]:
    """Where a task stands, or how it ended."""
    gateway: Gateway = request.app.state.gateway
    await readable(gateway, task_id, caller)
    outcome = await gateway.client.outcome(task_id)
    if outcome is not None:
        return outcome_view(outcome)
    view, approval = await asyncio.gather(
        gateway.client.status(task_id), asyncio.to_thread(gateway.approvals.open_of, task_id)
    )
    return running_view(view, approval)


@router.get("/{task_id}/answer")
async def retrieve_answer(task_id: TaskId, request: Request, caller: Reader) -> JSONResponse:
    """The answer of a task, by who submitted it or may read content; 202 while there is none."""
    gateway: Gateway = request.app.state.gateway
    owner = await readable(gateway, task_id, caller)
    if not is_own(caller, owner) and Right.READ_CONTENT not in rights_of(caller):
        raise _not_found(task_id)
    outcome = await gateway.client.outcome(task_id)
    if outcome is None:
        return JSONResponse({"task_id": task_id, "status": "running", "text": None}, 202)
    if outcome.status is not TaskStatus.SUCCEEDED:
        return JSONResponse(_unanswered(outcome))
    text = await asyncio.to_thread(gateway.client.answer_text, outcome)
    return JSONResponse({"task_id": task_id, "status": outcome.status, "text": text})


@router.post("/{task_id}/cancel", status_code=202)
async def cancel_task(task_id: TaskId, request: Request, caller: Reader) -> dict[str, Any]:
    """Ask a running task to stop; its hold is settled and its outcome recorded all the same."""
    gateway: Gateway = request.app.state.gateway
    owner = await readable(gateway, task_id, caller)
    if not is_own(caller, owner) and Right.GOVERN not in rights_of(caller):
        raise _not_found(task_id)
    await gateway.client.cancel(task_id)
    return {"task_id": task_id, "status": "cancelling"}


async def readable(gateway: "Gateway", task_id: str, caller: Identity) -> str:
    """Who submitted the task, which the caller may see.

    Raises:
        ProblemError: 404 where it is not known, or not theirs to see.
    """
    owner = await asyncio.to_thread(TaskList(gateway.engine).caller_of, task_id)
    if owner is None or not may_read(caller, owner):
        raise _not_found(task_id)
    return owner


def _unanswered(outcome: TaskOutcome) -> dict[str, Any]:
    return {
        "task_id": outcome.task_id,
        "status": outcome.status,
        "text": None,
        "failure": outcome.failure,
        "reason": outcome.reason,
    }


def _not_found(task_id: str) -> Exception:
    return TaskNotFoundError(f"no task {task_id!r} is yours to see; `GET /v1/tasks` lists those")
