"""What the page of one task shows, read in one go."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointwork.contract.decision import Candidate, DecisionRecord, Effect
from pointwork.contract.failures import PointworkError
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.prompt import ImagePart
from pointwork.gateway.console.figures import words
from pointwork.gateway.console.timeline import Moment, reason_of, said_of, timeline
from pointwork.ledger.content import SealedContent
from pointwork.ledger.task_record import TaskRecord, TaskRecords
from pointwork.ledger.vault import ContentUnavailableError
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary, UnknownBundleError
from pointwork.policy.reading.cost_switch import CostSwitch, cost_switch
from pointwork.policy.reading.figures import listed
from pointwork.policy.reading.outcome_words import (
    branch_words,
    count_words,
    fallback_words,
    voice_words,
)
from pointwork.policy.reading.plan_words import (
    arithmetic,
    because,
    moves_of,
    plan_facts,
)
from pointwork.policy.reading.remedies import remedies

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

_ASK_SECONDS = 3.0
_ERASED = "This text was erased, or cannot be opened with the keys at hand."


@dataclass(frozen=True, slots=True)
class Choice:
    """One model of a decision: chosen, permitted, or refused with its rule."""

    model: str
    standing: str
    code: str
    sentence: str
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as its table shows it."""

    record: DecisionRecord
    said: str
    choices: tuple[Choice, ...]
    facts: tuple[tuple[str, str], ...]
    changes: tuple[str, ...]
    """What would let the task run."""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    record: TaskRecord
    outcome: TaskOutcome | None
    decisions: tuple[Decided, ...]
    """The latest first."""
    moments: tuple[Moment, ...]

    @property
    def last(self) -> DecisionRecord | None:
        return self.decisions[0].record if self.decisions else None

    @property
    def switch(self) -> CostSwitch | None:
        """The latest switch to a cheaper model that a money rule made (OM-35)."""
        found = (cost_switch(each.record.plan) for each in self.decisions)
        return next((each for each in found if each), None)

    @property
    def reason(self) -> str:
        plan = self.last.plan if self.last else None
        return reason_of(self.outcome, plan) if self.outcome else ""

    @property
    def description(self) -> str:
        return self.last.input.request.description if self.last else ""

    @property
    def found(self) -> tuple[tuple[str, str], ...]:
        """What stood in the text, by kind, and what became of it."""
        outcome = self.outcome
        if outcome is None:
            last = self.last
            return (("found", count_words(last.input.classification.findings)),) if last else ()
        return (
            ("found", count_words(outcome.findings) or "nothing"),
            ("redacted", count_words(outcome.redactions)),
        )

    @property
    def said(self) -> tuple[tuple[str, str], ...]:
        """How the answer came about, where it is not plain."""
        if self.outcome is None:
            return ()
        return (
            *(("moved", each) for each in fallback_words(self.outcome)),
            *(("answers", each) for each in branch_words(self.outcome)),
            *voice_words(self.outcome),
        )


async def running_decision(gateway: "Gateway", task_id: str) -> DecisionRecord | None:
    """The decision a running task stands by; None where nobody can say just now."""
    try:
        async with asyncio.timeout(_ASK_SECONDS):
            return await gateway.client.decision(task_id)
    except (PointworkError, TimeoutError):
        return None


def read_facts(
    gateway: "Gateway", task_id: str, running: DecisionRecord | None
) -> TaskFacts | None:
    """Everything on record of the task; None where it is not known. It reads the ledger.

    ``running`` is the decision it stands by, which may not be in the ledger yet.
    """
    record = TaskRecords(gateway.engine).find(task_id)
    if record is None:
        return None
    outcome, stored = gateway.outcomes.find(task_id), gateway.outcomes.decisions(task_id)
    if running is not None and running.decision_id not in {each.decision_id for each in stored}:
        stored.append(running)
    decided = [decided_of(each, gateway.library) for each in reversed(stored)]
    moments = timeline(record, stored, outcome)
    return TaskFacts(record, outcome, tuple(decided), tuple(moments))


def texts_of(gateway: "Gateway", facts: TaskFacts) -> list[tuple[str, str]]:
    """The prompt turn by turn, and the answer; each with what it is."""
    found: list[tuple[str, str]] = []
    content, task_id = SealedContent(gateway.vault), facts.record.task.task_id
    if facts.last is not None:
        try:
            prompt = content.prompt(task_id, facts.last.input.request.content)
        except ContentUnavailableError:
            found.append(("prompt", _ERASED))
        else:
            for turn in prompt.turns:
                images = sum(isinstance(part, ImagePart) for part in turn.parts)
                shown = f"{turn.speaker}, with {images} images" if images else str(turn.speaker)
                found.append((shown, turn.whole_text))
    if facts.outcome is not None and facts.outcome.answer is not None:
        try:
            found.append(("answer", content.answer_text(task_id, facts.outcome.answer)))
        except ContentUnavailableError:
            found.append(("answer", _ERASED))
    return found


def decided_of(record: DecisionRecord, library: PolicyLibrary) -> Decided:
    """The decision in words: every model with its rule, and what would change it."""
    bundle = _bundle(record, library)
    return Decided(
        record,
        said_of(record.plan),
        tuple(_choices(record)),
        tuple(_facts(record, bundle)),
        tuple(remedies(record, bundle)) if record.plan.effect is not Effect.RUN else (),
    )


def _bundle(record: DecisionRecord, library: PolicyLibrary) -> PolicyBundle | None:
    try:
        return library.by_hash(record.plan.policy.bundle_sha256)
    except UnknownBundleError:
        return None


def _choices(record: DecisionRecord) -> Iterator[Choice]:
    plan = record.plan
    for place, each in enumerate(plan.candidates):
        is_chosen = plan.effect is Effect.RUN and place < plan.branches
        standing = "chosen" if is_chosen else "permitted"
        sentence = "Asked." if is_chosen else "Permitted; next in line."
        if plan.effect is not Effect.RUN:
            sentence = "Permitted, once a person approves." if plan.hold_for else "Permitted."
        yield Choice(each.model, standing, each.trigger, sentence, each)
    for refused in plan.rejected:
        yield Choice(refused.model, "refused", refused.reason.value, because(refused))


def _facts(record: DecisionRecord, bundle: PolicyBundle | None) -> Iterator[tuple[str, str]]:
    plan, request, found = record.plan, record.input.request, record.input.classification
    yield "class", f"{plan.task_class or 'unknown'} ({plan.class_source})"
    if found.margin is not None:
        yield (
            "margin",
            f"{found.margin:.2f}, first choice {found.suggested_class or plan.task_class}",
        )
    declared = request.sensitivity or "not declared"
    yield "sensitivity", f"{plan.sensitivity or 'none'} (declared: {declared})"
    yield "found", count_words(found.findings) or "nothing"
    yield "detectors", listed(found.detectors)
    yield "text", f"{found.input_bytes} bytes, at most {found.input_tokens_max} tokens"
    yield "marks", listed(sorted({*request.marks, *found.marks}), empty="")
    yield "requested", request.requested_model or ""
    yield from (
        ("failed", f"{each.model}: {words(each.kind or 'answer refused')}")
        for each in record.input.failed
    )
    yield from (
        ("granted", f"{words(each.kind)} by {each.approver}") for each in record.input.grants
    )
    yield from plan_facts(plan, record.input)
    yield from moves_of(plan, record.input, bundle)
    if plan.candidates:
        yield from arithmetic(plan, record.input)
    yield "policy", f"{plan.policy.pack} {plan.policy.version}"
    yield "bundle SHA-256", plan.policy.bundle_sha256
