"""Asking for an override and acknowledging one: what policy, ledger and signatures say together."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pointwork.contract.approval import ApprovalVerdict, SignedVerdict
from pointwork.contract.override import OverrideDuration, OverrideScope
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.decisions import first_decisions, tasks_accepted
from pointwork.ledger.overrides import OverrideBook
from pointwork.policy.reading.override_cost import CostImpact, Reach, cost_impact
from pointwork.verdicts import VerdictRefusedError, check

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.policy.bundle import PolicyBundle

SAMPLE_MAX = 200
"""Recorded tasks an estimate looks at, the latest first."""
SESSION_SPAN = timedelta(days=1)
INDEFINITE_SPAN = timedelta(days=30)
"""What lasts until revoked is estimated as if it lasted this long."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody wants to override, before its cost is known."""

    model: str
    scope: OverrideScope
    duration: OverrideDuration
    conversation: str | None
    ends_at: datetime | None
    task_class: str | None = None
    """Of a task that is to come: what its estimate is drawn from."""


def estimate(engine: "Engine", bundle: "PolicyBundle", wanted: Wanted, now: datetime) -> CostImpact:
    """What the override would have cost on the tasks recorded so far (OM-73).

    The same ledger, rules and moment give the same estimate.
    """
    pack = bundle.pack.pack
    recorded = first_decisions(engine, pack, SAMPLE_MAX)
    like = [each for each in recorded if wanted.task_class in (None, each.plan.task_class)]
    sample = [each for each in like if each.input.request.conversation == wanted.conversation]
    whose = f"conversation {wanted.conversation}"
    if wanted.conversation is None or not sample:
        sample, whose = like, f"pack {pack}"
    reach = _reach(engine, pack, wanted, now)
    return cost_impact(wanted.model, bundle, sample, whose, reach, wanted.task_class)


def acknowledge(
    engine: "Engine", signed: SignedVerdict, bundle: "PolicyBundle", now: datetime
) -> None:
    """Let an override hold: another person than its requester signed for the cost shown (OM-73).

    Args:
        engine: the ledger.
        signed: a verdict on the override's approval.
        bundle: the rules in force now for the override's pack.
        now: the moment it is judged at.

    Raises:
        OverrideConflictError: no override waits under the id.
        VerdictRefusedError: the verdict changes nothing; the text says why.
    """
    verdict, book = signed.verdict, ApprovalBook(engine)
    request = OverrideBook(engine).approval(verdict.task_id, now)
    if request.policy_sha256 != bundle.sha256:
        raise VerdictRefusedError(
            "the policy, its models or prices changed since the override was asked for and its "
            "cost estimated; ask for it anew"
        )
    if verdict.verdict is not ApprovalVerdict.APPROVED:
        raise VerdictRefusedError("an override is acknowledged, or struck by a reviewer")
    check(signed, request, book.keys(request.requester), now)
    if not book.close(
        request.approval_id,
        verdict.verdict,
        verdict.approver,
        verdict.token_id,
        now,
        key_id=signed.key_id,
        reason=verdict.reason,
    ):
        raise VerdictRefusedError("the ledger did not take the verdict; sign a new one")


def _reach(engine: "Engine", pack: str, wanted: Wanted, now: datetime) -> Reach:
    """How many tasks fell into as long a time before now as the override is to hold."""
    if OverrideScope.TASK is wanted.scope or wanted.duration is OverrideDuration.SINGLE_USE:
        return Reach(1, "1 task")
    span = _span(wanted, now)
    counted = tasks_accepted(engine, pack, now - span, now, wanted.conversation)
    whose = f"conversation {wanted.conversation}" if wanted.conversation else f"pack {pack}"
    words = f"{counted} tasks of {whose} in the {_days(span)} before"
    if not counted:
        words = f"1 task, as {whose} had none in the {_days(span)} before"
    return Reach(max(1, counted), words)


def _span(wanted: Wanted, now: datetime) -> timedelta:
    if wanted.ends_at is not None:
        return wanted.ends_at - now
    return SESSION_SPAN if wanted.conversation is not None else INDEFINITE_SPAN


def _days(span: timedelta) -> str:
    hours = max(1, round(span.total_seconds() / 3600))
    if hours < 48:
        return "hour" if hours == 1 else f"{hours} hours"
    return f"{round(hours / 24)} days"
