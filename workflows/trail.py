"""What a task has been through so far, and the record it makes of it at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.branches import Comparison, Selection
    from pointwork.contract.budget_windows import with_fresh
    from pointwork.contract.decision import (
        Candidate,
        Classification,
        ClassSource,
        DecisionInput,
        DecisionRecord,
        Direction,
        FailedAttempt,
        Grant,
        Lane,
        Obligation,
        RedactionSummary,
        Site,
    )
    from pointwork.contract.failures import FailureType
    from pointwork.contract.outcome import (
        BranchSummary,
        Fallback,
        Invocation,
        Judgement,
        Moved,
        Reservation,
        TaskOutcome,
        TaskStatus,
    )
    from pointwork.contract.reasons import ReasonCode
    from pointwork.contract.snapshot import Snapshot
    from pointwork.contract.task import TaskRequest


@dataclass(frozen=True)
class Ending:
    """How a task ends: a status, and the fact behind it where it is not a success."""

    status: TaskStatus
    failure: FailureType | None = None
    reason: str = ""
    candidate: Candidate | None = None
    invocation: Invocation | None = None
    selection: Selection | None = None


@dataclass
class Trail:
    """The growing record of one task. Everything here is rebuilt from history on replay."""

    request: TaskRequest
    started_at: datetime
    classification: Classification | None = None
    snapshot: Snapshot | None = None
    record: DecisionRecord | None = None
    is_recorded: bool = False
    """Whether a reservation already stored ``record``."""
    decisions: int = 0
    attempts: int = 0
    estimate_nano_usd: int = 0
    failed: list[FailedAttempt] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    fallbacks: list[Fallback] = field(default_factory=list)
    redaction: RedactionSummary | None = None
    last: Candidate | None = None
    moves: list[Moved] = field(default_factory=list)
    last_cause: str = ""
    is_raised: bool = False
    """Whether the text turned out more sensitive than the last plan knew."""
    is_cached: bool = False
    """Whether the answer of an equal request serves this task."""
    refusals: int = 0
    """How often a budget refused a call that the plan had thought affordable."""
    branches: list[BranchSummary] = field(default_factory=list)
    comparison: Comparison | None = None
    judgement: Judgement | None = None

    def decided(self) -> DecisionRecord:
        if self.record is None:
            msg = "a step ran before the first decision"
            raise RuntimeError(msg)
        return self.record

    def decision_input(self) -> DecisionInput:
        if self.classification is None or self.snapshot is None:
            msg = "decided before classification and signals were read"
            raise RuntimeError(msg)
        return DecisionInput(
            request=self.request,
            classification=self.classification,
            snapshot=self.snapshot,
            failed=tuple(self.failed),
            grants=tuple(self.grants),
        )

    def begin_attempt(self, candidate: Candidate) -> int:
        """Number the next call, and note the move where it goes to another model."""
        self.attempts += 1
        self.estimate_nano_usd += candidate.estimate_nano_usd
        if self.last is not None and self.last.model != candidate.model:
            self.fallbacks.append(
                Fallback(
                    from_model=self.last.model,
                    to_model=candidate.model,
                    trigger=candidate.trigger,
                    direction=_direction(self.last.lane, candidate.lane),
                    cause=self.last_cause,
                    attempt=self.attempts,
                )
            )
        if candidate.move is not None:
            move = candidate.move.model_copy(update={"attempt": self.attempts})
            self.moves.append(Moved(to_model=candidate.model, move=move))
        self.last = candidate
        return self.attempts

    def budgets_moved(self, candidate: Candidate, held: Reservation) -> None:
        """A budget refused the call: the next plan is made from the budgets as they then stood."""
        if self.snapshot is None:
            msg = "a budget refused before signals were read"
            raise RuntimeError(msg)
        self.refusals += 1
        self.estimate_nano_usd -= candidate.estimate_nano_usd
        self.last_cause = f"{ReasonCode.BUDGET}: {held.refused_by}"
        fresh = with_fresh(self.snapshot.budgets, held.budgets)
        self.snapshot = self.snapshot.model_copy(update={"budgets": fresh})

    def override_over(self, unsent: Sequence[Candidate], held: Reservation) -> None:
        """The override ended since signals were read: the next plan is made without it (OM-72)."""
        if self.snapshot is None:
            msg = "an override was over before signals were read"
            raise RuntimeError(msg)
        self.estimate_nano_usd -= sum(each.estimate_nano_usd for each in unsent)
        self.last_cause = f"override over: {held.refused_by}"
        left = tuple(o for o in self.snapshot.overrides if o.override_id != held.refused_by)
        self.snapshot = self.snapshot.model_copy(update={"overrides": left})

    def redacted(self, redaction: RedactionSummary) -> None:
        """What reading the text for names found counts from here on, and only ever raises."""
        self.redaction = redaction
        if self.classification is None:
            msg = "redacted before classification was read"
            raise RuntimeError(msg)
        known = self.classification.detected_data_classes
        found = tuple(sorted({*known, *redaction.data_classes}))
        if found != known:
            self.classification = self.classification.model_copy(
                update={
                    "detected_data_classes": found,
                    "detectors": tuple(
                        dict.fromkeys((*self.classification.detectors, *redaction.rules))
                    ),
                }
            )
            self.is_raised = True

    def take_raise(self, unsent: Sequence[Candidate]) -> bool:
        """Whether to decide anew because the text is more sensitive than the plan knew; once.

        ``unsent`` are the calls about to be made. What is held for them is settled with the task.
        """
        raised, self.is_raised = self.is_raised, False
        if raised:
            self.estimate_nano_usd -= sum(each.estimate_nano_usd for each in unsent)
            self.last_cause = f"{ReasonCode.PRIVACY}: the text names persons"
        return raised

    def begin_advice(self, candidate: Candidate) -> int:
        """Number the call of an adviser: another voice, and no move of the task."""
        self.attempts += 1
        self.estimate_nano_usd += candidate.estimate_nano_usd
        return self.attempts

    def begin_branches(self, candidates: Sequence[Candidate]) -> list[int]:
        """Number calls that are made side by side; only the first can be a move."""
        numbers = [self.begin_attempt(candidates[0])]
        for candidate in candidates[1:]:
            self.attempts += 1
            self.estimate_nano_usd += candidate.estimate_nano_usd
            numbers.append(self.attempts)
        return numbers

    def outcome(self, ending: Ending, finished_at: datetime) -> TaskOutcome:
        """The terminal record, before the ledger adds attempts, cost and audit sequence."""
        classification, plan = self.classification, self.record.plan if self.record else None
        invocation, candidate = ending.invocation, ending.candidate
        return TaskOutcome(
            task_id=self.request.task_id,
            status=ending.status,
            failure=ending.failure,
            reason=ending.reason,
            answer=invocation.answer if invocation else None,
            caller=self.request.caller,
            task_class=classification.task_class if classification else None,
            class_source=classification.class_source if classification else ClassSource.UNKNOWN,
            sensitivity=plan.sensitivity if plan else None,
            findings=classification.findings if classification else (),
            requested_model=self.request.requested_model,
            served_model=candidate.model if candidate else None,
            served_as=invocation.served_model if invocation else None,
            finish_reason=invocation.finish_reason if invocation else None,
            served_family=candidate.family if candidate else None,
            cost_class=candidate.cost_class if candidate else None,
            fallbacks=tuple(self.fallbacks),
            redactions=self.redaction.counts if self.redaction else (),
            estimate_nano_usd=self.estimate_nano_usd,
            cost_nano_usd=self._spent_nano_usd(invocation),
            policy=plan.policy if plan else None,
            approval_ids=tuple(grant.approval_id for grant in self.grants),
            is_cached=self.is_cached,
            moves=tuple(self.moves),
            is_draft=plan is not None and Obligation.CLOUD_REVIEW in plan.obligations,
            reviews=self.request.reviews
            if candidate and candidate.site is not Site.LOCAL
            else None,
            branches=tuple(self.branches),
            comparison=self.comparison,
            selection=ending.selection,
            judgement=self.judgement,
            started_at=self.started_at,
            answered_at=finished_at if invocation else None,
            finished_at=finished_at,
        )

    def _spent_nano_usd(self, invocation: Invocation | None) -> int:
        """Of every branch and of the answer, until the ledger adds what else was called."""
        spent = sum(each.cost_nano_usd for each in self.branches)
        if invocation is None or any(each.answer == invocation.answer for each in self.branches):
            return spent
        return spent + invocation.cost_nano_usd


def _direction(before: Lane, after: Lane) -> Direction:
    lanes = list(Lane)
    if lanes.index(after) == lanes.index(before):
        return Direction.SIDEWAYS
    return Direction.UP if lanes.index(after) > lanes.index(before) else Direction.DOWN
