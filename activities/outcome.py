"""``log-outcome``: settle the money, write the record, append the audit chain: one transaction."""

from datetime import UTC, datetime
from typing import Protocol

from temporalio import activity

from pointwork.contract.decision import DecisionRecord
from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.steps import LogOutcome
from pointwork.failpoints import Failpoint, reach


class Outcomes(Protocol):
    def log(
        self, outcome: TaskOutcome, record: DecisionRecord | None, now: datetime
    ) -> TaskOutcome: ...


class OutcomeActivities:
    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes

    @activity.defn(name=ActivityName.LOG_OUTCOME)
    def log_outcome(self, step: LogOutcome) -> TaskOutcome:
        """The outcome as recorded; a repeat returns the first record unchanged."""
        recorded = self._outcomes.log(step.outcome, step.record, datetime.now(UTC))
        reach(Failpoint.AFTER_OUTCOME)
        return recorded
