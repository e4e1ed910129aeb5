"""Selecting a model in the six steps of Milestone 6, each on record (JG-10 to JG-15).

``decide`` selects; this module gives it a task type and tells its answer step by step. No call is
made and nothing is held.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import (
    Candidate,
    Classification,
    ClassSource,
    DecisionInput,
    DecisionRecord,
    FailedAttempt,
    Plan,
)
from pointwork.contract.money import format_usd
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import Snapshot
from pointwork.contract.task import Complexity, Message, Name, TaskRequest
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide

_MONEY = frozenset({ReasonCode.BUDGET, ReasonCode.CEILING, ReasonCode.PAUSED_OVER_BUDGET})


class SelectionStep(StrEnum):
    """The steps in their order."""

    TYPE_AND_COMPLEXITY = "type_and_complexity"
    POLICY = "policy"
    AVAILABILITY = "availability"
    PERFORMANCE = "performance"
    CHOICE = "choice"
    TRACKING = "tracking"


class StepTaken(Message):
    step: SelectionStep
    found: tuple[str, ...]
    """What the step found, as ``name=value``; never content."""


class SelectionRecord(Message):
    """What was selected and how. The decision in it holds all that was read."""

    task_type: Name
    complexity: Complexity | None
    policy: Name | None
    """The policy that routes the task; None where none applies."""
    steps: Annotated[tuple[StepTaken, ...], Field(min_length=1)]
    decision: DecisionRecord | None
    """None where every policy set is inactive: then there is nothing to decide by."""

    @property
    def selected(self) -> Candidate | None:
        """The model, its provider and its estimated cost; None where the task may not run."""
        plan = self.decision.plan if self.decision else None
        return plan.candidates[0] if plan and plan.candidates else None

    @property
    def snapshot_sha256(self) -> str:
        return self.decision.snapshot_sha256 if self.decision else ""


def select(
    task_type: str,
    complexity: Complexity | None,
    *,
    policies: Sequence[PolicyBundle],
    request: TaskRequest,
    snapshot: Snapshot,
    input_tokens_max: int = 0,
    failed: tuple[FailedAttempt, ...] = (),
) -> SelectionRecord:
    """Select the model for a task.

    Args:
        task_type: the caller's word, which the policy's map turns into a policy.
        complexity: as estimated; None where nobody estimated it.
        policies: versions of the policy set, first choice first; inactive ones are skipped.
        request: the task; its own ``task_type`` gives way to the argument.
        snapshot: availability, limits, budgets and measured performance, as of one moment.
        input_tokens_max: an upper bound of the prompt's tokens.
        failed: what the task tried before.
    """
    known = complexity.value if complexity else "unknown"
    found = (f"task_type={task_type}", f"complexity={known}")
    steps = [StepTaken(step=SelectionStep.TYPE_AND_COMPLEXITY, found=found)]
    active = [bundle for bundle in policies if bundle.pack.status == "active"]
    skipped = tuple(_skipped(bundle) for bundle in policies if bundle not in active)
    if not active:
        steps.append(StepTaken(step=SelectionStep.POLICY, found=(*skipped, "policy=none")))
        return SelectionRecord(
            task_type=task_type,
            complexity=complexity,
            policy=None,
            steps=tuple(steps),
            decision=None,
        )
    bundle = active[0]
    given = _input(task_type, complexity, bundle, request, snapshot, input_tokens_max, failed)
    decision = DecisionRecord(
        decision_id=f"{request.task_id}/selection",
        task_id=request.task_id,
        input=given,
        plan=decide(given, bundle),
        decided_at=snapshot.taken_at,
        snapshot_sha256=sha256_hex(canonical_json(snapshot)),
    )
    steps += _steps_of(decision, bundle, skipped)
    return SelectionRecord(
        task_type=task_type,
        complexity=complexity,
        policy=decision.plan.task_class,
        steps=tuple(steps),
        decision=decision,
    )


def _skipped(bundle: PolicyBundle) -> str:
    return f"skipped={bundle.pack.pack} {bundle.pack.version} ({bundle.pack.status})"


def _input(
    task_type: str,
    complexity: Complexity | None,
    bundle: PolicyBundle,
    request: TaskRequest,
    snapshot: Snapshot,
    input_tokens_max: int,
    failed: tuple[FailedAttempt, ...],
) -> DecisionInput:
    mapped = bundle.pack.task_types.get(task_type)
    return DecisionInput(
        request=request.model_copy(update={"task_type": task_type, "task_class": None}),
        classification=Classification(
            task_class=mapped,
            class_source=ClassSource.MAPPED if mapped else ClassSource.UNKNOWN,
            input_bytes=request.content.bytes,
            input_tokens_max=input_tokens_max,
            complexity=complexity,
        ),
        snapshot=snapshot,
        failed=failed,
    )


def _steps_of(
    decision: DecisionRecord, bundle: PolicyBundle, skipped: tuple[str, ...]
) -> Iterator[StepTaken]:
    plan, snapshot = decision.plan, decision.input.snapshot
    policy = (*skipped, f"policy={plan.task_class or 'none'}", f"version={bundle.pack.version}")
    yield StepTaken(
        step=SelectionStep.POLICY, found=(*policy, *_refused(plan, because_of_money=True))
    )
    yield StepTaken(
        step=SelectionStep.AVAILABILITY, found=tuple(_refused(plan, because_of_money=False))
    )
    overlay = snapshot.overlay.version if snapshot.overlay else 0
    order = ", ".join(each.model for each in plan.candidates) or "none"
    measured = (f"snapshot={decision.snapshot_sha256}", f"overlay={overlay}", f"order={order}")
    yield StepTaken(step=SelectionStep.PERFORMANCE, found=measured)
    if not plan.candidates:
        yield StepTaken(step=SelectionStep.CHOICE, found=("model=none", f"reason={plan.reason}"))
        return
    first = plan.candidates[0]
    named = (f"model={first.model}", f"provider={first.vendor}", f"trigger={first.trigger}")
    yield StepTaken(step=SelectionStep.CHOICE, found=named)
    estimate = f"estimated_cost={format_usd(first.estimate_nano_usd)}"
    yield StepTaken(
        step=SelectionStep.TRACKING, found=(estimate, f"decision={decision.decision_id}")
    )


def _refused(plan: Plan, *, because_of_money: bool) -> Iterator[str]:
    """Budget stands with the policy and before availability, as the task's own flow has it."""
    for each in plan.rejected:
        if (each.reason in _MONEY) is because_of_money and each.reason != ReasonCode.NOT_IN_ROUTE:
            yield f"{each.model}={each.reason}"
