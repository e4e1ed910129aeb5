"""Calls charged to packs, classes, callers and workers, put into a ledger as the workflow does."""

from dataclasses import dataclass
from datetime import datetime

from pointwork.contract.decision import DecisionRecord
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import Invoke, Settlement, TaskOutcome, TaskStatus
from pointwork.ledger.vault import TaskDraft
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    UNLIMITED,
    answer,
    candidate,
    decision,
    invoke,
    outcome,
)


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One call of one task, and what becomes of it."""

    task_id: str
    cost: int = 60
    amount: int = 100
    pack: str = "omega"
    task_class: str = "bulk"
    task_type: str | None = None
    caller: str = "tester"
    worker: str | None = None
    model: str = "small-local"
    vendor: str = "acme"
    number: int = 1
    at: datetime = NOW

    @property
    def part_id(self) -> str:
        return f"{self.task_id}/{self.number}"

    def record(self) -> DecisionRecord:
        made = decision(self.task_id, self.number, task_class=self.task_class)
        policy = made.plan.policy.model_copy(update={"pack": self.pack})
        declared = {"caller": self.caller, "worker": self.worker, "task_type": self.task_type}
        request = made.input.request.model_copy(update=declared)
        return made.model_copy(
            update={
                "plan": made.plan.model_copy(update={"policy": policy}),
                "input": made.input.model_copy(update={"request": request}),
            }
        )

    def invoke(self) -> Invoke:
        made = candidate(self.model, self.amount).model_copy(update={"vendor": self.vendor})
        call = invoke(self.task_id, self.number)
        return call.model_copy(update={"candidate": made})


def send(ledger: Ledger, charge: Charge) -> str:
    """Reserve the call's money and commit that it is sent; the id of its attempt."""
    if charge.number == 1:
        draft = TaskDraft(
            task_id=charge.task_id, caller=charge.caller, pack=charge.pack, declarations={}
        )
        ledger.vault.accept(draft, [("prompt", b"hello", "text/plain")], charge.at)
    call = charge.invoke()
    ledger.budgets.reserve(
        record=charge.record(),
        part_id=charge.part_id,
        task_id=charge.task_id,
        invoke=call,
        amount_nano_usd=charge.amount,
        task_ceiling_nano_usd=UNLIMITED,
        windows=(),
        price_version="test-1",
        expires_in_seconds=3600,
        now=charge.at,
    )
    return ledger.attempts.begin(call, charge.part_id, charge.at).attempt_id


def run(ledger: Ledger, charge: Charge) -> TaskOutcome:
    """The whole task, of one call that answers."""
    attempt_id = send(ledger, charge)
    ledger.attempts.finish(attempt_id, **answer(cost=charge.cost, now=charge.at))
    return end(ledger, charge)


def fail(ledger: Ledger, charge: Charge, *, settlement: Settlement = Settlement.EXACT) -> None:
    """A call that fails; its task goes on."""
    attempt_id = send(ledger, charge)
    kind = ProviderFailureKind.OVERLOADED
    ledger.attempts.fail(attempt_id, kind, charge.cost, settlement, 7, charge.at)


def end(ledger: Ledger, charge: Charge, status: TaskStatus = TaskStatus.SUCCEEDED) -> TaskOutcome:
    ended = outcome(
        charge.task_id,
        status,
        task_class=charge.task_class,
        policy=charge.record().plan.policy,
        served_model=charge.model if status is TaskStatus.SUCCEEDED else None,
        finished_at=charge.at,
    )
    return ledger.outcomes.log(ended, None, charge.at)
