"""How fast a page of the console is with 100,000 tasks in the ledger, beside a nearly empty one.

Two gateways over real sockets, one on each ledger (SQLite, filled as ``bench.bulk`` does), asked in
turn by one person who is signed in and sees everybody's tasks. No page asks Temporal: all tasks
have ended. The last line is ``page_ms=… ratio=…``: the slowest page's median with the full ledger,
and the largest ratio of a page's two medians.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from sqlalchemy import Engine
from temporalio.client import Client

from bench.bulk import fill
from bench.databases import ledger_on
from pointwork.client import PointworkClient
from pointwork.contract.identity import Role
from pointwork.gateway.app import Gateway
from pointwork.gateway.console.sessions import COOKIE, Session, seal
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.engine import open_engine
from pointwork.ledger.identities import Identities, person_of
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.task_list import TaskList
from pointwork.ledger.vault import Vault
from pointwork.policy.documents.load import load_library
from workers.gateway import serve_gateway
from workers.settings import GatewaySettings

TASKS, DAYS = 100_000, 50
ROUNDS, WARM_UP = 31, 3
PERSON = "ada"
POLICIES = Path(__file__).parents[1] / "policies"
KEYS = MasterKeys(active="bench", keys={"bench": bytes(32)})


class Subject:
    """A gateway on one ledger, and a browser that is signed in at it."""

    def __init__(self, url: str, engine: Engine, token: str, held: int) -> None:
        session = Session.start(token.split("_")[1], PERSON, datetime.now(UTC))
        self.held = held
        self.pages = pages_of(TaskList(engine))
        self.http = httpx2.AsyncClient(base_url=url, cookies={COOKIE: seal(session, KEYS)})
        self.token = token

    async def ask(self, page: str) -> float:
        """Milliseconds of one page."""
        headers = {"authorization": f"Bearer {self.token}"}
        began = time.perf_counter()
        answered = await self.http.get(self.pages[page], headers=headers)
        took = (time.perf_counter() - began) * 1000
        if answered.status_code != 200:
            raise RuntimeError(f"{page} came to {answered.status_code}: {answered.text[:300]}")
        return took


def pages_of(tasks: TaskList) -> dict[str, str]:
    """Addresses by what they show; the task and the place deep in the list are this ledger's."""
    page, cursor = tasks.page(rows_max=50, callers=None), None
    some = page.entries[0].task_id
    for _ in range(20):
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
        page = tasks.page(rows_max=50, callers=None, cursor=cursor)
    return {
        "tasks, the newest": "/console/tasks",
        "tasks, twenty pages on": f"/console/tasks?cursor={cursor}" if cursor else "/console/tasks",
        "tasks of one caller": "/console/tasks?caller=caller-000",
        "tasks that were denied": "/console/tasks?status=denied",
        "tasks that run": "/console/tasks?status=running",
        "tasks that wait for a person": "/console/tasks?status=pending_approval",
        "tasks of a pack that has none": "/console/tasks?pack=codex",
        "tasks found by id": f"/console/tasks?q={some[:6]}",
        "one task": f"/console/tasks/{some}",
        "the inbox": "/console/inbox",
        "budgets": "/console/budgets",
        "one budget": "/console/budgets/one?pack=omega&period=day",
        "performance": "/console/performance",
        "costs by model": "/console/costs",
        "costs by caller": "/console/costs?by=caller",
        "costs by day": "/console/costs?by=day",
        "GET /v1/tasks": "/v1/tasks",
    }


@asynccontextmanager
async def subject(engine: Engine, held: int) -> AsyncIterator[Subject]:
    now, outcomes, vault = datetime.now(UTC), OutcomeLog(engine), Vault(engine, KEYS)
    Identities(engine).add(person_of(PERSON, Role.OWNER, now), PERSON)
    token = AccessKeys(engine).create(PERSON, PERSON, now)
    nobody = await Client.connect("127.0.0.1:1", lazy=True)
    library = load_library(POLICIES, "embedded")
    client = PointworkClient(nobody, vault, outcomes)
    gateway = Gateway(client, engine, vault, library, lambda _: None)
    ready, stopped, urls = asyncio.Event(), asyncio.Event(), list[str]()

    def serving(url: str) -> None:
        urls.append(url)
        ready.set()

    serving_task = asyncio.create_task(
        serve_gateway(gateway, GatewaySettings(port=0), stopped, serving)
    )
    await ready.wait()
    found = Subject(urls[0], engine, token, held)
    try:
        yield found
    finally:
        await found.http.aclose()
        stopped.set()
        await serving_task


async def compare(empty: Subject, full: Subject, rounds: int) -> tuple[float, float]:
    """The slowest page's median in ms, and the largest ratio."""
    slowest = largest = 0.0
    print(f"{'':32}{empty.held:>9} tasks {full.held:>9} tasks   ratio", flush=True)
    for page in full.pages:
        took: dict[Subject, list[float]] = {empty: [], full: []}
        for turn in range(WARM_UP + rounds):
            for each in (empty, full) if turn % 2 else (full, empty):
                ms = await each.ask(page)
                if turn >= WARM_UP:
                    took[each].append(ms)
        few, many = (statistics.median(took[each]) for each in (empty, full))
        print(f"{page:32}{few:>12.1f} ms {many:>12.1f} ms {many / few:>7.2f}", flush=True)
        slowest, largest = max(slowest, many), max(largest, many / few)
    return slowest, largest


async def main(tasks: int, rounds: int) -> None:
    async with AsyncExitStack() as stack:
        databases = stack.enter_context(ExitStack())
        subjects = []
        for count, days in ((1, 1), (tasks, DAYS)):
            url = databases.enter_context(ledger_on("sqlite"))
            engine = open_engine(url)
            databases.callback(engine.dispose)
            held = await asyncio.to_thread(fill, engine, url, count, days)
            subjects.append(await stack.enter_async_context(subject(engine, held)))
        slowest, largest = await compare(subjects[0], subjects[1], rounds)
    print(f"page_ms={slowest:.1f} ratio={largest:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=TASKS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.tasks, arguments.rounds))
