"""Calls about an answer: a critic beside it, a judge before it, its author's own questions.

Each is a call like any other: its prompt is sealed by an activity, its money is held before it, and
what leaves the house is redacted first.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

import workflows.call_steps as call_steps
import workflows.calls as calls
from workflows.failures import read_failure
from workflows.trail import Ending, Trail

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.approval import ApprovalRequest, Verdict
    from pointwork.contract.canonical import canonical_bytes, sha256_hex
    from pointwork.contract.decision import Candidate, FailedAttempt, Grant, GrantKind
    from pointwork.contract.failures import FailureType
    from pointwork.contract.money import worst_case_nano_usd
    from pointwork.contract.outcome import (
        CheckResult,
        Critique,
        Invocation,
        Invoke,
        Judgement,
        Reservation,
        TaskStatus,
    )
    from pointwork.contract.reasons import ReasonCode
    from pointwork.contract.steps import Compose, ReviewKind, Verify
    from pointwork.contract.task import ContentRef
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.documents.approval_times import ApprovalTimes

SCHEMA_BYTES_MAX = 2_000
"""More than any named contract's schema has; a token takes at least a byte."""
CONTRACTS = {ReviewKind.CRITIC: "critic", ReviewKind.JUDGE: "judgement"}

NOBODY = Judgement(model=None, verdict="none")
"""No permitted model could be asked."""

Enter = Callable[[TaskStatus], None]
Ask = Callable[[ApprovalRequest, PolicyBundle], Awaitable[tuple[ApprovalRequest, Verdict] | Ending]]
"""A person's approval and what was asked last, or how the task ends without one."""
Refused = Reservation | None
"""The hold that was refused; None where the text may not go to the model."""


async def criticise(trail: Trail, ending: Ending, bundle: PolicyBundle) -> Critique | None:
    """A critic's four lists beside the owner's answer, which its caller has already (CX-32).

    A critic that fails, that says anything but its four lists, or that the money left does not
    cover, is none; the attempt stands on the record either way (CX-39).
    """
    plan = trail.record.plan if trail.record else None
    if plan is None or plan.critic is None or ending.invocation is None:
        return None
    try:
        said, check = await _heard(trail, plan.critic, ReviewKind.CRITIC, ending, bundle)
    except (ActivityError, asyncio.CancelledError):
        workflow.logger.warning("the critic said nothing")
        return None
    if said is None or check is None or not check.passed:
        return None
    return Critique(
        model=plan.critic.model,
        vendor=plan.critic.vendor,
        remarks=said.answer,
        counts=check.remarks,
        cost_nano_usd=said.cost_nano_usd,
    )


async def judge(trail: Trail, ending: Ending, bundle: PolicyBundle) -> Judgement:
    """A judge's verdict on the owner's answer. Whatever keeps it from one is no pass (CX-36).

    Raises:
        ActivityError: the task was cancelled.
    """
    judge = trail.decided().plan.judge
    if judge is None:
        return NOBODY
    said, check = None, None
    try:
        said, check = await _heard(trail, judge, ReviewKind.JUDGE, ending, bundle)
    except ActivityError as error:
        if is_cancelled_exception(error):
            raise
        workflow.logger.warning("the judge gave no verdict")
    verdict = check.verdict if check is not None and check.passed else None
    return Judgement(
        model=judge.model,
        vendor=judge.vendor,
        verdict=verdict or "none",
        reasons=said.answer if said is not None and verdict else None,
        cost_nano_usd=said.cost_nano_usd if said is not None else 0,
    )


async def judged(
    trail: Trail, ending: Ending, bundle: PolicyBundle, enter: Enter, ask: Ask
) -> Ending:
    """The answer, where its judge or a person passed it (CX-36)."""
    plan = trail.decided().plan
    if not plan.on_judged_fail or ending.status is not TaskStatus.SUCCEEDED:
        return ending
    enter(TaskStatus.VERIFYING)
    judgement = trail.judgement = await judge(trail, ending, bundle)
    if judgement.verdict == "pass":
        return ending
    if plan.on_judged_fail == "deny":
        return blocked(judgement)
    approved = await ask(unpassed_request(trail, ending, judgement, bundle.pack.approvals), bundle)
    if isinstance(approved, Ending):
        return replace(approved, reason=f"{approved.reason} {judged_words(judgement)}")
    request, verdict = approved
    trail.grants.append(
        Grant(
            kind=request.asks_for,
            approval_id=request.approval_id,
            approver=verdict.approver,
            ceiling_nano_usd=0,
        )
    )
    return ending


