"""How a task ended: one terminal record, and the messages of the steps that lead to it."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from pointwork.contract.additive import added
from pointwork.contract.branches import Comparison, Letter, Selection
from pointwork.contract.decision import (
    Candidate,
    ClassSource,
    CostClass,
    Direction,
    FindingCount,
    Move,
    MoveKind,
    TriggerName,
)
from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.money import NanoUsd
from pointwork.contract.snapshot import BudgetSignal, PolicyRef
from pointwork.contract.task import ContentRef, Message, Name, Sensitivity, TaskId


class TaskStatus(StrEnum):
    """The states a person sees. The last five are terminal."""

    QUEUED = "queued"
    """Accepted, and no workflow of it was started yet."""
    CLASSIFYING = "classifying"
    PENDING_APPROVAL = "pending_approval"
    RESERVING = "reserving"
    INVOKING = "invoking"
    VERIFYING = "verifying"
    ANSWERED = "answered"
    SUCCEEDED = "succeeded"
    DENIED = "denied"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(
    {
        TaskStatus.SUCCEEDED,
        TaskStatus.DENIED,
        TaskStatus.FAILED,
        TaskStatus.EXPIRED,
        TaskStatus.CANCELLED,
    }
)


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    TOOL_CALL = "tool_call"


class TokenUsage(Message):
    """Tokens as the provider metered them; cached input is part of ``input_tokens``."""

    input_tokens: Annotated[int, Field(ge=0)]
    output_tokens: Annotated[int, Field(ge=0)]
    cached_input_tokens: Annotated[int, Field(ge=0)] = 0
    cache_write_tokens: Annotated[int, Field(ge=0)] = 0
    reasoning_tokens: Annotated[int, Field(ge=0)] = 0


class Settlement(StrEnum):
    """How sure the cost is: EXACT came with the answer, AT_LEAST never refunds (design 5)."""

    EXACT = "exact"
    AT_LEAST = "at_least"


class AttemptState(StrEnum):
    """PLANNED before the hold is known to cover it, SENT before the first byte leaves."""

    PLANNED = "planned"
    SENT = "sent"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class AttemptSummary(Message):
    """One charged or chargeable call, as the outcome lists it."""

    number: Annotated[int, Field(ge=1)]
    model: Name
    vendor: Name
    state: AttemptState
    failure: ProviderFailureKind | None = None
    served_model: str | None = None
    usage: TokenUsage | None = None
    cost_nano_usd: NanoUsd = 0
    settlement: Settlement = Settlement.EXACT
    duration_ms: Annotated[int, Field(ge=0)] = 0
    seed: int | None = added(None)
    """What the task asked for; endpoints that take no seed are sent none."""
    local_run: LocalRun | None = added(None)
    """What a call on this house's card ran on and used (CX-12, CX-13)."""


class Fallback(Message):
    """A move from one model to another: never silent (GR-005)."""

    from_model: Name
    to_model: Name
    trigger: TriggerName
    direction: Direction
    cause: str
    """A ProviderFailureKind, or the check that refused the answer."""
    attempt: Annotated[int, Field(ge=1)]


class Invocation(Message):
    """What ``invoke-model`` returns: the sealed answer and what it cost."""

    attempt_id: str
    answer: ContentRef
    served_model: str
    finish_reason: FinishReason
    usage: TokenUsage
    cost_nano_usd: NanoUsd
    settlement: Settlement
    duration_ms: Annotated[int, Field(ge=0)]
    provider_request_id: str = ""
    unknown_placeholders: Annotated[int, Field(ge=0)] = 0
    """Placeholders the model made up; they reveal nothing and are left as they are."""


class InvocationFailure(Message):
    """Detail of the ``ApplicationError`` that a failed call raises."""

    attempt_id: str
    model: Name
    kind: ProviderFailureKind
    retry_after_seconds: Annotated[int, Field(ge=0)] | None = None
    cost_nano_usd: NanoUsd = 0
    settlement: Settlement = Settlement.EXACT


