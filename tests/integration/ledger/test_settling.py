"""Every hold ends once, whatever is tried on it afterwards (reliability cases 7, 9, 10 and 16)."""

import itertools
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import NANO_PER_USD
from pointwork.contract.outcome import AttemptState, ReserveOutcome, Settlement, TaskStatus
from pointwork.contract.task import Constraints
from pointwork.ledger.attempts import AttemptClosedError
from pointwork.ledger.budget_alerts import AlertBook
from pointwork.ledger.budget_tables import AlertKind
from pointwork.ledger.sweeper import expire_parts
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve, window

KEYS = ("day", "week")
LATE = 173
"""What the call really cost, of 100 held."""

Step = Callable[[Ledger], object]


def settle(ledger: Ledger) -> None:
    """The call answers and the task ends: what it cost is posted."""
    ledger.attempts.finish("t-1/1", **answer(cost=60))
    ledger.outcomes.log(outcome("t-1"), None, NOW)


def fail(ledger: Ledger) -> None:
    ledger.attempts.fail("t-1/1", ProviderFailureKind.TIMEOUT, 60, Settlement.EXACT, 5, NOW)


def void(ledger: Ledger) -> None:
    """The task ends without the call: whatever was not sent is released."""
    ledger.outcomes.log(outcome("t-1", TaskStatus.CANCELLED), None, NOW)


def expire(ledger: Ledger) -> None:
    expire_parts(ledger.engine, NOW, lambda _: False)


def send(ledger: Ledger) -> None:
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)


def bill_late(ledger: Ledger) -> None:
    """The bill comes, higher than anything was posted for it."""
    kind = ProviderFailureKind.TRUNCATED
    ledger.attempts.fail("t-1/1", kind, LATE, Settlement.EXACT, 5, NOW)


def answer_late(ledger: Ledger) -> None:
    ledger.attempts.finish("t-1/1", **answer(cost=LATE))


def part(ledger: Ledger) -> dict[str, Any]:
    """The one row of the hold, which has one state, one sum and one moment of its end."""
    (row,) = ledger.rows("SELECT state, posted_nano_usd, settled_at FROM hold_part")
    return row


def overruns(ledger: Ledger) -> list[dict[str, Any]]:
    return ledger.rows("SELECT part_id, excess_nano_usd FROM overrun")


def alarms(ledger: Ledger) -> list[str]:
    alerts = AlertBook(ledger.engine).alerts(seen=True)
    return [each.subject for each in alerts if each.kind == AlertKind.OVERRUN]


@pytest.fixture
def held(ledger: Ledger) -> Ledger:
    """Task t-1 with a planned call of 100 in two windows, whose hold has run out."""
    accept(ledger.vault, "t-1")
    windows = [window(key) for key in KEYS]
    reserve(ledger.budgets, "t-1", windows=windows, expires_in_seconds=0)
    return ledger


@pytest.mark.parametrize(
    ("ends", "state", "spent"),
    [
        ((send, settle), "posted", 60),
        ((send, fail), "posted", 60),
        ((send, void), "posted", 100),
        ((send, expire), "posted", 100),
        ((void,), "voided", 0),
        ((expire,), "expired", 0),
    ],
    ids=["answered", "failed", "lost", "swept", "voided", "expired"],
)
@pytest.mark.req("OM-37", "CX-90")
def test_a_hold_that_ended_ends_no_second_time(
    held: Ledger, ends: tuple[Step, ...], state: str, spent: int
) -> None:
    """Whatever comes in whatever order afterwards, but for a bill: that would be real."""
    for step in ends:
        step(held)
    first = part(held)
    assert (first["state"], first["posted_nano_usd"]) == (state, spent)
    for later in itertools.permutations([fail, void, expire, send]):
        for step in later:
            try:
                step(held)
            except AttemptClosedError:
                continue
        assert part(held) == first
        assert held.budgets.read(KEYS) == dict.fromkeys(KEYS, (1000, spent))
        assert reserve(held.budgets, "t-1").outcome is ReserveOutcome.ALREADY_SETTLED
    assert overruns(held) == []
    assert alarms(held) == []


@pytest.mark.parametrize("end", [void, expire], ids=["logged", "swept"])
@pytest.mark.parametrize("bill", [bill_late, answer_late], ids=["failed", "answered"])
@pytest.mark.req("OM-39")
def test_a_bill_after_the_end_makes_one_overrun_and_one_alarm(
    held: Ledger, end: Step, bill: Step
) -> None:
    send(held)
    end(held)
    for _ in range(3):
        bill(held)
        end(held)
    assert part(held)["state"] == "posted"
    assert part(held)["posted_nano_usd"] == LATE
    assert held.budgets.read(KEYS) == dict.fromkeys(KEYS, (1000, LATE))
    assert overruns(held) == [{"part_id": "t-1/1", "excess_nano_usd": LATE - 100}]
    assert alarms(held) == ["t-1/1"]


