"""Windows and plans are kept from one decision to the next, and never from one rule to another."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pointwork.contract.decision import WindowSpec
from pointwork.policy.decide import decide
from pointwork.policy.engine.windows import windows_at
from tests.fakes.policy_facts import Situation, changed, shipped

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
DAY = {"scope": "pack", "period": "day", "limit": 5}


def only_window(moment: datetime = NOON, *, caller: str = "billing", **pack: Any) -> WindowSpec:
    document = changed(shipped(), pack={"budgets": [DAY]} | pack).pack
    (window,) = windows_at(document, moment, caller=caller)
    return window


def test_every_moment_of_a_day_has_the_same_window() -> None:
    midnight = NOON.replace(hour=0)
    assert only_window(midnight) == only_window(NOON)
    assert only_window(midnight + timedelta(days=1, microseconds=-1)) == only_window(NOON)
    assert only_window(midnight + timedelta(days=1)) != only_window(NOON)
    assert only_window(midnight - timedelta(microseconds=1)) != only_window(NOON)


@pytest.mark.parametrize(
    "other",
    [
        {"budgets": [DAY | {"limit": 6}]},
        {"budgets": [DAY | {"period": "week"}]},
        {"budgets": [DAY | {"scope": "caller"}]},
        {"timezone": "Asia/Kathmandu"},
        {"pack": "another"},
    ],
    ids=str,
)
def test_a_pack_that_says_otherwise_gets_its_own_window(other: dict[str, Any]) -> None:
    first = only_window()
    assert only_window(**other) != first
    assert only_window() == first


def test_each_caller_has_a_window_of_its_own() -> None:
    budgets = [DAY | {"scope": "caller"}]
    billing = only_window(caller="billing", budgets=budgets)
    assert billing.scope == "caller/billing"
    assert only_window(caller="tutor", budgets=budgets).scope == "caller/tutor"
    assert only_window(caller="billing", budgets=budgets) == billing


def test_a_copy_of_a_bundle_with_other_rules_names_itself_and_not_its_original() -> None:
    bundle = shipped()
    task = Situation(task_class="high_stakes_logic", sensitivity="public")
    before = decide(task.facts(bundle), bundle).policy
    other = bundle.model_copy(update={"host": bundle.host.model_copy(update={"host": "other"})})
    assert decide(task.facts(other), other).policy.bundle_sha256 == other.sha256
    assert other.ref.pack_sha256 == before.pack_sha256
    assert other.ref.bundle_sha256 != before.bundle_sha256
    assert bundle.ref == before