class ReserveOutcome(StrEnum):
    """The result of asking for a hold, exhaustive; a repeat of the same is EXISTS."""

    RESERVED = "reserved"
    EXISTS = "exists"
    EXISTS_WITH_DIFFERENT_AMOUNT = "exists_with_different_amount"
    EXCEEDS_LIMIT = "exceeds_limit"
    ALREADY_SETTLED = "already_settled"
    ON_PROBATION = "on_probation"
    """Calls of the model under way may be billed more than they hold, and use up the budget."""
    OVERRIDE_OVER = "override_over"
    """The override that chose the model ended, or another task used it up, since it was read."""


class Reservation(Message):
    """The answer of ``budget-reserve``."""

    hold_id: str
    outcome: ReserveOutcome
    amount_nano_usd: NanoUsd
    """Held in all for the task after this call."""
    refused_by: str | None = None
    """The window that does not cover the amount, or the override that is over."""
    decision_id: str
    budgets: tuple[BudgetSignal, ...] = added(())
    """Where a window refused: every window of the call as it then stood, to decide anew."""


class RemarkCount(Message):
    """How many remarks one of a critic's four lists holds (CX-32)."""

    kind: Literal["risks", "contradictions", "missing_requirements", "guardrail_conflicts"]
    count: Annotated[int, Field(ge=0)]


class CheckResult(Message):
    """What ``parallel-verify`` found."""

    passed: bool
    check: str
    detail: str = ""
    """Paths and rule names, never the answer's values."""
    comparison: Comparison | None = added(None)
    """As recorded, where answers were compared."""
    verdict: Literal["pass", "fail"] | None = added(None)
    """What a judge's answer says, where that is what it is."""
    remarks: tuple[RemarkCount, ...] = added(())
    """How much a critic's answer lists, where that is what it is."""


class BranchState(StrEnum):
    ANSWERED = "answered"
    FAILED = "failed"
    DROPPED = "dropped"
    """No money was held for it, so nobody was called."""


class BranchSummary(Message):
    """One of the models that answered side by side, as the outcome lists it."""

    number: Annotated[int, Field(ge=1)]
    """Of its attempt."""
    model: Name
    vendor: Name
    state: BranchState
    cause: str = ""
    """A ProviderFailureKind, the check that refused the answer, or the limit that was reached."""
    letter: Letter | None = None
    """None where the answer was compared with no other."""
    answer: ContentRef | None = None
    cost_nano_usd: NanoUsd = 0
    settlement: Settlement = Settlement.EXACT


class Moved(Message):
    """A move as it was made: to which model, and by which rule."""

    to_model: Name
    move: Move


class Advice(Message):
    """What a second model said to the same task."""

    model: Name
    vendor: Name
    answer: ContentRef
    cost_nano_usd: NanoUsd


class Critique(Message):
    """What another vendor's model remarks on the answer, which stands as it is (CX-32)."""

    model: Name
    vendor: Name
    remarks: ContentRef
    counts: tuple[RemarkCount, ...]
    cost_nano_usd: NanoUsd


class Judgement(Message):
    """Whether another vendor's model passed the answer (CX-36)."""

    model: Name | None
    """None where no permitted model could be asked."""
    vendor: Name | None = None
    verdict: Literal["pass", "fail", "none"]
    """``none``: no verdict came, which passes nothing."""
    reasons: ContentRef | None = None
    cost_nano_usd: NanoUsd = 0


