"""A second opinion where the plan owes one: one call, advisory, and it blocks nobody (CX-33)."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

import workflows.call_steps as call_steps
import workflows.calls as calls
from workflows.trail import Ending, Trail

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.decision import Candidate, Obligation
    from pointwork.contract.outcome import Advice, TaskStatus
    from pointwork.policy.bundle import PolicyBundle


async def advise(trail: Trail, ending: Ending, bundle: PolicyBundle) -> Advice | None:
    """What another vendor's model says to the same task, once the owner has answered.

    The owner's answer is already its caller's. An adviser that fails, or that the money left does
    not cover, is none; the attempt stands on the record either way.
    """
    plan = trail.record.plan if trail.record else None
    if plan is None or plan.adviser is None or ending.status is not TaskStatus.SUCCEEDED:
        return None
    if Obligation.SECOND_OPINION not in plan.obligations:
        return None
    try:
        return await _ask(trail, plan.adviser, bundle)
    except (ActivityError, asyncio.CancelledError):
        workflow.logger.warning("the second opinion was not given")
        return None


async def _ask(trail: Trail, adviser: Candidate, bundle: PolicyBundle) -> Advice | None:
    number = trail.begin_advice(adviser)
    (held,) = await call_steps.hold_and_redact(trail, [(adviser, number)], bundle)
    if not call_steps.is_held(held) or trail.take_raise([adviser]):
        return None
    limit = timedelta(seconds=bundle.pack.deadline_seconds)
    invocation = await calls.invoke(call_steps.call_of(trail, adviser, number), limit)
    return Advice(
        model=adviser.model,
        vendor=adviser.vendor,
        answer=invocation.answer,
        cost_nano_usd=invocation.cost_nano_usd,
    )
