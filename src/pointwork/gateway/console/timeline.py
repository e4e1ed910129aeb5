"""What happened to a task, in order: decisions, money, calls, people, and who read its text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pointwork.contract.decision import DecisionRecord, Effect, Plan
from pointwork.contract.money import format_usd
from pointwork.contract.outcome import Settlement, TaskOutcome
from pointwork.gateway.console.figures import words
from pointwork.ledger.task_record import (
    CONTENT_SHOWN,
    ApprovalRow,
    AttemptRow,
    PartRow,
    TaskRecord,
)
from pointwork.policy.reading.figures import listed, milliseconds
from pointwork.policy.reading.plan_words import effect_words, move_words


@dataclass(frozen=True, slots=True)
class Moment:
    at: datetime
    title: str
    detail: str = ""
    state: str = "info"
    """Gives the colour; see ``figures.TONES``."""
    rank: int = 0
    """Order of what stands at the same time."""


def timeline(
    record: TaskRecord, decisions: Sequence[DecisionRecord], outcome: TaskOutcome | None
) -> list[Moment]:
    """Every moment on record, oldest first."""
    task = record.task
    found = [Moment(task.created_at, "submitted", f"by {task.caller} under {task.pack}")]
    found += [_decided(each) for each in decisions]
    for number, part in enumerate(record.parts):
        found += _money(part, "hold extended" if number else "hold reserved")
    for attempt in record.attempts:
        found += _call(attempt)
    for approval in record.approvals:
        found += _asked(approval)
    found += [
        Moment(each.occurred_at, "text shown", f"to {each.body['reader']}: {each.body['what']}")
        for each in record.audit
        if each.kind == CONTENT_SHOWN
    ]
    if outcome is not None:
        found += _ended(outcome, decisions[-1].plan if decisions else None)
    return sorted(found, key=lambda each: (each.at, each.rank))


def said_of(plan: Plan) -> str:
    """What the plan comes to, beside the word for its effect."""
    if plan.effect is Effect.RUN:
        first, *others = plan.candidates[: plan.branches]
        beside = f", beside {listed(each.model for each in others)}" if others else ""
        return f"{first.model}{beside}, at most {format_usd(plan.task_ceiling_nano_usd)} in all"
    return effect_words(plan).partition(": ")[2] or str(plan.hold_for or "")


def _decided(record: DecisionRecord) -> Moment:
    plan = record.plan
    said = said_of(plan)
    if plan.candidates and plan.effect == "run":
        first = plan.candidates[0]
        said = f"{first.model}, at most {format_usd(first.estimate_nano_usd)}"
        if first.likely_nano_usd is not None:
            said += f", likely {format_usd(first.likely_nano_usd)}"
        if first.move is not None:
            said += f"; {move_words(first.move)}"
    return Moment(record.decided_at, f"decided: {plan.effect}", said, plan.effect, 1)


def reason_of(outcome: TaskOutcome, plan: Plan | None) -> str:
    """Why there is no answer, without the list of models that the route's table has."""
    if plan is not None and plan.effect is Effect.DENY and plan.reason is not None:
        return plan.reason.sentence
    return outcome.reason


def _money(part: PartRow, title: str) -> Iterator[Moment]:
    amount = format_usd(part.amount_nano_usd)
    yield Moment(part.created_at, title, f"by {amount}", "info", 2)
    if part.settled_at is not None:
        at_least = "at least " if part.settlement == Settlement.AT_LEAST else ""
        detail = f"{at_least}{format_usd(part.posted_nano_usd)} of {amount}"
        yield Moment(part.settled_at, f"hold {part.state}", detail, part.state, 7)


def _call(attempt: AttemptRow) -> Iterator[Moment]:
    summary = attempt.summary
    whom = f"{summary.model} at {attempt.endpoint}"
    yield Moment(attempt.planned_at, f"attempt {summary.number} planned", whom, "info", 3)
    if attempt.sent_at is not None:
        yield Moment(attempt.sent_at, f"attempt {summary.number} sent", whom, "info", 4)
    if attempt.closed_at is not None:
        cost = format_usd(summary.cost_nano_usd)
        why = f": {words(summary.failure).lower()}" if summary.failure else ""
        took = milliseconds(summary.duration_ms)
        detail = f"{summary.served_model or summary.model}{why}, {took}, {cost}"
        title = f"attempt {summary.number} {summary.state}"
        yield Moment(attempt.closed_at, title, detail, summary.state, 5)


def _asked(approval: ApprovalRow) -> Iterator[Moment]:
    request = approval.request
    asked = f"{words(request.asks_for)}: {request.reason.sentence}"
    yield Moment(request.opened_at, "a person is asked", asked, "waiting", 2)
    for said in approval.verdicts:
        yield Moment(
            said.recorded_at, f"{said.approver}: {said.verdict}", said.reason, said.verdict, 3
        )
    if approval.closed_at is not None and not approval.verdicts:
        yield Moment(approval.closed_at, f"approval {approval.state}", "", approval.state, 4)


def _ended(outcome: TaskOutcome, plan: Plan | None) -> Iterator[Moment]:
    if outcome.answered_at is not None:
        yield Moment(outcome.answered_at, "answered", "the caller has the answer", "done", 6)
    # What was found lies in the outcome alone: it has no time of its own.
    found = listed((f"{n.count} {n.kind}" for n in outcome.redactions), empty="")
    detail = reason_of(outcome, plan) or (f"redacted: {found}" if found else "")
    yield Moment(outcome.finished_at, f"ended: {outcome.status}", detail, outcome.status, 8)