class TaskOutcome(Message):
    """The terminal record of a task, one per task, denials and cancellations included."""

    task_id: str
    status: TaskStatus
    failure: FailureType | None = None
    reason: str = ""
    """One sentence a person can act on; names rules and figures, never content."""
    answer: ContentRef | None = None
    caller: Name
    task_class: Name | None
    class_source: ClassSource
    sensitivity: Sensitivity | None = None
    findings: tuple[FindingCount, ...] = ()
    requested_model: Name | None = None
    served_model: Name | None = None
    """The catalogue's id of the model that answered."""
    served_as: str | None = None
    """The id the endpoint itself reported."""
    finish_reason: FinishReason | None = None
    served_family: Name | None = None
    cost_class: CostClass | None = None
    attempts: tuple[AttemptSummary, ...] = ()
    fallbacks: tuple[Fallback, ...] = ()
    redactions: tuple[FindingCount, ...] = ()
    estimate_nano_usd: NanoUsd = 0
    cost_nano_usd: NanoUsd = 0
    settlement: Settlement = Settlement.EXACT
    policy: PolicyRef | None = None
    approval_ids: tuple[str, ...] = ()
    started_at: AwareDatetime
    answered_at: AwareDatetime | None = None
    finished_at: AwareDatetime
    is_cached: bool = added(False)
    """Whether the answer of an equal request served, at no cost (JG-56)."""
    is_draft: bool = added(False)
    """Whether the answer is none to act on before a cloud model has reviewed it (CX-44)."""
    reviews: TaskId | None = added(None)
    """The draft that a model outside the house reviewed in this task."""
    moves: tuple[Moved, ...] = added(())
    """Every typed move the task made, the first try's included (GR-005, GR-013)."""
    advice: Advice | None = added(None)
    """A second opinion; it binds nobody, and the answer is the owner's (CX-33)."""
    critique: Critique | None = added(None)
    judgement: Judgement | None = added(None)
    branches: tuple[BranchSummary, ...] = added(())
    """Every model that was to answer side by side, with what it cost (OM-63)."""
    comparison: Comparison | None = added(None)
    selection: Selection | None = added(None)
    """Who chose which answer, where the answers differed."""
    audit_sequence: Annotated[int, Field(ge=1)] | None = None
    """Position in the audit chain; None until the record is written."""

    @model_validator(mode="after")
    def _only_a_person_settles_a_difference(self) -> Self:
        """No record can hold an answer that nobody chose from several that differ (OM-61)."""
        compared, selection = self.comparison, self.selection
        if compared is None and selection is None:
            return self
        answers = {each.letter: each.answer for each in self.branches if each.letter}
        if compared is None or set(answers) != set(compared.letters):
            msg = "comparison and branches name other answers; give the branches that were compared"
            raise ValueError(msg)
        if self.answer is not None and self.answer not in answers.values():
            msg = "answer is none of the branches' answers; nothing merges them"
            raise ValueError(msg)
        if selection is None:
            if self.answer is not None and not compared.agree:
                msg = "answer is set although the branches differ and no person chose"
                raise ValueError(msg)
            if compared.stands and self.answer not in (None, answers[compared.stands]):
                msg = f"answer is not that of {compared.stands}, which stands for all of them"
                raise ValueError(msg)
            return self
        chosen = (compared.comparison_id, answers.get(selection.choice))
        if chosen != (selection.comparison_id, self.answer) or self.answer != selection.answer:
            msg = "answer is not the one that the selection names"
            raise ValueError(msg)
        return self

    @property
    def used_fallback(self) -> bool:
        """Whether another model than the route's own answered, known before the call or after."""
        degraded = (MoveKind.FALLBACK, MoveKind.DOWNGRADE)
        return bool(self.fallbacks) or any(each.move.kind in degraded for each in self.moves)


class TaskView(Message):
    """The state of a running task, for a query or a progress display."""

    task_id: str
    status: TaskStatus
    waits_for: str = ""
    model: Name | None = None
    attempt: Annotated[int, Field(ge=0)] = 0
    estimate_nano_usd: NanoUsd = 0
    cost_nano_usd: NanoUsd = 0
    approval_id: str | None = None
    started_at: AwareDatetime


class Invoke(Message):
    """The input of ``invoke-model``."""

    task_id: str
    number: Annotated[int, Field(ge=1)]
    candidate: Candidate
    content: ContentRef
    answer_schema: ContentRef | None = None
    placeholders: ContentRef | None = None
    """The sealed placeholder mapping where ``content`` is a redacted copy."""
    temperature: float
    seed: int | None = None
    contract: Name | None = added(None)
    """Named contract whose schema the answer is asked to follow."""
    streams_tokens: bool = added(False)
    """Whoever listens may be shown the text as it comes."""
