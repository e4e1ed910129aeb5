"""Budgets that owners set, the windows that tasks are decided under, and holds in them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.budget_windows import BudgetSetting
from pointwork.contract.decision import DecisionRecord, Grant, GrantKind, WindowSpec
from pointwork.contract.outcome import Invoke, Reservation, ReserveOutcome
from pointwork.contract.reasons import ReasonCode
from pointwork.ledger.budget_alerts import AlertBook
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.budget_stops import StopBook
from pointwork.ledger.budget_tables import AlertKind
from pointwork.policy.documents.pack import Pack
from pointwork.policy.engine.windows import standing_windows, subjects_of, windows_of
from tests.fakes.policy_facts import changed, shipped
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import (
    NOW,
    UNLIMITED,
    accept,
    answer,
    candidate,
    decision,
    invoke,
    outcome,
)

DAY = "omega/pack/omega/day/2026-03-01"
"""The day's window of the whole pack at NOW."""
PACK_LIMIT = 1000


def pack_with(*budgets: dict[str, Any]) -> Pack:
    """The omega pack in UTC with these budgets alone, in nano-USD."""
    return changed(shipped(), pack={"timezone": "UTC", "budgets": list(budgets)}).pack


PACK = pack_with({"scope": "pack", "period": "day", "limit": PACK_LIMIT})


@dataclass
class Office:
    """An owner's desk on a ledger, beside the tasks that are decided meanwhile."""

    ledger: Ledger
    pack: Pack = PACK
    now: datetime = NOW
    settings: BudgetSettings = field(init=False)
    alerts: AlertBook = field(init=False)
    stops: StopBook = field(init=False)

    def __post_init__(self) -> None:
        self.settings = BudgetSettings(self.ledger.engine)
        self.alerts = AlertBook(self.ledger.engine)
        self.stops = StopBook(self.ledger.engine)

    def set(
        self, limit: int | None, scope: str = "pack", subject: str = "omega", **changed: Any
    ) -> BudgetSetting:
        """A daily limit, unless ``changed`` says otherwise, set by ada."""
        values: dict[str, Any] = {
            "pack": "omega",
            "period": "day",
            "alert_ratio": None,
            "set_by": "ada",
            "reason": "the quarter is closing",
            "now": self.now,
            "pack_limit_nano_usd": self._own_limit(scope),
        }
        named = {"scope": scope, "subject": subject, "limit_nano_usd": limit}
        return self.settings.set(**(values | named | changed))

    def _own_limit(self, scope: str) -> int | None:
        own = [each.limit for each in self.pack.budgets if each.scope == scope]
        return own[0] if own else None

    def decided(
        self,
        caller: str = "tester",
        *,
        task_class: str = "bulk",
        worker: str | None = None,
        vendors: tuple[str, ...] = ("acme", "contoso"),
        models: tuple[str, ...] = ("small-local", "large-cloud"),
    ) -> tuple[WindowSpec, ...]:
        """The windows of a task that is decided now, the owner's in the place of the pack's."""
        subjects = subjects_of(
            caller, classes=(task_class,), worker=worker, vendors=vendors, models=models
        )
        found = {each.key: each for each in windows_of(self.pack, self.now, subjects)}
        settings = self.settings.in_force(self.pack.pack)
        standing = standing_windows(self.pack, settings, self.now, subjects)
        found |= {each.key: each for each in standing}
        return tuple(found.values())

    def limits(self, *keys: str) -> dict[str, int]:
        """Limit by key, of the windows that are open."""
        return {key: limit for key, (limit, _) in self.ledger.budgets.read(keys).items()}

    def told(self, kind: AlertKind | None = None) -> list[tuple[str, int, int]]:
        """(subject, amount, limit) of the alerts that nobody saw yet, of one kind or all."""
        found = self.alerts.alerts()
        return [
            (each.subject, each.amount_nano_usd, each.limit_nano_usd)
            for each in found
            if kind in (None, each.kind)
        ]


def hold(
    ledger: Ledger,
    task_id: str,
    windows: tuple[WindowSpec, ...],
    amount: int = 100,
    *,
    number: int = 1,
    vendor: str = "acme",
    model: str = "small-local",
    approval_id: str | None = None,
) -> Reservation:
    """Reserve ``amount`` for a call, under a person's approval where one is named."""
    return ledger.budgets.reserve(
        record=_record(task_id, number, approval_id),
        part_id=f"{task_id}/{number}",
        task_id=task_id,
        invoke=call(task_id, amount, number=number, vendor=vendor, model=model),
        amount_nano_usd=amount,
        task_ceiling_nano_usd=UNLIMITED,
        windows=windows,
        price_version="test-1",
        expires_in_seconds=3600,
        now=NOW,
    )


def call(
    task_id: str, amount: int, *, number: int = 1, vendor: str = "acme", model: str = "small-local"
) -> Invoke:
    wanted = candidate(model, amount).model_copy(update={"vendor": vendor})
    return invoke(task_id, number).model_copy(update={"candidate": wanted})


def _record(task_id: str, number: int, approval_id: str | None) -> DecisionRecord:
    made = decision(task_id, number)
    if approval_id is None:
        return made
    grant = Grant(
        kind=GrantKind.BUDGET, approval_id=approval_id, approver="ada", ceiling_nano_usd=0
    )
    return made.model_copy(update={"input": made.input.model_copy(update={"grants": (grant,)})})


def refused_by(ledger: Ledger, task_id: str, windows: tuple[WindowSpec, ...], amount: int) -> str:
    """The window that refuses the amount; empty where all cover it."""
    found = hold(ledger, task_id, windows, amount)
    assert found.outcome in (ReserveOutcome.RESERVED, ReserveOutcome.EXCEEDS_LIMIT)
    return found.refused_by or ""


def end(ledger: Ledger, task_id: str, cost: int, *, amount: int = 100) -> None:
    """Make the call that was held for, at ``cost``, and record the task's outcome."""
    accept(ledger.vault, task_id)
    ledger.attempts.begin(call(task_id, amount), f"{task_id}/1", NOW)
    ledger.attempts.finish(f"{task_id}/1", **answer(cost=cost))
    ledger.outcomes.log(outcome(task_id), None, NOW)


def approval(
    task_id: str,
    *windows: str,
    approval_id: str | None = None,
    ceiling: int = 500,
    asks_for: GrantKind = GrantKind.BUDGET,
) -> ApprovalRequest:
    """What the workflow asks a person where a hard stop holds the task."""
    return ApprovalRequest(
        approval_id=approval_id or f"{task_id}/approval",
        task_id=task_id,
        requester="tester",
        asks_for=asks_for,
        reason=ReasonCode.HARD_STOP,
        ceiling_nano_usd=ceiling,
        policy_sha256="b" * 64,
        request_sha256="d" * 64,
        opened_at=NOW,
        expires_at=NOW + timedelta(hours=1),
        windows=windows,
    )


SHARE = Decimal("0.8")
