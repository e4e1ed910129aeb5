"""Changes as they happen: one look at the ledger for everybody who watches, by server-sent events.

The loop runs while somebody watches. It reads the newest tasks and those whose pages are open,
asks Temporal where the running ones stand, and tells each viewer of the rows that changed and that
they may see.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import APIRouter, Query, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import StreamingResponse

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.failures import PointworkError
from pointwork.contract.names import TaskQueue
from pointwork.contract.outcome import TaskStatus, TaskView
from pointwork.contract.task import TASK_ID_PATTERN
from pointwork.gateway.console.access import Signed, Viewer, find_signed, require
from pointwork.gateway.console.pages import fragment
from pointwork.gateway.permissions import Right, callers_seen, may_read
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.decisions import warned_decisions
from pointwork.ledger.signals import SignalStore
from pointwork.ledger.task_list import RUNNING, TaskEntry, TaskList
from pointwork.policy.reading.cost_switch import CostSwitch, cost_switch
from pointwork.policy.reading.lane import read_lane

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_NEWEST = 100
_WATCHED_MAX = 100
_ASKED_MAX = 30
"""Running tasks whose step is asked of Temporal at one look."""
_ASKED_AT_ONCE = 8
_ASK_SECONDS = 2.0
_VIEWERS_MAX = 500
_VIEWERS_EACH_MAX = 20
_WAITING_MAX = 400
_STILL_HERE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Row:
    """A task of a list as it stands now."""

    entry: TaskEntry
    view: TaskView | None = None
    asks_for: str = ""
    """What a person is asked, where the task waits for one."""
    task_class: str = ""
    """As decided, where the task has not ended."""
    switch: CostSwitch | None = None
    """What people are warned of: a money rule sent the task to a cheaper model (OM-35)."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The lane to the local card as it stands now."""

    state: str


@dataclass(frozen=True, slots=True)
class Shown:
    """What a page shows: the filters of a list."""

    status: str = ""
    pack: str = ""
    caller: str = ""
    search: str = ""

    def includes(self, row: Row) -> bool:
        entry = row.entry
        return (
            self.pack in ("", entry.pack)
            and self.caller in ("", entry.caller)
            and entry.task_id.startswith(self.search)
            and (
                self.status in ("", entry.status) or (self.status == RUNNING and _is_running(entry))
            )
        )


def _is_running(entry: TaskEntry) -> bool:
    """Begun and not ended; it may wait for a person."""
    return entry.finished_at is None and entry.status != TaskStatus.QUEUED


@dataclass(eq=False, slots=True)
class _Watcher:
    name: str
    task_id: str
    of_lane: bool
    """It shows the card, and no task."""
    queue: "asyncio.Queue[Row | Lane]" = field(default_factory=lambda: asyncio.Queue(_WAITING_MAX))
    is_late: bool = False
    """It did not keep up; it must load its page anew."""


