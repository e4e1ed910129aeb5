"""The local card in the console: the lane as its worker told it, and the memory of the card."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pointwork.contract.identity import Role
from pointwork.gateway.app import Gateway
from pointwork.gateway.console.live import Feed, Lane
from pointwork.policy.documents.load import load_library
from tests.fakes.lane_reports import BUSY, CODER, IDLE, MINISTRAL, report_lane
from tests.integration.gateway.console.books import Books
from tests.integration.gateway.console.books import books as books
from tests.integration.gateway.console.books import sqlite_template as sqlite_template
from tests.integration.gateway.console.visitor import words


@pytest.fixture
def rig(books: Books, repository: Path) -> Books:
    """The same books, at a gateway whose host has a card."""
    library = load_library(repository / "policies", "rtx5090")
    of = books.gateway
    gateway = Gateway(of.client, of.engine, of.vault, library, lambda _: None)
    return Books(books.ledger, gateway)


async def page_of(books: Books) -> str:
    visitor, _ = await books.visitor(Role.AUDITOR)
    return words(await visitor.get("/gpu"))


async def test_the_page_has_what_the_worker_said_and_the_bounds_of_the_host(rig: Books) -> None:
    visitor, _ = await rig.visitor(Role.AUDITOR)
    report_lane(rig.ledger.engine, BUSY)
    page = words(await visitor.get("/gpu"))
    for line in (
        f"Loaded {CODER} Build {BUSY['build'].words} In flight 1 of 4 Worker 4711@rig Reported",
        "Swaps 3; loads took 41.2 s in all Served 118 Past their bound 5 Longest wait 93.4 s",
        "Models that did not load Model Why llama-3.2-1b CUDA ran out of memory",
        f"{CODER} 7 2 min {MINISTRAL} 2 1 min",
        "A task of host rtx5090 is to begin within 15 s at priority 1 and 2, 90 s at 3, "
        "900 s at 4 and 5.",
    ):
        assert line in page
    assert "Nothing new" not in page


async def test_the_memory_of_the_card_is_planned_for_every_model_of_the_host(rig: Books) -> None:
    page = await page_of(rig)
    assert "beside these slices: bge-m3 2000, yolo 1000." in page
    assert f"{CODER} Qwen3-Coder-30B-A3B-Instruct 32768 3000 16384 8192 5192 fits" in page
    assert f"{MINISTRAL} Ministral-3-14B 32768 3000 28672 1024 72 fits" in page


async def test_a_host_without_a_card_and_without_a_worker_says_what_to_run(books: Books) -> None:
    page = await page_of(books)
    assert "No GPU worker has ever reported to this ledger." in page
    assert "POINTWORK_HOST=embedded python -m workers gpu" in page
    assert "Nothing waits." in page
    assert "states no card ( gpu ), so it has no VRAM plan." in page


@pytest.mark.parametrize(
    ("told", "minutes", "said"),
    [(IDLE, 300, "no cause for alarm"), (BUSY, 300, "the worker is gone, or it hangs")],
)
async def test_an_old_report_says_whether_its_age_is_alarming(
    rig: Books, told: dict[str, Any], minutes: int, said: str
) -> None:
    report_lane(rig.ledger.engine, told, timedelta(minutes=minutes))
    page = await page_of(rig)
    assert "Nothing new for 5 h" in page
    assert said in page


async def test_what_a_worker_said_is_text_and_no_markup(rig: Books) -> None:
    said = BUSY | {"failed_loads": ({"model": "m", "reason": "<script>alert(1)</script>"},)}
    report_lane(rig.ledger.engine, said)
    visitor, _ = await rig.visitor(Role.AUDITOR)
    assert "<script>alert" not in (await visitor.get("/gpu")).text


async def test_a_page_that_stands_open_is_told_of_each_change_of_the_lane(rig: Books) -> None:
    first = report_lane(rig.ledger.engine, IDLE)
    viewer = Feed(rig.gateway, look_seconds=0.01).changes("ada", "", of_lane=True)
    assert await anext(viewer) == Lane(f"{first.reported_at.isoformat()}/none")
    second = report_lane(rig.ledger.engine, BUSY)
    changed = Lane(f"{second.reported_at.isoformat()}/none")
    assert await anext(viewer) == changed
    report_lane(rig.ledger.engine, BUSY, timedelta(hours=1))
    overdue = await anext(viewer)
    assert isinstance(overdue, Lane)
    assert overdue.state.endswith("/overdue")
    await viewer.aclose()


async def test_the_state_on_the_page_is_the_one_its_live_updates_speak_of(rig: Books) -> None:
    report = report_lane(rig.ledger.engine, BUSY)
    visitor, _ = await rig.visitor(Role.AUDITOR)
    text = (await visitor.get("/gpu")).text
    assert f'data-state="{report.reported_at.isoformat()}/none"' in text
    assert 'data-live="/console/live?gpu=yes"' in text


async def test_live_updates_of_the_card_need_the_right_to_read_the_record(books: Books) -> None:
    visitor, _ = await books.visitor(Role.SUBMITTER)
    assert (await visitor.get("/live?gpu=yes")).status_code == 403
