"""The page of one task, and what can be done there: read its text, remake decisions, stop it."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pointwork.contract.failures import PointworkError, TaskNotFoundError
from pointwork.contract.outcome import TaskStatus, TaskView
from pointwork.contract.task import TaskId
from pointwork.gateway.console.access import Posted, Signed, Viewer
from pointwork.gateway.console.just_answered import answered
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.console.task_facts import (
    TaskFacts,
    read_facts,
    running_decision,
    texts_of,
)
from pointwork.gateway.permissions import Right
from pointwork.gateway.tasks.routes import cancelled, readable, standing
from pointwork.ledger.task_record import TaskRecords
from pointwork.policy.proving.remaking import fault_of_remaking

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

_VIEW_SECONDS = 3.0
_SAID = {
    "approved": "You approved this. The task goes on.",
    "counted": "Your approval counts. It waits for another person's.",
    "rejected": "You denied this. The task ends without an answer.",
    "chosen": "You chose. The task ends with that answer.",
    "stopping": "The task was asked to stop. Its money is settled and its outcome recorded.",
}


@router.get("/tasks/{task_id}")
async def show_task(task_id: TaskId, request: Request, viewer: Viewer, said: str = "") -> Response:
    return await _page(request, viewer, task_id, note=_SAID.get(said, ""))


@router.post("/tasks/{task_id}/text")
async def show_text(task_id: TaskId, request: Request, viewer: Viewer, _: Posted) -> Response:
    """Prompt and answer. Whoever reads somebody else's leaves a record in the audit chain."""
    gateway: Gateway = request.app.state.gateway
    owner = await readable(gateway, task_id, viewer.identity)
    if not _may_read_text(viewer, owner):
        raise TaskNotFoundError(f"no task {task_id!r} has a text that is yours to read")
    facts = await _facts(gateway, task_id)

    def opened() -> list[tuple[str, str]]:
        if not viewer.is_own(owner):
            records = TaskRecords(gateway.engine)
            records.shown(task_id, viewer.name, "prompt and answer", datetime.now(UTC), once=False)
        return texts_of(gateway, facts)

    return await _page(request, viewer, task_id, texts=await asyncio.to_thread(opened))


@router.post("/tasks/{task_id}/replay")
async def replay_task(task_id: TaskId, request: Request, viewer: Viewer, _: Posted) -> Response:
    """Make each decision again from what it read, and say whether the bytes are the same."""
    gateway: Gateway = request.app.state.gateway
    await readable(gateway, task_id, viewer.identity)

    def remade() -> list[tuple[str, str | None]]:
        return [
            (each.decision_id, fault_of_remaking(each, gateway.library))
            for each in gateway.outcomes.decisions(task_id)
        ]

    return await _page(request, viewer, task_id, replayed=await asyncio.to_thread(remade))


@router.post("/tasks/{task_id}/cancel")
async def cancel_task(task_id: TaskId, request: Request, viewer: Viewer, _: Posted) -> Response:
    gateway: Gateway = request.app.state.gateway
    owner = await readable(gateway, task_id, viewer.identity)
    if not _may_cancel(viewer, owner):
        raise TaskNotFoundError(f"no task {task_id!r} is yours to stop")
    await cancelled(gateway, task_id)
    return RedirectResponse(f"{PATH}/tasks/{task_id}?said=stopping", 303)


async def _page(
    request: Request,
    viewer: Signed,
    task_id: str,
    *,
    note: str = "",
    texts: Sequence[tuple[str, str]] | None = None,
    replayed: Sequence[tuple[str, str | None]] | None = None,
) -> Response:
    gateway: Gateway = request.app.state.gateway
    owner = await readable(gateway, task_id, viewer.identity)
    facts = await _facts(gateway, task_id)
    is_live = texts is None and replayed is None
    view = await _view(gateway, task_id) if facts.outcome is None else None
    context: dict[str, Any] = {
        "place": "tasks",
        "task_id": task_id,
        "facts": facts,
        "outcome": facts.outcome,
        "view": view,
        "waiting": next((a for a in facts.record.approvals if a.state == "waiting"), None),
        "answered": answered(request),
        "note": note,
        "texts": texts,
        "replayed": replayed,
        "may_read_text": _may_read_text(viewer, owner),
        "is_own": viewer.is_own(owner),
        "may_cancel": _can_stop(facts, view) and _may_cancel(viewer, owner),
        "temporal_url": _temporal_url(gateway.options.temporal_ui_url, task_id),
        "live_url": _live_url(task_id) if is_live and facts.outcome is None else "",
    }
    return page(request, "task.html", context)


async def _facts(gateway: "Gateway", task_id: str) -> TaskFacts:
    outcome = await asyncio.to_thread(gateway.outcomes.find, task_id)
    running = await running_decision(gateway, task_id) if outcome is None else None
    facts = await asyncio.to_thread(read_facts, gateway, task_id, running)
    if facts is None:
        raise TaskNotFoundError(f"no task {task_id!r} is yours to see")
    return facts


async def _view(gateway: "Gateway", task_id: str) -> TaskView | None:
    try:
        async with asyncio.timeout(_VIEW_SECONDS):
            return await standing(gateway, task_id)
    except (PointworkError, TimeoutError):
        return None


def _can_stop(facts: TaskFacts, view: TaskView | None) -> bool:
    return facts.outcome is None and not (view and view.status is TaskStatus.QUEUED)


def _live_url(task_id: str) -> str:
    return f"{PATH}/live?task={quote(task_id)}"


def _temporal_url(ui_url: str, task_id: str) -> str:
    return f"{ui_url.rstrip('/')}/workflows/{quote(task_id)}" if ui_url else ""


def _may_read_text(viewer: Signed, owner: str) -> bool:
    return viewer.is_own(owner) or viewer.may(Right.READ_CONTENT)


def _may_cancel(viewer: Signed, owner: str) -> bool:
    return viewer.is_own(owner) or viewer.may(Right.GOVERN)
