"""The overlay in force is part of what a task's decision reads (JG-37, R-9)."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.signals import SignalActivities
from pointwork.contract.overlay import (
    OPTIMIZER,
    Overlay,
    OverlayChange,
    OverlayPlace,
    windows_sha256,
)
from pointwork.contract.snapshot import Snapshot
from pointwork.contract.task import ContentRef, TaskRequest
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.overlays import OverlayLog
from pointwork.ledger.signals import SignalStore
from pointwork.ledger.traffic import Traffic
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.policy_facts import shipped
from tests.integration.ledger.conftest import Ledger
from workers.adapters import LibraryPolicy
from workers.governed_signals import governed_signals

LIBRARY = PolicyLibrary([shipped("juggernaut"), shipped("omega")])


def put_in_force(ledger: Ledger) -> Overlay:
    now = datetime.now(UTC) - timedelta(minutes=1)
    overlay = Overlay(
        pack="juggernaut",
        version=1,
        parent=None,
        created_at=now,
        reason="measured",
        windows_sha256=windows_sha256(()),
        places=(
            OverlayPlace(task_class="normal", model="gpt-4o-mini", shift=-1),
            OverlayPlace(task_class="normal", model="claude-3-5-sonnet", shift=1),
        ),
    )
    change = OverlayChange(overlay=overlay, windows=())
    OverlayLog(ledger.engine).append(change, by=OPTIMIZER, pack_allows_overlay=True, now=now)
    return overlay


def snapshot(ledger: Ledger, folder: Path, pack: str) -> Snapshot:
    governed = governed_signals(LIBRARY, Traffic(ledger.engine), folder, {})
    policy, store = LibraryPolicy(LIBRARY), SignalStore(ledger.engine)
    request = TaskRequest(
        task_id="task-1",
        caller="billing",
        pack=pack,
        content=ContentRef(digest="a" * 64, bytes=5, media_type="text/plain"),
        submitted_at=datetime.now(UTC),
    )
    found = SignalActivities(
        store, BudgetSettings(ledger.engine), policy, frozenset(), governed
    ).read_signals(request)
    assert found is not None
    return found


@pytest.mark.req("JG-37")
def test_a_task_of_the_pack_is_decided_with_the_overlay_in_force(
    ledger: Ledger, tmp_path: Path
) -> None:
    assert snapshot(ledger, tmp_path, "juggernaut").overlay is None
    overlay = put_in_force(ledger)
    assert snapshot(ledger, tmp_path, "juggernaut").overlay == overlay


def test_a_pack_without_overlay_rules_reads_none(ledger: Ledger, tmp_path: Path) -> None:
    put_in_force(ledger)
    assert snapshot(ledger, tmp_path, "omega").overlay is None
