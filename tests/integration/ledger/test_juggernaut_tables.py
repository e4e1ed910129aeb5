"""Juggernaut's tables: their shape, and that they follow the ledger (JG-43 to JG-46, JG-61)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import inspect, select
from sqlalchemy.exc import IntegrityError

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import WindowSpec
from pointwork.contract.failures import FailureType
from pointwork.contract.outcome import AttemptState, TaskStatus
from pointwork.ledger.budget_windows import open_windows
from pointwork.ledger.cost_tables import (
    COST_BUDGETS,
    MODEL_PERFORMANCE,
    MODEL_SELECTIONS,
    ROUTING_POLICIES,
)
from pointwork.ledger.engine import read, transact
from pointwork.ledger.juggernaut_tables import PolicyRow, keep_policies, overspent, project
from pointwork.ledger.policies import RevisionStore
from pointwork.ledger.reconcile import reconcile
from pointwork.ledger.selections import dollars, row_id
from pointwork.policy.bundle import PolicyLibrary
from tests.integration.ledger.charged import Charge, end, fail, run, send
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, UNLIMITED, answer, outcome
from tests.integration.ledger.test_reconcile import Record

USD = 1_000_000_000
NEVER = "9b2f3a54-0000-4000-8000-000000000000"
SHAPES: dict[str, dict[str, tuple[str, str | None]]] = {
    "routing_policies": {
        "id": ("UUID", None),
        "name": ("VARCHAR(50)", None),
        "description": ("TEXT", None),
        "policy_config": ("JSONB", None),
        "is_active": ("BOOLEAN", "true"),
        "created_at": ("TIMESTAMP", "now()"),
        "updated_at": ("TIMESTAMP", "now()"),
    },
    "model_selections": {
        "id": ("UUID", None),
        "task_id": ("UUID", None),
        "policy_name": ("VARCHAR(50)", None),
        "selected_model": ("VARCHAR(100)", None),
        "selected_provider": ("VARCHAR(50)", None),
        "estimated_cost": ("NUMERIC(10, 4)", None),
        "actual_cost": ("NUMERIC(10, 4)", None),
        "tokens_used": ("INTEGER", None),
        "response_time_ms": ("INTEGER", None),
        "success": ("BOOLEAN", None),
        "created_at": ("TIMESTAMP", "now()"),
    },
    "model_performance": {
        "id": ("UUID", None),
        "model_name": ("VARCHAR(100)", None),
        "provider": ("VARCHAR(50)", None),
        "window_start": ("TIMESTAMP", None),
        "window_end": ("TIMESTAMP", None),
        "total_requests": ("INTEGER", None),
        "successful_requests": ("INTEGER", None),
        "failed_requests": ("INTEGER", None),
        "avg_response_time_ms": ("INTEGER", None),
        "total_cost": ("NUMERIC(10, 2)", None),
        "avg_tokens_used": ("INTEGER", None),
        "created_at": ("TIMESTAMP", "now()"),
    },
    "cost_budgets": {
        "id": ("UUID", None),
        "budget_type": ("VARCHAR(50)", None),
        "budget_period": ("VARCHAR(20)", None),
        "budget_amount": ("NUMERIC(10, 2)", None),
        "spent_amount": ("NUMERIC(10, 2)", "0"),
        "period_start": ("TIMESTAMP", None),
        "period_end": ("TIMESTAMP", None),
        "alert_threshold": ("NUMERIC(5, 2)", "0.80"),
        "created_at": ("TIMESTAMP", "now()"),
    },
}
ON_SQLITE = {"UUID": "CHAR(32)", "JSONB": "JSON"}


def juggernaut(task_id: str, **call: Any) -> Charge:
    given = {"pack": "juggernaut", "task_class": "code", "task_type": "fix_bug", **call}
    return Charge(task_id=task_id, **given)


def selections(ledger: Ledger) -> list[dict[str, Any]]:
    query = select(MODEL_SELECTIONS).order_by(MODEL_SELECTIONS.c.selected_model)
    with read(ledger.engine) as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


@pytest.mark.req("JG-43", "JG-44", "JG-45", "JG-46")
@pytest.mark.parametrize("table", SHAPES)
def test_a_table_has_the_columns_types_and_defaults_of_the_seed(ledger: Ledger, table: str) -> None:
    is_postgres = ledger.engine.dialect.name == "postgresql"
    inspector = inspect(ledger.engine)
    found = {
        each["name"]: (str(each["type"]), each["default"]) for each in inspector.get_columns(table)
    }
    expected = SHAPES[table]
    if not is_postgres:
        expected = {
            name: (ON_SQLITE.get(kind, kind), (default or "").replace("now()", "CURRENT_TIMESTAMP"))
            for name, (kind, default) in expected.items()
        }
        found = {name: (kind, (was or "").strip("()'")) for name, (kind, was) in found.items()}
    assert found == expected
    assert inspector.get_pk_constraint(table)["constrained_columns"] == ["id"]


@pytest.mark.req("JG-43", "JG-44")
def test_names_of_policies_are_unique_and_a_selection_belongs_to_a_task(ledger: Ledger) -> None:
    inspector = inspect(ledger.engine)
    (unique,) = inspector.get_unique_constraints("routing_policies")
    assert unique["column_names"] == ["name"]
    (key,) = inspector.get_foreign_keys("model_selections")
    assert (key["constrained_columns"], key["referred_table"], key["referred_columns"]) == (
        ["task_id"],
        "governance_tasks",
        ["id"],
    )
    with pytest.raises(IntegrityError):
        ledger.rows(f"INSERT INTO model_selections (id, task_id) VALUES ('{NEVER}', '{NEVER}')")


@pytest.mark.req("JG-46")
def test_a_budget_inserted_with_its_defaults_reads_nothing_spent_and_four_fifths(
    ledger: Ledger,
) -> None:
    ledger.rows(f"INSERT INTO cost_budgets (id) VALUES ('{NEVER.replace('-', '')}')")
    with read(ledger.engine) as connection:
        row = connection.execute(select(COST_BUDGETS)).one()
    assert (row.spent_amount, row.alert_threshold) == (Decimal("0.00"), Decimal("0.80"))
    assert row.created_at.tzinfo is UTC


@pytest.mark.req("JG-44")
def test_a_selection_stands_with_its_estimate_before_the_call_and_its_cost_after(
    ledger: Ledger,
) -> None:
    charge = juggernaut("t", amount=123_450_000, model="gpt-4o", vendor="openai")
    send(ledger, charge)
    (before,) = selections(ledger)
    assert before["id"] == row_id("model_selections", "t/1")
    assert (before["policy_name"], before["selected_model"]) == ("code", "gpt-4o")
    assert (before["selected_provider"], before["created_at"]) == ("openai", NOW)
    assert (before["estimated_cost"], before["actual_cost"]) == (Decimal("0.1235"), None)
    assert (before["tokens_used"], before["success"]) == (None, None)
    ledger.attempts.finish("t/1", **answer(cost=100_050_000))
    end(ledger, charge)
    (after,) = selections(ledger)
    assert after["actual_cost"] == Decimal("0.1001")
    assert (after["tokens_used"], after["response_time_ms"], after["success"]) == (30, 12, True)
    assert ledger.rows("SELECT type, class FROM governance_tasks") == [
        {"type": "fix_bug", "class": "code"}
    ]


@pytest.mark.req("JG-44")
def test_a_failed_call_has_no_success_and_its_fallback_is_a_selection_of_the_same_task(
    ledger: Ledger,
) -> None:
    fail(ledger, juggernaut("t", model="a", cost=0))
    run(ledger, juggernaut("t", model="b", number=2))
    first, second = selections(ledger)
    assert (first["success"], second["success"]) == (False, True)
    assert first["task_id"] == second["task_id"] == row_id("governance_tasks", "t")


def test_an_answer_that_a_check_refused_is_no_success(ledger: Ledger) -> None:
    charge = juggernaut("t")
    send(ledger, charge)
    ledger.attempts.finish("t/1", **answer())
    failure = FailureType.PROVIDERS_EXHAUSTED
    ended = ledger.outcomes.log(outcome("t", TaskStatus.FAILED, failure=failure), None, NOW)
    assert [each.state for each in ended.attempts] == [AttemptState.DONE]
    assert [each["success"] for each in selections(ledger)] == [False]


def test_a_call_never_sent_cost_nothing_and_neither_succeeded_nor_failed(ledger: Ledger) -> None:
    charge = juggernaut("t")
    ledger.budgets.reserve(
        record=charge.record(),
        part_id="t/1",
        task_id="t",
        invoke=charge.invoke(),
        amount_nano_usd=100,
        task_ceiling_nano_usd=1000,
        windows=(),
        price_version="test-1",
        expires_in_seconds=60,
        now=NOW,
    )
    end(ledger, charge, TaskStatus.CANCELLED)
    (row,) = selections(ledger)
    assert (row["actual_cost"], row["success"], row["response_time_ms"]) == (0, None, None)


def test_a_late_answer_corrects_its_selection(ledger: Ledger) -> None:
    charge = juggernaut("t", amount=2 * USD)
    send(ledger, charge)
    end(ledger, charge, TaskStatus.CANCELLED)
    assert [each["success"] for each in selections(ledger)] == [False]
    ledger.attempts.finish("t/1", **answer(cost=3 * USD))
    (row,) = selections(ledger)
    assert (row["success"], row["actual_cost"], row["tokens_used"]) == (True, Decimal(3), 30)


def test_a_vendors_record_corrects_the_cost_of_its_selection(ledger: Ledger) -> None:
    charge = juggernaut("t", amount=2 * USD)
    send(ledger, charge)
    end(ledger, charge, TaskStatus.CANCELLED)
    assert [each["actual_cost"] for each in selections(ledger)] == [Decimal(2)]
    assert reconcile(ledger.engine, "t/1", Record(cost_nano_usd=USD // 2), NOW)
    assert [each["actual_cost"] for each in selections(ledger)] == [Decimal("0.5")]


def test_other_packs_leave_no_trace_in_the_tables(ledger: Ledger) -> None:
    run(ledger, Charge(task_id="t"))
    assert ledger.rows("SELECT id FROM governance_tasks") == []
    assert selections(ledger) == []


def test_names_and_figures_beyond_a_column_never_stop_a_settlement(ledger: Ledger) -> None:
    name = "m" * 128
    charge = juggernaut(
        "t", model=name, vendor=name, task_class=name, amount=UNLIMITED, cost=UNLIMITED
    )
    assert run(ledger, charge).cost_nano_usd == UNLIMITED
    (row,) = selections(ledger)
    assert row["actual_cost"] == row["estimated_cost"] == Decimal("999999.9999")
    lengths = [len(row[each]) for each in ("policy_name", "selected_model", "selected_provider")]
    assert lengths == [50, 100, 50]


@pytest.mark.parametrize(
    ("amount", "expected"), [(49_999, "0.0000"), (50_000, "0.0001"), (149_999, "0.0001")]
)
def test_dollars_are_rounded_half_up(amount: int, expected: str) -> None:
    assert dollars(amount, 10, 4) == Decimal(expected)


@pytest.mark.req("JG-45")
def test_a_closed_day_is_written_once_with_successes_and_failures_that_sum_to_its_requests(
    ledger: Ledger,
) -> None:
    for number in range(5):
        run(ledger, juggernaut(f"good-{number}", model="gpt-4o", vendor="openai", cost=USD))
    for number in range(2):
        charge = juggernaut(f"bad-{number}", model="gpt-4o", vendor="openai", cost=0)
        fail(ledger, charge)
        end(ledger, charge, TaskStatus.FAILED)
    run(ledger, Charge(task_id="of-another-pack", model="gpt-4o"))
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    assert project(ledger.engine, midnight) == 0
    after = midnight + timedelta(hours=1)
    assert [project(ledger.engine, after) for _ in range(2)] == [1, 0]
    with read(ledger.engine) as connection:
        row = connection.execute(select(MODEL_PERFORMANCE)).one()
    assert (row.model_name, row.provider, row.total_cost) == ("gpt-4o", "openai", Decimal(5))
    assert (row.total_requests, row.successful_requests, row.failed_requests) == (7, 5, 2)
    assert (row.window_start, row.window_end) == (midnight - timedelta(days=1), midnight)
    assert (row.avg_response_time_ms, row.avg_tokens_used) == (12, 30)


def open_window(ledger: Ledger, period: str, limit: int, spent: int) -> None:
    starts_at = datetime(2026, 3, 1, tzinfo=UTC)
    spec = WindowSpec(
        key=f"juggernaut/pack/juggernaut/{period}/2026-03-01",
        scope="pack/juggernaut",
        period=period,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(days=7 if period == "week" else 1),
        limit_nano_usd=limit,
    )
    transact(ledger.engine, lambda connection: open_windows(connection, [spec]))
    # The figures alone matter here, so no part stands behind them.
    ledger.broken_on_purpose = True
    ledger.rows(
        f"UPDATE budget_window SET spent_nano_usd = {spent} WHERE window_key = '{spec.key}'"
    )


@pytest.mark.req("JG-46", "JG-61")
def test_budgets_are_those_the_pack_names_and_move_with_what_is_spent(
    ledger: Ledger, library: PolicyLibrary
) -> None:
    bundle = library.active("juggernaut")
    ref, text = bundle.ref, canonical_json(bundle).decode()
    RevisionStore(ledger.engine).remember(
        ref.bundle_sha256, ref.pack, ref.version, ref.pack_sha256, text, NOW
    )
    since = NOW - timedelta(days=1)
    open_window(ledger, "day", 12_500_000_000, 10_000_000_000)
    open_window(ledger, "week", 62_500_000_000, 0)
    assert project(ledger.engine, NOW) == 2
    assert overspent(ledger.engine, since) == []
    # A tenth of a cent beyond the budget, which the table's two decimals cannot show.
    open_window(ledger, "day", 12_500_000_000, 10_001_000_000)
    assert overspent(ledger.engine, since) == ["juggernaut/pack/juggernaut/day/2026-03-01"]
    project(ledger.engine, NOW)
    with read(ledger.engine) as connection:
        day, week = connection.execute(
            select(COST_BUDGETS).order_by(COST_BUDGETS.c.budget_period)
        ).all()
    assert (day.budget_type, day.budget_period) == ("pack/juggernaut", "day")
    assert (day.budget_amount, day.spent_amount) == (Decimal(10), Decimal(10))
    assert (week.budget_amount, week.spent_amount) == (Decimal(50), Decimal(0))
    assert day.alert_threshold == Decimal("0.80")
    assert project(ledger.engine, NOW + timedelta(days=30)) == 0


@pytest.mark.req("JG-43")
def test_policies_are_kept_by_name_and_only_a_changed_one_is_updated(ledger: Ledger) -> None:
    later = NOW + timedelta(days=1)
    code, ops = (
        PolicyRow(name=n, description=n, config={"max_tokens": 1}) for n in ("code", "ops")
    )
    keep_policies(ledger.engine, [code, ops], NOW)
    changed = PolicyRow(name="ops", description="ops", config={"max_tokens": 2})
    keep_policies(ledger.engine, [code, changed], later)
    assert policies(ledger) == {
        "code": ({"max_tokens": 1}, True, NOW),
        "ops": ({"max_tokens": 2}, True, later),
    }
    keep_policies(ledger.engine, [code], later)
    assert policies(ledger)["ops"] == ({"max_tokens": 2}, False, later)


def policies(ledger: Ledger) -> dict[str, Any]:
    with read(ledger.engine) as connection:
        return {
            row.name: (row.policy_config, row.is_active, row.updated_at)
            for row in connection.execute(select(ROUTING_POLICIES))
        }