class Feed:
    """Rows as they change, for every viewer of this process. For one event loop."""

    def __init__(self, gateway: "Gateway", look_seconds: float = _LOOK_SECONDS) -> None:
        self._gateway = gateway
        self._look_seconds = look_seconds
        self._watchers: set[_Watcher] = set()
        self._rows: dict[str, Row] = {}
        self._lane: Lane | None = None
        self._classes: dict[str, str] = {}
        self._loop: asyncio.Task[None] | None = None

    async def rows(self, entries: Iterable[TaskEntry]) -> list[Row]:
        """The entries with what is known of those that have not ended."""
        listed = list(entries)
        running = [each.task_id for each in listed if _is_running(each)]
        asked = await asyncio.to_thread(self._asked) if running else {}
        classes = await asyncio.to_thread(self._classes_of, running[:_ASKED_MAX])
        switches = await asyncio.to_thread(self._switches_of, [each.task_id for each in listed])
        turns = asyncio.Semaphore(_ASKED_AT_ONCE)
        views = await asyncio.gather(*(self._view(each, turns) for each in running[:_ASKED_MAX]))
        known = dict(zip(running, views, strict=False))
        return [
            Row(
                each,
                known.get(each.task_id),
                asked[each.task_id].asks_for if each.task_id in asked else "",
                classes.get(each.task_id, ""),
                switches.get(each.task_id),
            )
            for each in listed
        ]

    def changes(
        self, name: str, task_id: str, *, of_lane: bool = False
    ) -> AsyncGenerator[Row | Lane | None, None]:
        """Every row as it is known now, then those that change; None where nothing did for long.

        With ``of_lane`` the lane instead. Ends where the viewer did not keep up.

        Raises:
            ProblemError: 429 where too many pages are open.
        """
        held = Counter(each.name for each in self._watchers)
        if len(self._watchers) >= _VIEWERS_MAX or held[name] >= _VIEWERS_EACH_MAX:
            raise ProblemError(
                429,
                "too_many_pages",
                f"{name!r} has {held[name]} live pages open here; close some",
                headers={"retry-after": "30"},
            )
        return self._changes(_Watcher(name, task_id, of_lane))

    async def _changes(self, watcher: _Watcher) -> AsyncGenerator[Row | Lane | None, None]:
        known = [self._lane] if watcher.of_lane else [*self._rows.values()][-_WAITING_MAX:]
        for each in known:
            if each is not None:
                watcher.queue.put_nowait(each)
        self._watchers.add(watcher)
        if self._loop is None or self._loop.done():
            self._loop = asyncio.create_task(self._look())
        try:
            while not watcher.is_late:
                change = None
                with suppress(TimeoutError):
                    async with asyncio.timeout(_STILL_HERE_SECONDS):
                        change = await watcher.queue.get()
                yield change
        finally:
            self._watchers.discard(watcher)

    async def _look(self) -> None:
        while self._watchers:
            try:
                if any(each.of_lane for each in self._watchers):
                    self._tell_lane(await asyncio.to_thread(self._lane_now))
                if not all(each.of_lane for each in self._watchers):
                    self._tell(await self.rows(await asyncio.to_thread(self._entries)))
            except (SQLAlchemyError, PointworkError) as error:
                _log.warning("the live lists are not up to date (%s)", type(error).__name__)
            await asyncio.sleep(self._look_seconds)
        self._rows, self._lane = {}, None

    def _tell(self, rows: list[Row]) -> None:
        changed = [each for each in rows if self._rows.get(each.entry.task_id) != each]
        # Oldest first: a page puts each new row above the others.
        self._rows = {each.entry.task_id: each for each in reversed(rows)}
        for watcher in self._watchers:
            for row in [] if watcher.of_lane else reversed(changed):
                self._put(watcher, row)

    def _tell_lane(self, lane: Lane | None) -> None:
        if lane is not None and lane != self._lane:
            for watcher in self._watchers:
                if watcher.of_lane:
                    self._put(watcher, lane)
        self._lane = lane

    @staticmethod
    def _put(watcher: _Watcher, change: Row | Lane) -> None:
        try:
            watcher.queue.put_nowait(change)
        except asyncio.QueueFull:
            watcher.is_late = True

    def _lane_now(self) -> Lane | None:
        report = SignalStore(self._gateway.engine).lane_report(TaskQueue.GPU)
        if report is None:
            return None
        return Lane(read_lane(report, self._gateway.library, datetime.now(UTC)).state)

    def _entries(self) -> list[TaskEntry]:
        tasks = TaskList(self._gateway.engine)
        newest = tasks.page(rows_max=_NEWEST).entries
        watched = {each.task_id for each in self._watchers if each.task_id}
        older = watched - {each.task_id for each in newest}
        more = tasks.some(sorted(older)[:_WATCHED_MAX]) if older else ()
        return [*newest, *more]

    def _asked(self) -> dict[str, ApprovalRequest]:
        return {each.task_id: each for each in self._gateway.approvals.waiting()}

    def _classes_of(self, task_ids: Sequence[str]) -> dict[str, str]:
        """The class of each; one that was found does not change, and is not read again."""
        known = {each: self._classes[each] for each in task_ids if each in self._classes}
        for task_id in task_ids:
            if task_id not in known:
                record = self._gateway.outcomes.latest_decision(task_id)
                if record is not None:
                    known[task_id] = record.plan.task_class or ""
        self._classes = known
        return known

    def _switches_of(self, task_ids: Sequence[str]) -> dict[str, CostSwitch | None]:
        found = warned_decisions(self._gateway.engine, task_ids)
        return {task_id: cost_switch(each.plan) for task_id, each in found.items()}

    async def _view(self, task_id: str, turns: asyncio.Semaphore) -> TaskView | None:
        """Where the task stands; None where nobody can say just now."""
        async with turns:
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    return await self._gateway.client.status(task_id)
            except (PointworkError, TimeoutError):
                return None


