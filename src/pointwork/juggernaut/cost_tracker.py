"""What tasks cost, and the budgets that bound it: the ledger's own figures (JG-21 to JG-29)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, bindparam, func, select

from pointwork.contract.decision import DecisionRecord
from pointwork.contract.outcome import Invoke, Reservation
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import read
from pointwork.ledger.holds import OUTCOME
from pointwork.ledger.model_windows import ModelWindows
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.tables import Task, table_of
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.engine.windows import budgets_by_window

_TASK = table_of(Task)


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetState:
    """One budget over one period, in nano-USD."""

    window: str
    period: str
    committed_nano_usd: int
    """Spent and reserved together."""
    budget_nano_usd: int
    """From here on expensive models pause."""
    limit_nano_usd: int
    """Beyond this nothing of the pack is called."""
    is_near: bool
    """Whether the share at which people are told is reached."""
    is_over: bool


class CostTracker:
    """Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._budgets = BudgetBook(engine)

    def reserve(
        self,
        record: DecisionRecord,
        invoke: Invoke,
        *,
        part_id: str,
        expires_in_seconds: int,
        now: datetime,
    ) -> Reservation:
        """Hold the worst case of the call ``invoke``, under every limit of the decision's plan.

        ``part_id`` is the idempotency key of the hold and the id of the attempt it pays for.
        """
        candidate, plan = invoke.candidate, record.plan
        return self._budgets.reserve(
            record=record,
            part_id=part_id,
            task_id=invoke.task_id,
            invoke=invoke,
            amount_nano_usd=candidate.estimate_nano_usd,
            task_ceiling_nano_usd=plan.task_ceiling_nano_usd,
            windows=plan.windows,
            price_version=candidate.price_version,
            expires_in_seconds=expires_in_seconds,
            now=now,
        )

    def of_task(self, task_id: str) -> int:
        """The sum of the task's calls, in nano-USD; 0 for a task that made none."""
        calls = OutcomeLog(self._engine).attempts(task_id)
        return sum(each.cost_nano_usd for each in calls)

    def by_model(self, pack: str, starts_at: datetime, ends_at: datetime) -> dict[str, int]:
        """Nano-USD by model, of calls sent from ``starts_at`` up to but not at ``ends_at``."""
        windows = ModelWindows(self._engine).read(starts_at, ends_at, pack=pack)
        return {each.model: each.cost_nano_usd for each in windows}

    def by_policy(self, pack: str, starts_at: datetime, ends_at: datetime) -> dict[str, int]:
        """Nano-USD by policy, of tasks that ended from ``starts_at`` up to but not at ``ends_at``.

        A task counts for the policy of its type, whichever cheaper one served it in the end.
        """
        bounds = {"of_pack": pack, "starts_at": starts_at, "ends_at": ends_at}
        with read(self._engine) as connection:
            rows = connection.execute(_BY_POLICY, bounds).all()
        return {row.task_class: int(row.cost) for row in rows}

    def budgets(self, bundle: PolicyBundle, *, caller: str, now: datetime) -> list[BudgetState]:
        """Each budget of the pack as it stands now, by window key."""
        limits = budgets_by_window(bundle.pack, now, caller=caller)
        known = self._budgets.read(limits)
        states = []
        for key in sorted(limits):
            rule = limits[key]
            _, committed = known.get(key, (rule.limit, 0))
            near_from = rule.budget if rule.alert_ratio is None else rule.alert_ratio * rule.budget
            states.append(
                BudgetState(
                    window=key,
                    period=rule.period,
                    committed_nano_usd=committed,
                    budget_nano_usd=rule.budget,
                    limit_nano_usd=rule.limit,
                    is_near=committed >= near_from,
                    is_over=committed >= rule.budget,
                )
            )
        return states


_BY_POLICY = (
    select(OUTCOME.c.task_class, func.sum(OUTCOME.c.cost_nano_usd).label("cost"))
    .join(_TASK, _TASK.c.task_id == OUTCOME.c.task_id)
    .where(
        _TASK.c.pack == bindparam("of_pack"),
        OUTCOME.c.task_class.is_not(None),
        OUTCOME.c.finished_at >= bindparam("starts_at"),
        OUTCOME.c.finished_at < bindparam("ends_at"),
    )
    .group_by(OUTCOME.c.task_class)
    .order_by(OUTCOME.c.task_class)
)
