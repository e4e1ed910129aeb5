"""Versions of a promote/demote overlay: added, never changed, and undone by a new one (JG-37)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from pointwork.contract.approval import ApproverKey
from pointwork.contract.canonical import sha256_hex
from pointwork.contract.overlay import (
    OPTIMIZER,
    Overlay,
    OverlayChange,
    OverlayPlace,
    reverted,
    windows_sha256,
)
from pointwork.ledger.overlays import OverlayConflictError, OverlayLog, OverlayRefusedError
from pointwork.ledger.policies import RevisionStore
from pointwork.policy.engine.overlay import reordered
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW

PACK = "juggernaut"
ROUTE = ("alpha", "beta")


def change(
    version: int = 1, *, pack: str = PACK, model: str = "alpha", other: str = "beta"
) -> OverlayChange:
    """``model`` goes behind ``other``."""
    overlay = Overlay(
        pack=pack,
        version=version,
        parent=version - 1 or None,
        created_at=NOW + timedelta(hours=version),
        reason=f"change {version}",
        windows_sha256=windows_sha256(()),
        places=(
            OverlayPlace(task_class="code", model=model, shift=-1),
            OverlayPlace(task_class="code", model=other, shift=1),
        ),
    )
    return OverlayChange(overlay=overlay, windows=())


def append(
    log: OverlayLog, given: OverlayChange, by: str = OPTIMIZER, *, allowed: bool = True
) -> bool:
    return log.append(given, by=by, pack_allows_overlay=allowed, now=given.overlay.created_at)


def revert(log: OverlayLog, to_version: int, by: str = "owner", at: datetime = NOW) -> Overlay:
    done = log.revert(PACK, to_version, by=by, pack_allows_overlay=True, now=at)
    return done.overlay


@pytest.fixture
def log(ledger: Ledger) -> OverlayLog:
    """Overlays of a ledger that knows one person, the owner."""
    key = ApproverKey(key_id="owner-1", approver="owner", public_key="AAAA")
    ledger.approvals.add_key(key, NOW)
    return OverlayLog(ledger.engine)


def kinds(ledger: Ledger) -> list[str]:
    return [each.kind for each in ledger.chain.records(100) if each.kind.startswith("policy")]


@pytest.mark.req("JG-37")
def test_the_version_rises_the_policy_stays_and_a_revert_restores_the_old_order(
    ledger: Ledger, log: OverlayLog
) -> None:
    sha256 = sha256_hex(b'{"a":1}')
    RevisionStore(ledger.engine).remember(sha256, PACK, "1.0", "p1", '{"a":1}', NOW)
    policy_before = ledger.rows("SELECT * FROM policy_revision")
    assert log.current(PACK) is None
    assert append(log, change(1))
    moved = log.current(PACK)
    assert moved is not None
    assert moved.version == 1
    assert reordered("code", ROUTE, moved) == ("beta", "alpha")
    back = revert(log, 0)
    assert (back.version, back.parent) == (2, 1)
    assert log.current(PACK) == back
    assert reordered("code", ROUTE, back) == ROUTE
    forth = revert(log, 1)
    assert (forth.version, forth.parent) == (3, 2)
    assert reordered("code", ROUTE, forth) == ("beta", "alpha")
    assert ledger.rows("SELECT * FROM policy_revision") == policy_before
    assert [(each.overlay.version, each.created_by) for each in log.history(PACK)] == [
        (3, "owner"),
        (2, "owner"),
        (1, OPTIMIZER),
    ]


@pytest.mark.req("JG-37")
def test_every_version_joins_the_audit_chain_with_its_evidence(
    ledger: Ledger, log: OverlayLog
) -> None:
    append(log, change(1))
    revert(log, 0)
    records = [each for each in ledger.chain.records(100) if each.kind == "policy_overlay"]
    assert [(each.body["by"], each.body["overlay"]["version"]) for each in records] == [
        (OPTIMIZER, 1),
        ("owner", 2),
    ]
    assert records[0].body["overlay"] == change(1).overlay.model_dump(mode="json")
    assert [each.body["reverts_to"] for each in records] == [None, 0]
    assert ledger.chain.verify().holds


def test_the_same_change_again_changes_nothing(ledger: Ledger, log: OverlayLog) -> None:
    assert append(log, change(1))
    assert not append(log, change(1))
    assert kinds(ledger) == ["policy_overlay"]


@pytest.mark.parametrize("version", [1, 3])
def test_a_change_that_does_not_follow_the_one_in_force_is_refused(
    log: OverlayLog, version: int
) -> None:
    append(log, change(1))
    with pytest.raises(OverlayConflictError, match=rf"version {version} .*propose again"):
        append(log, change(version, model="beta", other="gamma"))
    assert [each.overlay for each in log.history(PACK)] == [change(1).overlay]


@pytest.mark.parametrize("by", ["loop", "stranger", "", "Optimizer", "owner "])
def test_only_the_optimizer_or_a_person_writes_an_overlay(
    ledger: Ledger, log: OverlayLog, by: str
) -> None:
    with pytest.raises(OverlayRefusedError, match=r"may not write an overlay.*an approver's key"):
        append(log, change(1), by)
    with pytest.raises(OverlayRefusedError, match="may not write"):
        revert(log, 0, by)
    assert log.current(PACK) is None
    assert kinds(ledger) == ["policy_overlay_refused"] * 2


def test_a_person_whose_key_was_revoked_writes_nothing(ledger: Ledger, log: OverlayLog) -> None:
    assert append(log, change(1), "owner")
    ledger.approvals.revoke_key("owner-1", NOW)
    with pytest.raises(OverlayRefusedError, match="'owner' may not write"):
        revert(log, 0)


def test_the_loop_writes_nothing_even_with_a_key(ledger: Ledger, log: OverlayLog) -> None:
    key = ApproverKey(key_id="loop-1", approver="loop", public_key="AAAA")
    ledger.approvals.add_key(key, NOW)
    with pytest.raises(OverlayRefusedError, match="'loop' may not write"):
        append(log, change(1), "loop")


def test_a_pack_without_the_field_has_no_overlay_whoever_asks(
    ledger: Ledger, log: OverlayLog
) -> None:
    for by in (OPTIMIZER, "owner"):
        with pytest.raises(OverlayRefusedError, match=r"'omega' has no field overlay.*propose"):
            append(log, change(1, pack="omega"), by, allowed=False)
    assert log.current("omega") is None
    assert kinds(ledger) == ["policy_overlay_refused"] * 2


@pytest.mark.parametrize("to_version", [-1, 2, 99])
def test_a_version_that_never_was_cannot_be_gone_back_to(log: OverlayLog, to_version: int) -> None:
    append(log, change(1))
    with pytest.raises(OverlayConflictError, match=rf"no overlay version {to_version} .*0 to 1"):
        revert(log, to_version)


def test_where_nothing_moved_there_is_nothing_to_go_back_to(log: OverlayLog) -> None:
    with pytest.raises(OverlayConflictError, match="no overlay version 0"):
        revert(log, 0)


def test_packs_have_overlays_of_their_own(log: OverlayLog) -> None:
    append(log, change(1))
    append(log, change(1, pack="other", model="beta", other="gamma"))
    assert log.current(PACK) == change(1).overlay
    assert log.current("other") == change(1, pack="other", model="beta", other="gamma").overlay


def test_of_racing_writers_one_wins(ledger: Ledger, log: OverlayLog) -> None:
    append(log, change(1))
    together = threading.Barrier(4)

    def write(number: int) -> bool:
        together.wait(60)
        first = change(1).overlay
        mine = reverted(first, None, NOW + timedelta(hours=number), f"writer {number}")
        try:
            return append(log, mine)
        except OverlayConflictError:
            return False

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(write, range(4)))
    assert sum(won) == 1
    assert [each.overlay.version for each in log.history(PACK)] == [2, 1]
    assert ledger.chain.verify().holds


def test_the_overlay_is_part_of_the_one_reading_a_decision_gets(
    ledger: Ledger, log: OverlayLog
) -> None:
    append(log, change(1))

    def read(overlay_of: str | None) -> Overlay | None:
        return ledger.signals.read(
            window_keys=[],
            endpoints=[],
            conversation=None,
            queue="gpu-5090",
            now=NOW,
            overlay_of=overlay_of,
        ).overlay

    assert read(PACK) == change(1).overlay
    assert read("omega") is None
    assert read(None) is None