class _Told(Protocol):
    """What one kind of page is told."""

    def of(self, row: Row) -> str:
        """The event of a row that changed; empty where it concerns the page not."""
        ...


@dataclass(frozen=True)
class _RowsTold:
    """A list takes the row as it is drawn."""

    viewer: Signed
    shown: Shown

    def of(self, row: Row) -> str:
        html = fragment("rows.html", "task_row", row, callers_seen(self.viewer.identity) is None)
        told = {"id": row.entry.task_id, "html": html, "matches": self.shown.includes(row)}
        return _event("row", told)


@dataclass(frozen=True)
class _TaskTold:
    """The page of a task is loaded anew when its state is another."""

    task_id: str

    def of(self, row: Row) -> str:
        is_it = row.entry.task_id == self.task_id
        return _event("state", {"state": _state(row)}) if is_it else ""


class _InboxTold:
    """The inbox is loaded anew when something else waits."""

    def __init__(self) -> None:
        self._waiting: set[str] = set()

    def of(self, row: Row) -> str:
        before, task_id = set(self._waiting), row.entry.task_id
        (self._waiting.add if row.asks_for else self._waiting.discard)(task_id)
        if before == self._waiting:
            return ""
        return _event("state", {"state": ",".join(sorted(self._waiting))})


@router.get("/live")
async def live(
    request: Request,
    viewer: Viewer,
    task: Annotated[str, Query(pattern=f"{TASK_ID_PATTERN}|^$")] = "",
    status: Annotated[str, Query(max_length=32)] = "",
    pack: Annotated[str, Query(max_length=128)] = "",
    caller: Annotated[str, Query(max_length=128)] = "",
    q: Annotated[str, Query(max_length=128)] = "",
    inbox: bool = False,
    gpu: bool = False,
) -> StreamingResponse:
    """Rows of a list, or a word that the page of a task, the inbox or the card is out of date."""
    feed: Feed = request.app.state.feed
    if gpu:
        require(viewer, Right.READ_RECORD)
    changes = feed.changes(viewer.name, task, of_lane=gpu)
    shown = Shown(status, pack, caller, q.strip())

    async def stream() -> AsyncIterator[str]:
        async with aclosing(changes):
            told = _InboxTold() if inbox else _TaskTold(task) if task else _RowsTold(viewer, shown)
            async for event in _events(request, viewer, changes, told):
                yield event

    # Proxies must not hold the events back.
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


async def _events(
    request: Request,
    viewer: Signed,
    changes: AsyncGenerator[Row | Lane | None, None],
    told: _Told,
) -> AsyncIterator[str]:
    yield "retry: 3000\n: live\n\n"
    loop = asyncio.get_running_loop()
    checked_at = loop.time()
    async for change in changes:
        if loop.time() - checked_at >= _STILL_HERE_SECONDS:
            checked_at = loop.time()
            if await find_signed(request) is None:
                yield _event("signed-out", {})
                return
        if change is None:
            yield ": still here\n\n"
        elif isinstance(change, Lane):
            yield _event("state", {"state": change.state})
        elif may_read(viewer.identity, change.entry.caller):
            event = told.of(change)
            if event:
                yield event


def _state(row: Row) -> str:
    """Changes whenever the page would."""
    step = (row.view.status, row.view.model, row.view.attempt) if row.view else ()
    return "/".join(map(str, (row.entry.status, row.asks_for, *step)))


def _event(name: str, data: dict[str, object]) -> str:
    """``<`` and ``>`` stand escaped too, so that the data is inert wherever it ends up."""
    text = json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e")
    return f"event: {name}\ndata: {text}\n\n"
