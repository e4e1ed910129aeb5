"""Random histories of holds and calls, against a model in plain Python (reliability case 1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState, ReserveOutcome, Settlement
from pointwork.ledger import invariants
from pointwork.ledger.attempts import AttemptClosedError, BudgetRefusedError
from pointwork.ledger.columns import METADATA
from pointwork.ledger.engine import open_engine, transact
from pointwork.ledger.sweeper import expire_parts
from tests.integration.ledger.conftest import Ledger, without_flushes
from tests.integration.ledger.records import (
    NOW,
    accept,
    answer,
    invoke,
    outcome,
    reserve,
    window,
)
from tests.scale import Scale

NAMES = ("t-1", "t-2", "t-3")
TASKS = st.sampled_from(NAMES)
NUMBERS = st.sampled_from([1, 2])
SCOPES = ("day", "vendor", "week")
LIMITS = {"day": 100, "vendor": 70, "week": 150}
DAYS_IN_A_WEEK = 2
AMOUNTS = st.sampled_from([0, 1, 30, 50, 60])
COSTS = st.sampled_from([0, 1, 30, 60, 90])
DONE, FAILED, PLANNED, SENT, UNKNOWN = (
    AttemptState.DONE,
    AttemptState.FAILED,
    AttemptState.PLANNED,
    AttemptState.SENT,
    AttemptState.UNKNOWN,
)


@dataclass
class Part:
    """What the model knows of a part and its attempt."""

    task_id: str
    amount: int
    keys: tuple[str, ...]
    ceiling: int
    is_expired: bool
    attempt: AttemptState = PLANNED
    is_open: bool = True
    posted: int = 0
    cost: int = 0
    above: int = 0
    """What its bill came to above the hold; it is held as well, until the task is logged."""


@dataclass
class Model:
    parts: dict[str, Part] = field(default_factory=dict)
    logged: dict[str, int] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    """By window key, as the last reserve that named the window set it."""

    def committed(self, key: str) -> int:
        return sum(
            (part.amount + part.above if part.is_open else 0) + part.posted
            for part in self.parts.values()
            if key in part.keys
        )

    def held(self, task_id: str) -> int:
        return sum(
            part.amount + part.above if part.is_open else part.posted
            for part in self.parts.values()
            if part.task_id == task_id
        )

    def refusal(self, part: Part) -> str | None:
        """The limit that does not cover a new part."""
        if part.amount == 0:
            return None
        if self.held(part.task_id) + part.amount > part.ceiling:
            return "task"
        full = [key for key in part.keys if self.committed(key) + part.amount > self.limits[key]]
        return min(full, default=None)

    def settle(self, part: Part) -> None:
        part.is_open = False
        if part.attempt in (DONE, FAILED):
            part.posted = part.cost
        elif part.attempt in (SENT, UNKNOWN):
            part.attempt, part.posted = UNKNOWN, part.amount

    def close(self, part: Part, state: AttemptState, cost: int) -> None:
        part.attempt, part.cost = state, cost
        if not part.is_open:
            part.posted = max(part.posted, cost)
        elif state is FAILED:
            self.settle(part)
        else:
            part.above = max(0, cost - part.amount)


class LedgerMachine(RuleBasedStateMachine):
    """Every rule does the same to the ledger and to the model."""

    ledger: ClassVar[Ledger]

    def __init__(self) -> None:
        super().__init__()
        empty(self.ledger)
        self.model = Model()
        self.limits = dict(LIMITS)
        self.today = 0
        self.asked: list[dict[str, Any]] = []
        for task_id in NAMES:
            accept(self.ledger.vault, task_id)

    def teardown(self) -> None:
        assert invariants.check(self.ledger.engine) == []

    def key(self, scope: str) -> str:
        """The window of ``scope`` that a call made today falls in."""
        number = self.today if scope != "week" else self.today // DAYS_IN_A_WEEK
        return f"{scope}/{number}"

    @rule()
    def the_next_day_begins(self) -> None:
        self.today += 1

    @rule(scope=st.sampled_from(SCOPES), limit=st.sampled_from([0, 40, 100, 200]))
    def change_a_limit(self, scope: str, limit: int) -> None:
        """It takes effect with the next reserve that names the window."""
        self.limits[scope] = limit

    @rule(
        task_id=TASKS,
        number=NUMBERS,
        amount=AMOUNTS,
        scopes=st.sets(st.sampled_from(SCOPES)),
        ceiling=st.sampled_from([60, 1000]),
        is_expired=st.booleans(),
    )
    def reserve(
        self,
        task_id: str,
        number: int,
        amount: int,
        scopes: set[str],
        ceiling: int,
        is_expired: bool,
    ) -> None:
        limits = {self.key(scope): self.limits[scope] for scope in scopes}
        asked: dict[str, Any] = {
            "task_id": task_id,
            "number": number,
            "amount": amount,
            "limits": limits,
            "ceiling": ceiling,
            "is_expired": is_expired,
        }
        self.asked.append(asked)
        self._reserve(**asked)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def replay_a_reserve(self, data: st.DataObject) -> None:
        """Word for word, as Temporal repeats an activity whose answer was lost, days later too."""
        self._reserve(**data.draw(st.sampled_from(self.asked)))

    def _reserve(
        self,
        *,
        task_id: str,
        number: int,
        amount: int,
        limits: dict[str, int],
        ceiling: int,
        is_expired: bool,
    ) -> None:
        part_id = f"{task_id}/{number}"
        part = Part(task_id, amount, tuple(sorted(limits)), ceiling, is_expired)
        self.model.limits |= limits
        before = self.model.parts.get(part_id)
        refused_by = None
        if before is not None and before.amount != amount:
            expected = ReserveOutcome.EXISTS_WITH_DIFFERENT_AMOUNT
        elif before is not None:
            expected = ReserveOutcome.EXISTS if before.is_open else ReserveOutcome.ALREADY_SETTLED
        elif task_id in self.model.logged:
            expected = ReserveOutcome.ALREADY_SETTLED
        elif refused_by := self.model.refusal(part):
            expected = ReserveOutcome.EXCEEDS_LIMIT
        else:
            expected = ReserveOutcome.RESERVED
            self.model.parts[part_id] = part
        got = reserve(
            self.ledger.budgets,
            task_id,
            number,
            amount=amount,
            ceiling=ceiling,
            windows=[window(key, limit) for key, limit in limits.items()],
            expires_in_seconds=0 if is_expired else 3600,
        )
        assert (got.outcome, got.refused_by) == (expected, refused_by)
        assert got.amount_nano_usd == self.model.held(task_id)

    @rule(task_id=TASKS, number=NUMBERS)
    def begin(self, task_id: str, number: int) -> None:
        base = f"{task_id}/{number}"
        sends = [each for each in self.model.parts if each == base or each.startswith(f"{base}.")]
        expected = self._begun(task_id, base, sends)
        if isinstance(expected, str):
            start = self.ledger.attempts.begin(invoke(task_id, number), base, NOW)
            assert start.attempt_id == expected
        else:
            with pytest.raises(expected):
                self.ledger.attempts.begin(invoke(task_id, number), base, NOW)

    def _begun(self, task_id: str, base: str, sends: list[str]) -> str | type[Exception]:
        """The attempt that goes out (or has its answer), or the error."""
        for attempt_id in sends:
            if self.model.parts[attempt_id].attempt is DONE:
                return attempt_id
        last = self.model.parts[sends[-1]] if sends else None
        if last is None or not last.is_open or last.attempt is FAILED:
            return AttemptClosedError
        if last.attempt is PLANNED:
            last.attempt = SENT
            return sends[-1]
        last.attempt = UNKNOWN
        again = Part(task_id, last.amount, last.keys, last.ceiling, last.is_expired, SENT)
        if self.model.refusal(again):
            return BudgetRefusedError
        attempt_id = f"{base}.{len(sends) + 1}"
        self.model.parts[attempt_id] = again
        return attempt_id

    @rule(data=st.data(), cost=COSTS, is_answered=st.booleans())
    def end_a_call(self, data: st.DataObject, cost: int, is_answered: bool) -> None:
        if not self.model.parts:
            return
        attempt_id = data.draw(st.sampled_from(sorted(self.model.parts)))
        part = self.model.parts[attempt_id]
        wanted = DONE if is_answered else FAILED
        is_allowed = part.attempt in (SENT, UNKNOWN, wanted)
        if part.attempt in (SENT, UNKNOWN):
            self.model.close(part, wanted, cost)
        try:
            if is_answered:
                self.ledger.attempts.finish(attempt_id, **answer(cost=cost))
            else:
                kind = ProviderFailureKind.TIMEOUT
                self.ledger.attempts.fail(attempt_id, kind, cost, Settlement.EXACT, 5, NOW)
        except AttemptClosedError:
            assert not is_allowed
        else:
            assert is_allowed

    @rule(task_id=TASKS)
    def log(self, task_id: str) -> None:
        if task_id not in self.model.logged:
            mine = [part for part in self.model.parts.values() if part.task_id == task_id]
            for part in mine:
                if part.is_open:
                    self.model.settle(part)
            self.model.logged[task_id] = sum(part.posted for part in mine)
        logged = self.ledger.outcomes.log(outcome(task_id), None, NOW)
        assert logged.cost_nano_usd == self.model.logged[task_id]

    @rule(running=st.sets(TASKS))
    def sweep(self, running: set[str]) -> None:
        ended = 0
        for part in self.model.parts.values():
            if part.is_open and part.is_expired:
                if part.attempt is PLANNED:
                    part.is_open = False
                    ended += 1
                elif part.task_id not in running:
                    self.model.settle(part)
                    ended += 1
        assert expire_parts(self.ledger.engine, NOW, running.__contains__) == ended

    @invariant()
    def every_window_counts_what_the_model_counts(self) -> None:
        keys: Sequence[str] = sorted(self.model.limits)
        expected = {key: (self.model.limits[key], self.model.committed(key)) for key in keys}
        assert self.ledger.budgets.read(keys) == expected


def empty(ledger: Ledger) -> None:
    """Begin anew in the same database, which is much cheaper than another one."""

    def forget(connection: Connection) -> None:
        deletes = [f"DELETE FROM {table.name}" for table in reversed(METADATA.sorted_tables)]
        if connection.dialect.name == "postgresql":
            deletes = ["; ".join(deletes)]
        for statement in deletes:
            connection.exec_driver_sql(statement)

    transact(ledger.engine, forget)


@pytest.mark.req("CX-90", "JG-27", "OM-39")
def test_any_history_leaves_the_ledger_as_the_model_says(ledger_url: str, scale: Scale) -> None:
    """Histories of 40 steps; the model and the ledger never differ."""
    engine = without_flushes(open_engine(ledger_url))
    run_state_machine_as_test(
        type("Machine", (LedgerMachine,), {"ledger": Ledger(ledger_url, engine)}),
        settings=settings(
            max_examples=scale.of(300, 25),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    engine.dispose()
