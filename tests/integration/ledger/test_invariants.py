"""The checker itself: a sound ledger passes and each kind of damage is named (reliability 2.2)."""

import pytest

from pointwork.ledger.invariants import check
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve, window


@pytest.fixture
def busy(ledger: Ledger) -> Ledger:
    """t-1 is done, t-2 is sent, t-3 is planned; all in one window."""
    for task_id in ("t-1", "t-2", "t-3"):
        accept(ledger.vault, task_id)
        reserve(ledger.budgets, task_id, windows=[window("day")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    ledger.attempts.finish("t-1/1", **answer(cost=60))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    ledger.attempts.begin(invoke("t-2"), "t-2/1", NOW)
    return ledger


def test_a_busy_ledger_is_sound(busy: Ledger) -> None:
    assert check(busy.engine) == []


@pytest.mark.parametrize(
    ("invariant", "damage", "names"),
    [
        ("I2", "UPDATE budget_window SET limit_nano_usd = 9, limit_high_nano_usd = 9", "day"),
        ("I3", "UPDATE budget_window SET reserved_nano_usd = reserved_nano_usd + 1", "day"),
        ("I3", "DELETE FROM hold_part_window WHERE part_id = 't-3/1'", "day"),
        ("I4", "UPDATE budget_window SET spent_nano_usd = spent_nano_usd + 1", "day"),
        ("I4", "UPDATE hold_part SET posted_nano_usd = 61 WHERE part_id = 't-1/1'", "day"),
        ("I5", "UPDATE hold_part SET state = 'voided' WHERE part_id = 't-1/1'", "t-1/1"),
        ("I5", "UPDATE hold_part SET posted_nano_usd = 5 WHERE part_id = 't-3/1'", "t-3/1"),
        (
            "I6",
            "UPDATE hold_part SET state = 'reserved', settled_at = NULL WHERE part_id = 't-1/1'",
            "t-1/1",
        ),
        (
            "I5",
            "UPDATE hold_part SET state = 'expired', posted_nano_usd = 1, settled_at = created_at "
            "WHERE part_id = 't-3/1'",
            "t-3/1",
        ),
        ("I7", "UPDATE outcome SET body = replace(body, '60', '61')", "t-1"),
        ("I7", "UPDATE audit SET record = replace(record, '60', '61')", "record 1"),
        ("I7", "DELETE FROM outcome", "t-1"),
        ("I7", "UPDATE outcome SET task_id = 't-9'", "t-9"),
        (
            "I8",
            "UPDATE hold_part SET state = 'expired', settled_at = created_at "
            "WHERE part_id = 't-2/1'",
            "t-2/1",
        ),
        (
            "I8",
            "UPDATE hold_part SET state = 'posted', settled_at = created_at "
            "WHERE part_id = 't-2/1'",
            "t-2/1",
        ),
        (
            "I8",
            "UPDATE hold_part SET created_at = '2026-03-02 00:00:00' WHERE part_id = 't-2/1'",
            "t-2/1",
        ),
    ],
)
def test_each_kind_of_damage_is_named(
    busy: Ledger, invariant: str, damage: str, names: str
) -> None:
    busy.broken_on_purpose = True
    busy.rows(damage)
    found = [each for each in check(busy.engine) if each.invariant == invariant]
    assert found
    assert any(names in each.sentence for each in found)


def test_an_overrun_explains_its_excess_and_no_more(ledger: Ledger) -> None:
    ledger.broken_on_purpose = True
    accept(ledger.vault, "t-1")
    reserve(ledger.budgets, "t-1", amount=1000, windows=[window("day")])
    ledger.attempts.begin(invoke("t-1", amount=1000), "t-1/1", NOW)
    ledger.attempts.finish("t-1/1", **answer(cost=1300))
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    assert check(ledger.engine) == []
    ledger.rows("UPDATE overrun SET excess_nano_usd = 299")
    assert [each.invariant for each in check(ledger.engine)] == ["I2"]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("counter", ["reserved_nano_usd", "spent_nano_usd"])
def test_a_negative_counter_is_named_where_the_database_let_it_in(
    ledger: Ledger, counter: str
) -> None:
    ledger.broken_on_purpose = True
    reserve(ledger.budgets, "t-1", windows=[window("day"), window("week")])
    ledger.rows("PRAGMA ignore_check_constraints = ON")
    ledger.rows(f"UPDATE budget_window SET {counter} = -1 WHERE window_key = 'week'")
    (found,) = (each for each in check(ledger.engine) if each.invariant == "I1")
    assert found.sentence.startswith("window week has")


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_a_call_that_no_part_pays_for_is_named_where_the_database_let_it_in(busy: Ledger) -> None:
    busy.broken_on_purpose = True
    connection = busy.engine.raw_connection()
    for statement in (
        "PRAGMA foreign_keys = OFF",
        "BEGIN IMMEDIATE",
        "DELETE FROM hold_part WHERE part_id = 't-2/1'",
        "COMMIT",
    ):
        connection.cursor().execute(statement)
    connection.close()
    (found,) = (each for each in check(busy.engine) if each.invariant == "I8")
    assert found.sentence == "attempt t-2/1 is sent and the part that pays for it is missing"


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("damage", "names"),
    [
        ("UPDATE hold_part SET settled_at = created_at WHERE part_id = 't-3/1'", "t-3/1"),
        ("UPDATE hold_part SET settled_at = NULL WHERE part_id = 't-1/1'", "t-1/1"),
    ],
)
def test_a_part_that_ended_without_a_moment_is_named_where_the_database_let_it_in(
    busy: Ledger, damage: str, names: str
) -> None:
    busy.broken_on_purpose = True
    busy.rows("PRAGMA ignore_check_constraints = ON")
    busy.rows(damage)
    (found,) = (each for each in check(busy.engine) if each.invariant == "I5")
    assert names in found.sentence


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_when_a_planned_call_was_sent_is_not_asked(busy: Ledger) -> None:
    """What was never sent cannot have been sent too early, though the database let it in."""
    busy.rows("PRAGMA ignore_check_constraints = ON")
    busy.rows("UPDATE attempt SET sent_at = '2026-02-01 00:00:00' WHERE task_id = 't-3'")
    assert [each for each in check(busy.engine) if each.invariant == "I8"] == []
