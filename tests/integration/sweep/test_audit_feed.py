"""The governing authority gets every audit event once, in order, whatever happens to it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from pointwork.governance.audit_file import AUDIT_FILE, FileAuditReceiver
from pointwork.governance.ports import AuditEvent
from pointwork.ledger.audit import AuditChain
from tests.integration.ledger.conftest import Ledger, ledger, ledger_url, sqlite_template
from tests.integration.ledger.records import NOW, accept, outcome
from workers.audit_feed import AuditFeed, audit_feed
from workers.governed_signals import GOVERNANCE_FOLDER
from workers.sweep import LedgerSweep

__all__ = ["ledger", "ledger_url", "sqlite_template"]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in (folder / AUDIT_FILE).read_text().splitlines()]


def chain(ledger: Ledger) -> list[tuple[int, str]]:
    return [(each.sequence, each.hash) for each in AuditChain(ledger.engine).records(1_000)]


def told(folder: Path) -> list[tuple[int, str]]:
    return [(each["sequence"], each["hash"]) for each in lines(folder)]


def end_a_task(ledger: Ledger, task_id: str) -> None:
    accept(ledger.vault, task_id)
    ledger.outcomes.log(outcome(task_id), None, NOW)


class Unreachable(FileAuditReceiver):
    """Takes one page, then nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_down = False

    def take(self, events: Sequence[AuditEvent]) -> None:
        if self.is_down:
            raise OSError("nobody answers")
        super().take(events[:1])
        self.is_down = True


@pytest.mark.req("SP-47")
async def test_a_sweep_hands_every_new_audit_event_to_the_authority_once_and_in_order(
    ledger: Ledger, temporal: Client, tmp_path: Path
) -> None:
    sweep = LedgerSweep(
        temporal, ledger.engine, feed=AuditFeed(ledger.engine, FileAuditReceiver(tmp_path))
    )
    for task_id in ("t-1", "t-2"):
        end_a_task(ledger, task_id)
        await sweep.sweep()
        await sweep.sweep()
        assert told(tmp_path) == chain(ledger)
    assert [each["task_id"] for each in lines(tmp_path) if each["kind"] == "outcome"] == [
        "t-1",
        "t-2",
    ]


def test_what_an_authority_that_is_down_did_not_take_it_gets_later(
    ledger: Ledger, tmp_path: Path
) -> None:
    receiver = Unreachable(tmp_path)
    end_a_task(ledger, "t-1")
    end_a_task(ledger, "t-2")
    AuditFeed(ledger.engine, receiver).run(rows_max=1)
    assert AuditFeed(ledger.engine, receiver).run() == 0
    assert told(tmp_path) == chain(ledger)[:1]
    AuditFeed(ledger.engine, FileAuditReceiver(tmp_path)).run()
    assert told(tmp_path) == chain(ledger)


def test_a_line_that_a_crash_cut_is_written_anew(ledger: Ledger, tmp_path: Path) -> None:
    end_a_task(ledger, "t-1")
    end_a_task(ledger, "t-2")
    feed = AuditFeed(ledger.engine, FileAuditReceiver(tmp_path))
    feed.run()
    path = tmp_path / AUDIT_FILE
    path.write_bytes(path.read_bytes()[:-20])
    assert feed.run() == 1
    assert told(tmp_path) == chain(ledger)


def test_events_that_leave_a_gap_are_not_taken(ledger: Ledger, tmp_path: Path) -> None:
    end_a_task(ledger, "t-1")
    end_a_task(ledger, "t-2")
    feed = AuditFeed(ledger.engine, FileAuditReceiver(tmp_path))
    feed.run(rows_max=1)
    last = json.loads((tmp_path / AUDIT_FILE).read_text())
    skipped = AuditEvent.model_validate(last | {"sequence": last["sequence"] + 2})
    with pytest.raises(OSError, match="does not follow"):
        FileAuditReceiver(tmp_path).take([skipped])
    assert told(tmp_path) == chain(ledger)[:1]


@pytest.mark.parametrize("text", ["{}\n", "nothing\n"])
def test_a_file_that_is_none_of_ours_is_left_as_it_is(
    ledger: Ledger, tmp_path: Path, text: str
) -> None:
    end_a_task(ledger, "t-1")
    (tmp_path / AUDIT_FILE).write_text(text)
    assert AuditFeed(ledger.engine, FileAuditReceiver(tmp_path)).run() == 0
    assert (tmp_path / AUDIT_FILE).read_text() == text


def test_where_nobody_governs_nothing_is_handed_over(ledger: Ledger, tmp_path: Path) -> None:
    assert audit_feed(ledger.engine, tmp_path) is None
    (tmp_path / GOVERNANCE_FOLDER).mkdir()
    feed = audit_feed(ledger.engine, tmp_path)
    assert feed is not None
    end_a_task(ledger, "t-1")
    assert feed.run() == len(chain(ledger))