@pytest.mark.req("OM-37", "OM-39")
def test_what_a_call_did_not_cost_comes_back_and_what_it_cost_above_is_on_record(
    ledger: Ledger,
) -> None:
    """For 60 costs around their holds, to the nano-USD; no clamp hides an excess."""
    rng, limit = random.Random(9), 2**50
    windows = [window(key, limit) for key in KEYS]
    spent = 0
    expected: list[dict[str, Any]] = []
    for number in range(60):
        task_id, amount = f"t-{number}", rng.randrange(1, 3 * NANO_PER_USD)
        cost = (0, amount - 1, amount, amount + 1, rng.randrange(2 * amount))[number % 5]
        reserve(ledger.budgets, task_id, amount=amount, windows=windows)
        assert ledger.budgets.read(KEYS) == dict.fromkeys(KEYS, (limit, spent + amount))
        ledger.attempts.begin(invoke(task_id, amount=amount), f"{task_id}/1", NOW)
        kind = ProviderFailureKind.TRUNCATED
        ledger.attempts.fail(f"{task_id}/1", kind, cost, Settlement.EXACT, 5, NOW)
        spent += cost
        assert ledger.budgets.read(KEYS) == dict.fromkeys(KEYS, (limit, spent))
        if cost > amount:
            expected.append({"part_id": f"{task_id}/1", "excess_nano_usd": cost - amount})
    assert sorted(overruns(ledger), key=str) == sorted(expected, key=str)
    assert sorted(alarms(ledger)) == sorted(each["part_id"] for each in expected)


@pytest.mark.parametrize(
    "tokens", ["-1", "0", "true", "false", "1.5", "1.0", "NaN", "Infinity", "1e30", '"512"', "null"]
)
def test_only_a_whole_positive_number_of_tokens_bounds_a_call(tokens: str) -> None:
    """No call goes out with none, and none is not the same as 0: neither is taken."""
    text = f'{{"max_output_tokens": {tokens}}}'
    with pytest.raises(ValidationError):
        Constraints.model_validate_json(text)
    with pytest.raises(ValidationError):
        Constraints.model_validate(json.loads(text))


def test_a_cost_of_nothing_is_a_cost_and_an_unknown_one_is_not(ledger: Ledger) -> None:
    """0 is posted as 0; a cost that nobody knows is the whole estimate."""
    for task_id in ("known", "unknown"):
        reserve(ledger.budgets, task_id, windows=[window("day")])
        ledger.attempts.begin(invoke(task_id), f"{task_id}/1", NOW)
    kind = ProviderFailureKind.INVALID_REQUEST
    ledger.attempts.fail("known/1", kind, 0, Settlement.EXACT, 5, NOW)
    known = ledger.outcomes.log(outcome("known"), None, NOW)
    unknown = ledger.outcomes.log(outcome("unknown"), None, NOW)
    assert (known.cost_nano_usd, known.settlement) == (0, Settlement.EXACT)
    assert (unknown.cost_nano_usd, unknown.settlement) == (100, Settlement.AT_LEAST)
    assert [each.state for each in unknown.attempts] == [AttemptState.UNKNOWN]


@pytest.mark.parametrize("limits", [{"day": 0}, {"day": 1000, "week": 0}])
def test_a_limit_of_nothing_is_a_limit_and_covers_only_free_calls(
    ledger: Ledger, limits: dict[str, int]
) -> None:
    windows = [window(key, limit) for key, limit in limits.items()]
    charged = reserve(ledger.budgets, "t-1", amount=1, windows=windows)
    assert charged.outcome is ReserveOutcome.EXCEEDS_LIMIT
    free = reserve(ledger.budgets, "t-2", amount=0, windows=windows)
    assert free.outcome is ReserveOutcome.RESERVED
    ceiling = reserve(ledger.budgets, "t-3", amount=1, ceiling=0, windows=[window("month")])
    assert (ceiling.outcome, ceiling.refused_by) == (ReserveOutcome.EXCEEDS_LIMIT, "task")


@pytest.mark.req("CX-90", "SP-43")
def test_a_limit_lowered_under_open_holds_admits_nothing_until_it_is_raised_again(
    ledger: Ledger,
) -> None:
    """Ten holds of 100 stand when 1000 becomes 300; they finish one by one, cheap and dear."""
    for number in range(10):
        reserve(ledger.budgets, f"open-{number}", windows=[window("day", 1000)])
        ledger.attempts.begin(invoke(f"open-{number}"), f"open-{number}/1", NOW)
    committed, spent, admitted = 1000, 0, 0
    for number in range(10):
        for attempt in range(10):
            new = f"new-{number}-{attempt}"
            refused = reserve(ledger.budgets, new, amount=1, windows=[window("day", 300)])
            assert (refused.outcome, refused.refused_by) == (ReserveOutcome.EXCEEDS_LIMIT, "day")
        cost = (50, 100, 20)[number % 3]
        kind = ProviderFailureKind.TRUNCATED
        ledger.attempts.fail(f"open-{number}/1", kind, cost, Settlement.EXACT, 5, NOW)
        committed, spent = committed - 100 + cost, spent + cost
        assert ledger.budgets.read(["day"]) == {"day": (300, committed)}
    assert committed == spent > 300
    raised = [window("day", spent + 250)]
    for number in range(5):
        after = reserve(ledger.budgets, f"after-{number}", windows=raised)
        admitted += after.outcome is ReserveOutcome.RESERVED
    assert admitted == 2
    assert ledger.budgets.read(["day"]) == {"day": (spent + 250, spent + 200)}
