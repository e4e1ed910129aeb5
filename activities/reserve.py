"""``budget-reserve``: the worst case of a call is held before the call, or the call is not made."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from temporalio import activity

from pointwork.contract.decision import DecisionRecord, WindowSpec
from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import Invoke, Reservation
from pointwork.contract.steps import Reserve


class Budgets(Protocol):
    def reserve(
        self,
        *,
        record: DecisionRecord,
        part_id: str,
        task_id: str,
        invoke: Invoke | None,
        amount_nano_usd: int,
        task_ceiling_nano_usd: int,
        windows: Sequence[WindowSpec],
        price_version: str,
        expires_in_seconds: int,
        now: datetime,
        heeds_bills: bool,
    ) -> Reservation: ...


class ReserveActivities:
    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets

    @activity.defn(name=ActivityName.BUDGET_RESERVE)
    def budget_reserve(self, step: Reserve) -> Reservation:
        """All windows or none. A refusal is an answer, not an error: the workflow ends on it."""
        candidate = step.invoke.candidate
        return self._budgets.reserve(
            record=step.record,
            part_id=step.part_id,
            task_id=step.invoke.task_id,
            invoke=step.invoke,
            amount_nano_usd=candidate.estimate_nano_usd,
            task_ceiling_nano_usd=step.record.plan.task_ceiling_nano_usd,
            windows=step.record.plan.windows,
            price_version=candidate.price_version,
            expires_in_seconds=step.expires_in_seconds,
            now=datetime.now(UTC),
            heeds_bills=True,
        )
