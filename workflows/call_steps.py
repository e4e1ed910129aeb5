"""What stands around every charged call: money held and text redacted before, a check after."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import workflow

import workflows.calls as calls
from workflows.trail import Ending, Trail

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.decision import Candidate, Obligation, Site
    from pointwork.contract.failures import FailureType
    from pointwork.contract.outcome import (
        CheckResult,
        Invocation,
        Invoke,
        Reservation,
        ReserveOutcome,
        TaskStatus,
    )
    from pointwork.contract.steps import Redact, Reserve, Verify
    from pointwork.contract.task import ContentRef
    from pointwork.policy.bundle import PolicyBundle

REFUSALS_MAX = 4
"""How often a task is planned anew because a budget was spent between plan and hold."""
PROBATION_WAIT_SECONDS, PROBATION_WAIT_SECONDS_MAX = 0.25, 5.0
"""From one look for a model's first bill to the next, doubled each time."""
_HELD = frozenset({ReserveOutcome.RESERVED, ReserveOutcome.EXISTS})

NumberedCall = tuple[Candidate, int]
"""A candidate, and the number of the attempt that calls it."""


def is_held(reservation: Reservation) -> bool:
    return reservation.outcome in _HELD


def after_refusal(trail: Trail, candidate: Candidate, held: Reservation) -> Ending | None:
    """None where the task is planned anew, with the budgets as they stood when one refused.

    Other tasks spend meanwhile, so the plan can be wrong about what is left; it downgrades, waits
    for a person or denies as the policy says (SP-43, OM-32). Not for ever: others may be faster
    every time. Where the override that chose the model is over, it is planned anew without it.
    """
    if held.outcome is ReserveOutcome.OVERRIDE_OVER:
        trail.override_over([candidate], held)
        return None
    if held.budgets and trail.refusals < REFUSALS_MAX:
        trail.budgets_moved(candidate, held)
        return None
    failure = FailureType.BUDGET_EXCEEDED
    reason = f"{failure.sentence} Refused by {held.refused_by or held.outcome}."
    return Ending(TaskStatus.DENIED, failure, reason)


async def hold_and_redact(
    trail: Trail, wanted: Sequence[NumberedCall], bundle: PolicyBundle
) -> list[Reservation]:
    """Hold each call's worst case, in order, and beside it redact the text once if it may leave.

    Raises:
        ActivityError: the text could not be redacted; what was held ends with the task.
    """
    step = _redaction_owed(trail, [candidate for candidate, _ in wanted])
    if step is None:
        return await _hold(trail, wanted, bundle)
    held, redacted = await asyncio.gather(
        _hold(trail, wanted, bundle), calls.redact(step), return_exceptions=True
    )
    if isinstance(held, BaseException):
        raise held
    if isinstance(redacted, BaseException):
        raise redacted
    trail.redacted(redacted)
    return held


async def _hold(
    trail: Trail, wanted: Sequence[NumberedCall], bundle: PolicyBundle
) -> list[Reservation]:
    """One after the other, so that the first choice gets the money that is left.

    Where the override behind the plan is over, the plan is made anew and nothing more is held.
    """
    held: list[Reservation] = []
    for candidate, number in wanted:
        held.append(await hold(trail, call_of(trail, candidate, number), bundle))
        if held[-1].outcome is ReserveOutcome.OVERRIDE_OVER:
            break
    return held


async def hold(trail: Trail, call: Invoke, bundle: PolicyBundle) -> Reservation:
    """Hold one call's worst case, on record before it is made."""
    step = Reserve(
        record=trail.decided(),
        part_id=f"{trail.request.task_id}/{call.number}",
        invoke=call,
        expires_in_seconds=bundle.pack.deadline_seconds + call.candidate.timeout_seconds,
    )
    held = await _off_probation(step)
    trail.is_recorded = True
    return held


async def _off_probation(step: Reserve) -> Reservation:
    """The hold, once a bill of its model is known where one is needed, or the wait is too long."""
    give_up_at = workflow.now() + timedelta(seconds=step.invoke.candidate.timeout_seconds)
    wait_seconds = PROBATION_WAIT_SECONDS
    while True:
        held = await calls.reserve(step)
        if held.outcome is not ReserveOutcome.ON_PROBATION or workflow.now() >= give_up_at:
            return held
        summary = f"for the first bill of {step.invoke.candidate.model}"
        await workflow.sleep(wait_seconds, summary=summary)
        wait_seconds = min(2 * wait_seconds, PROBATION_WAIT_SECONDS_MAX)


def _redaction_owed(trail: Trail, candidates: Sequence[Candidate]) -> Redact | None:
    obligations = trail.decided().plan.obligations
    owed = {Obligation.REDACT, Obligation.REDACT_SECRETS} & {*obligations}
    leaves = any(candidate.site is not Site.LOCAL for candidate in candidates)
    if not (leaves and owed) or trail.redaction is not None:
        return None
    return Redact(
        task_id=trail.request.task_id,
        content=trail.request.content,
        secrets_only=Obligation.REDACT not in owed,
    )


def call_of(trail: Trail, candidate: Candidate, number: int) -> Invoke:
    """The call, with the redacted text where it leaves the house."""
    request, redaction = trail.request, trail.redaction
    leaves = redaction is not None and candidate.site is not Site.LOCAL
    return Invoke(
        task_id=request.task_id,
        number=number,
        candidate=candidate,
        content=redaction.content if leaves and redaction else request.content,
        answer_schema=request.answer_schema,
        placeholders=redaction.placeholders if leaves and redaction else None,
        temperature=temperature_of(trail, candidate),
        seed=request.constraints.seed,
        contract=trail.decided().plan.contract,
        streams_tokens=trail.decided().plan.tokens_stream,
    )


def temperature_of(trail: Trail, candidate: Candidate) -> float:
    """The pack's own, else the caller's."""
    if candidate.temperature is None:
        return trail.request.constraints.temperature
    return float(candidate.temperature)


def redaction_of(trail: Trail, candidate: Candidate, content: ContentRef) -> Redact | None:
    """The redaction of another text of the task that would go to ``candidate``; None if none."""
    owed = {Obligation.REDACT, Obligation.REDACT_SECRETS} & {*trail.decided().plan.obligations}
    if candidate.site is Site.LOCAL or not owed:
        return None
    return Redact(
        task_id=trail.request.task_id,
        content=content,
        secrets_only=Obligation.REDACT not in owed,
    )


def is_checked(trail: Trail) -> bool:
    """Whether an answer must satisfy the task's schema or the pack's contract."""
    return trail.request.answer_schema is not None or trail.decided().plan.contract is not None


async def check(trail: Trail, invocation: Invocation) -> CheckResult:
    request = trail.request
    return await calls.verify(
        Verify(
            task_id=request.task_id,
            answer=invocation.answer,
            answer_schema=request.answer_schema,
            contract=trail.decided().plan.contract,
            sources=request.sources,
        )
    )
