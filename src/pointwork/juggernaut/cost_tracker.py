"""What tasks cost, and the budgets that bound it: the ledger's own figures (JG-21 to JG-29)."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine

from pointwork.contract.decision import DecisionRecord
from pointwork.contract.outcome import Invoke, Reservation
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.costs import EVER, CostBy, CostReport, Days
from pointwork.ledger.juggernaut_tables import overspent
from pointwork.ledger.selections import PACK
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.engine.windows import budgets_by_window

AVERAGE_TARGET_NANO_USD = 50_000_000
"""A task costs less than this on average (JG-58)."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class AverageCost:
    """What a task cost on average, of those that ended on the days asked for."""

    tasks: int
    cost_nano_usd: int

    @property
    def average_nano_usd(self) -> int | None:
        """Rounded up; None where no task ended."""
        return -(-self.cost_nano_usd // self.tasks) if self.tasks else None

    @property
    def is_met(self) -> bool:
        """Whether it is under the target; so is nothing at all."""
        return not self.tasks or self.cost_nano_usd < AVERAGE_TARGET_NANO_USD * self.tasks


class CostTracker:
    """Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._budgets = BudgetBook(engine)
        self._report = CostReport(engine)

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
        return self._report.of_task(task_id).cost_nano_usd

    def totals(self, by: CostBy, days: Days = EVER) -> dict[str, int]:
        """Nano-USD by model, policy, worker and so on, of calls sent on these UTC days.

        A task counts for the policy of its type, whichever cheaper one served it in the end.
        """
        found = self._report.totals(by, days, PACK)
        return {each.name: each.cost_nano_usd for each in found}

    def average(self, days: Days = EVER) -> AverageCost:
        """The average cost of a task against its target (JG-58)."""
        return AverageCost(
            tasks=self._report.tasks_ended(days, PACK),
            cost_nano_usd=self._report.total(days, PACK).cost_nano_usd,
        )

    def overspent(self, since: datetime) -> list[str]:
        """Daily and weekly periods that ended after ``since``, over their budget (JG-61)."""
        return overspent(self._engine, since)

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