async def self_criticised(
    trail: Trail, candidate: Candidate, draft: Invocation, bundle: PolicyBundle
) -> Invocation | Ending | None:
    """The final answer of the model that drafted it, after its own questions (CX-34).

    None where a call failed and the plan is to be made anew, as after any failed attempt.
    """
    answers = [draft.answer]
    said: Invocation | Refused = draft
    for kind in (ReviewKind.QUESTION, ReviewKind.FINAL):
        try:
            said = await _ask(trail, candidate, kind, answers, bundle)
        except ActivityError as error:
            failed = read_failure(error, candidate)
            trail.last_cause = failed.kind
            trail.failed.append(FailedAttempt(model=candidate.model, kind=failed.kind))
            return None
        if isinstance(said, Reservation):
            failure = FailureType.BUDGET_EXCEEDED
            reason = f"{failure.sentence} Refused by {said.refused_by or said.outcome}."
            return Ending(TaskStatus.DENIED, failure, reason)
        if said is None:
            trail.last_cause = f"{ReasonCode.PRIVACY}: the draft names persons"
            trail.failed.append(FailedAttempt(model=candidate.model))
            return None
        answers.append(said.answer)
    return said if isinstance(said, Invocation) else None


def blocked(judgement: Judgement) -> Ending:
    """The task without the answer that no judge passed."""
    reason = judged_words(judgement)
    return Ending(TaskStatus.DENIED, FailureType.POLICY_DENIED, reason)


def unpassed_request(
    trail: Trail, ending: Ending, judgement: Judgement, times: ApprovalTimes
) -> ApprovalRequest:
    """Whether a person lets out an answer that no judge passed, bound to answer and judgement."""
    record, now = trail.decided(), workflow.now()
    shown = {
        "record": record.model_dump(mode="json"),
        "answer": ending.invocation.model_dump(mode="json") if ending.invocation else None,
        "judgement": judgement.model_dump(mode="json"),
    }
    return ApprovalRequest(
        approval_id=f"{record.decision_id}/unpassed",
        task_id=record.task_id,
        requester=record.input.request.caller,
        asks_for=GrantKind.UNPASSED_ANSWER,
        reason=ReasonCode.NOT_PASSED,
        ceiling_nano_usd=0,
        policy_sha256=record.plan.policy.bundle_sha256,
        request_sha256=sha256_hex(canonical_bytes(shown)),
        opened_at=now,
        expires_at=now + timedelta(seconds=times.expire_after_seconds),
        approvers_min=times.approvers_for(GrantKind.UNPASSED_ANSWER),
    )


def judged_words(judgement: Judgement) -> str:
    if judgement.model is None:
        return "No permitted model could judge the answer."
    if judgement.verdict == "none":
        return f"The judge {judgement.model} gave no verdict on the answer."
    return f"The judge {judgement.model} did not pass the answer."


async def _heard(
    trail: Trail, model: Candidate, kind: ReviewKind, ending: Ending, bundle: PolicyBundle
) -> tuple[Invocation | None, CheckResult | None]:
    """What another model says of the answer, and whether it keeps its contract."""
    if ending.invocation is None:
        return None, None
    said = await _ask(trail, model, kind, [ending.invocation.answer], bundle)
    if not isinstance(said, Invocation):
        return None, None
    step = Verify(task_id=trail.request.task_id, answer=said.answer, contract=CONTRACTS[kind])
    return said, await calls.verify(step, f"the {kind}'s own contract")


async def _ask(
    trail: Trail,
    model: Candidate,
    kind: ReviewKind,
    answers: Sequence[ContentRef],
    bundle: PolicyBundle,
) -> Invocation | Refused:
    """One call of ``model`` about the answers: put together, redacted, held, then made."""
    request = trail.request
    composed = await calls.compose(
        Compose(task_id=request.task_id, kind=kind, content=request.content, answers=tuple(answers))
    )
    content, placeholders = composed.content, None
    if (step := call_steps.redaction_of(trail, model, composed.content)) is not None:
        redacted = await calls.redact(step)
        if not {*redacted.data_classes} <= {*_known(trail)}:
            return None
        content, placeholders = redacted.content, redacted.placeholders
    schema = request.answer_schema if kind is ReviewKind.FINAL else None
    worst = worst_case_nano_usd(
        model.prices,
        # Placeholders can outgrow the text they stand for.
        input_tokens_max=max(composed.input_tokens_max, content.bytes)
        + (schema.bytes if schema else SCHEMA_BYTES_MAX),
        output_tokens_max=model.max_output_tokens,
    )
    candidate = model.model_copy(update={"estimate_nano_usd": worst, "move": None})
    contract = CONTRACTS.get(kind)
    if kind is ReviewKind.FINAL:
        contract = trail.decided().plan.contract
    call = Invoke(
        task_id=request.task_id,
        number=trail.begin_advice(candidate),
        candidate=candidate,
        content=content,
        answer_schema=schema,
        placeholders=placeholders,
        temperature=call_steps.temperature_of(trail, candidate),
        seed=request.constraints.seed,
        contract=contract,
    )
    held = await call_steps.hold(trail, call, bundle)
    if not call_steps.is_held(held):
        trail.estimate_nano_usd -= worst
        return held
    return await calls.invoke(call, timedelta(seconds=bundle.pack.deadline_seconds))


def _known(trail: Trail) -> Sequence[str]:
    return trail.classification.detected_data_classes if trail.classification else ()
