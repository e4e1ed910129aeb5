"""Tasks over HTTP: list, look at, wait for, fetch the answer of, and cancel."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from pointwork.contract.failures import TaskNotFoundError
from pointwork.contract.identity import Identity
from pointwork.contract.outcome import TaskOutcome, TaskStatus, TaskView
from pointwork.contract.task import TaskId
from pointwork.gateway.access import KeyFirst, Reader
from pointwork.gateway.answering import Answering
from pointwork.gateway.declaring import WAIT_SECONDS_MAX
from pointwork.gateway.permissions import Right, callers_seen, is_own, may_read, rights_of
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.tasks.views import entry_view, outcome_view, queued_view, running_view
from pointwork.ledger.task_list import PAGE_ROWS_MAX, RUNNING, TaskEntry, TaskList

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

_LOOK_SECONDS = 1.0

router = APIRouter(prefix="/tasks", tags=["tasks"], route_class=KeyFirst)


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
    known = {RUNNING, *TaskStatus}
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
async def retrieve_task(
    task_id: TaskId,
    request: Request,
    caller: Reader,
    wait_seconds: Annotated[float, Query(ge=0, le=WAIT_SECONDS_MAX)] = 0.0,
    for_person: bool = False,
) -> dict[str, Any]:
    """Where a task stands, or how it ended.

    With ``wait_seconds`` the request is held until the task ends, or a person must decide first, or
    so long; with ``for_person`` it is held while they decide too.
    """
    gateway: Gateway = request.app.state.gateway
    await readable(gateway, task_id, caller)
    outcome = await gateway.client.outcome(task_id)
    if outcome is None and wait_seconds > 0:
        outcome = await _held(gateway, caller, task_id, wait_seconds, for_person=for_person)
    if outcome is not None:
        return outcome_view(outcome)
    view, approval = await asyncio.gather(
        standing(gateway, task_id), asyncio.to_thread(gateway.approvals.open_of, task_id)
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
        entries = await asyncio.to_thread(TaskList(gateway.engine).some, [task_id])
        is_queued = any(each.status == TaskStatus.QUEUED for each in entries)
        status = TaskStatus.QUEUED if is_queued else RUNNING
        return JSONResponse({"task_id": task_id, "status": status, "text": None}, 202)
    if outcome.status is not TaskStatus.SUCCEEDED:
        return JSONResponse(_unanswered(outcome))
    answer = await asyncio.to_thread(gateway.client.answer, outcome)
    said = answer.model_dump(mode="json")
    return JSONResponse({"task_id": task_id, "status": outcome.status, **said})


@router.get("/{task_id}/decision")
async def retrieve_decision(task_id: TaskId, request: Request, caller: Reader) -> dict[str, Any]:
    """The latest decision with all it read: facts, prices, every refused model. No text."""
    gateway: Gateway = request.app.state.gateway
    await readable(gateway, task_id, caller)
    record = None
    if await gateway.client.outcome(task_id) is None:
        record = await gateway.client.decision(task_id)
    if record is None:
        record = await asyncio.to_thread(gateway.outcomes.latest_decision, task_id)
    found = record.model_dump(mode="json") if record is not None else None
    return {"task_id": task_id, "decision": found}


@router.post("/{task_id}/cancel", status_code=202)
async def cancel_task(task_id: TaskId, request: Request, caller: Reader) -> dict[str, Any]:
    """Ask a running task to stop; its hold is settled and its outcome recorded all the same.

    One that was stopped before stays so; of one that ended otherwise 409 says how.
    """
    gateway: Gateway = request.app.state.gateway
    owner = await readable(gateway, task_id, caller)
    if not is_own(caller, owner) and Right.GOVERN not in rights_of(caller):
        raise _not_found(task_id)
    return {"task_id": task_id, "status": await cancelled(gateway, task_id)}


async def readable(gateway: "Gateway", task_id: str, caller: Identity) -> str:
    """Who submitted the task, which the caller may see.

    Raises:
        ProblemError: 404 where it is not known, or not theirs to see.
    """
    owner = await asyncio.to_thread(TaskList(gateway.engine).caller_of, task_id)
    if owner is None or not may_read(caller, owner):
        raise _not_found(task_id)
    return owner


async def standing(gateway: "Gateway", task_id: str) -> TaskView:
    """Where a task stands that has no outcome; one that no workflow was started for is queued.

    Raises:
        TaskNotFoundError: the task is not known.
    """
    try:
        return await gateway.client.status(task_id)
    except TaskNotFoundError:
        entry = await _not_begun(gateway, task_id)
        if entry is None:
            raise
        return queued_view(entry)


async def cancelled(gateway: "Gateway", task_id: str) -> str:
    """Ask the task's workflow to stop: ``cancelling``, or ``cancelled`` where it did before.

    Raises:
        ProblemError: 409 where it has none yet, or ended otherwise.
        TaskNotFoundError: the task is not known.
    """
    outcome = await gateway.client.outcome(task_id)
    if outcome is not None and outcome.status is TaskStatus.CANCELLED:
        return TaskStatus.CANCELLED
    if outcome is not None:
        detail = (
            f"task {task_id!r} ended, its status is {outcome.status}, so there is nothing to "
            f"stop; `GET /v1/tasks/{task_id}` has what came of it"
        )
        more = {"task_id": task_id, "status": outcome.status}
        raise ProblemError(409, "task_has_ended", detail, more=more)
    try:
        await gateway.client.cancel(task_id)
    except TaskNotFoundError:
        if await _not_begun(gateway, task_id) is None:
            raise
        detail = (
            f"task {task_id!r} has not begun, so there is nothing to stop; if it is of a bulk run, "
            "stop that with `pointwork bulk cancel`"
        )
        raise ProblemError(409, "task_not_begun", detail) from None
    return "cancelling"


async def _not_begun(gateway: "Gateway", task_id: str) -> TaskEntry | None:
    """The task's entry, if it was accepted and has not ended: without a workflow it never began."""
    entries = await asyncio.to_thread(TaskList(gateway.engine).some, [task_id])
    return next((each for each in entries if each.finished_at is None), None)


async def _held(
    gateway: "Gateway", caller: Identity, task_id: str, wait_seconds: float, *, for_person: bool
) -> TaskOutcome | None:
    """The outcome, once there is one; None where the task still runs when the wait is over."""
    seconds = min(wait_seconds, gateway.options.wait.total_seconds())
    ends_at = time.monotonic() + seconds
    async with gateway.calls.one(caller.name):
        while True:
            try:
                found = await Answering(gateway.client, gateway.approvals, gateway.starts).follow(
                    task_id, open_seconds=seconds, person_seconds=seconds if for_person else None
                )
                return found if isinstance(found, TaskOutcome) else None
            except TaskNotFoundError:
                # It has not begun: nothing tells when it does.
                seconds = ends_at - time.monotonic() - _LOOK_SECONDS
                if seconds <= 0:
                    return None
                await asyncio.sleep(_LOOK_SECONDS)


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
