"""Random histories of holds and calls, against a model in plain Python (reliability case 1)."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState, ReserveOutcome, Settlement
from pointwork.ledger import invariants
from pointwork.ledger.attempts import AttemptClosedError, BudgetRefusedError
from pointwork.ledger.engine import open_engine
from pointwork.ledger.sweeper import expire_parts
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    accept,
    answer,
    invoke,
    outcome,
    reserve,
    window,
)
from tests.postgres import new_database

TASKS = st.sampled_from(["t-1", "t-2"])
NUMBERS = st.sampled_from([1, 2])
KEYS = ("day", "vendor", "week")
LIMITS = {"day": 100, "vendor": 70, "week": 150}
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


@dataclass
class Model:
    parts: dict[str, Part] = field(default_factory=dict)
    logged: dict[str, int] = field(default_factory=dict)

    def committed(self, key: str) -> int:
        return sum(
            (part.amount if part.is_open else 0) + part.posted
            for part in self.parts.values()
            if key in part.keys
        )

    def held(self, task_id: str) -> int:
        return sum(
            part.amount if part.is_open else part.posted
            for part in self.parts.values()
            if part.task_id == task_id
        )

    def refusal(self, part: Part) -> str | None:
        """The limit that does not cover a new part."""
        if part.amount == 0:
            return None
        if self.held(part.task_id) + part.amount > part.ceiling:
            return "task"
        full = [key for key in part.keys if self.committed(key) + part.amount > LIMITS[key]]
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


class LedgerMachine(RuleBasedStateMachine):
    """Every rule does the same to the ledger and to the model."""

    open_ledger: ClassVar[Callable[[], AbstractContextManager[Ledger]]]

    def __init__(self) -> None:
        super().__init__()
        self.opened = type(self).open_ledger()
        self.ledger = self.opened.__enter__()
        self.model = Model()
        for task_id in ("t-1", "t-2"):
            accept(self.ledger.vault, task_id)

    def teardown(self) -> None:
        assert invariants.check(self.ledger.engine) == []
        self.opened.__exit__(None, None, None)

    @rule(
        task_id=TASKS,
        number=NUMBERS,
        amount=AMOUNTS,
        keys=st.sets(st.sampled_from(KEYS)),
        ceiling=st.sampled_from([60, 1000]),
        is_expired=st.booleans(),
    )
    def reserve(
        self,
        task_id: str,
        number: int,
        amount: int,
        keys: set[str],
        ceiling: int,
        is_expired: bool,
    ) -> None:
        part_id = f"{task_id}/{number}"
        part = Part(task_id, amount, tuple(sorted(keys)), ceiling, is_expired)
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
            windows=[window(key, LIMITS[key]) for key in keys],
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
        for key, (_, committed) in self.ledger.budgets.read(KEYS).items():
            assert committed == self.model.committed(key)


@contextmanager
def fresh_copy(template: Path) -> Iterator[Ledger]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(template, Path(folder, "ledger.db"))
        url = f"sqlite:///{folder}/ledger.db"
        engine = open_engine(url)
        yield Ledger(url, engine)
        engine.dispose()


@contextmanager
def fresh_database(server: str, template: str) -> Iterator[Ledger]:
    with new_database(server, template) as url:
        engine = open_engine(url)
        yield Ledger(url, engine)
        engine.dispose()


@pytest.mark.req("CX-90", "JG-27", "OM-39")
@pytest.mark.parametrize(("database", "examples"), [("sqlite", 40), ("postgres", 10)])
def test_any_history_leaves_the_ledger_as_the_model_says(
    request: pytest.FixtureRequest, database: str, examples: int
) -> None:
    def open_ledger() -> AbstractContextManager[Ledger]:
        if database == "sqlite":
            return fresh_copy(request.getfixturevalue("sqlite_template"))
        server: str = request.getfixturevalue("postgres_server")
        return fresh_database(server, request.getfixturevalue("postgres_template"))

    run_state_machine_as_test(
        type("Machine", (LedgerMachine,), {"open_ledger": staticmethod(open_ledger)}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
