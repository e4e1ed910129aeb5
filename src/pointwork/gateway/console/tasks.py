"""The list of tasks, newest first, with filters; it stays up to date by itself."""

import asyncio
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from pointwork.contract.outcome import TaskStatus
from pointwork.gateway.console.access import Viewer
from pointwork.gateway.console.live import Feed
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import callers_seen
from pointwork.ledger.task_list import RUNNING, TaskList, TaskPage

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

_ROWS = 50
STATUSES = (
    RUNNING,
    TaskStatus.QUEUED,
    TaskStatus.PENDING_APPROVAL,
    TaskStatus.SUCCEEDED,
    TaskStatus.FAILED,
    TaskStatus.DENIED,
    TaskStatus.EXPIRED,
    TaskStatus.CANCELLED,
)


@router.get("/tasks")
async def list_tasks(
    request: Request,
    viewer: Viewer,
    status: Annotated[str, Query(max_length=32)] = "",
    pack: Annotated[str, Query(max_length=128)] = "",
    caller: Annotated[str, Query(max_length=128)] = "",
    q: Annotated[str, Query(max_length=128)] = "",
    cursor: Annotated[str, Query(max_length=512)] = "",
) -> Response:
    gateway: Gateway = request.app.state.gateway
    feed: Feed = request.app.state.feed
    seen = callers_seen(viewer.identity)
    callers = (caller,) if caller and (seen is None or caller in seen) else seen

    def read() -> TaskPage:
        return TaskList(gateway.engine).page(
            rows_max=_ROWS,
            callers=callers,
            status=status if status in STATUSES else None,
            pack=pack or None,
            id_prefix=q.strip(),
            cursor=cursor or None,
        )

    found = await asyncio.to_thread(read)
    given = {"status": status, "pack": pack, "caller": caller, "q": q}
    given = {name: value for name, value in given.items() if value}
    next_query = urlencode(given | {"cursor": found.next_cursor or ""})
    # Only the first page takes new rows in; on later ones those that stand there are kept true.
    live_query = urlencode(given if not cursor else given | {"status": "none"})
    context = {
        "place": "tasks",
        "rows": await feed.rows(found.entries),
        "statuses": STATUSES,
        "packs": gateway.library.packs,
        "filters": {"status": status, "pack": pack, "caller": caller, "q": q},
        "is_filtered": bool(given),
        "is_first": not cursor,
        "first_url": f"{PATH}/tasks?{urlencode(given)}" if given else f"{PATH}/tasks",
        "next_url": f"{PATH}/tasks?{next_query}" if found.next_cursor else None,
        "live_url": f"{PATH}/live?{live_query}",
        "sees_all": seen is None,
        "api_url": str(request.base_url).removesuffix("/").removesuffix(PATH),
    }
    return page(request, "tasks.html", context)
