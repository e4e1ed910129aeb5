"""Serving an equal request by an earlier answer, for the packs that do (JG-56)."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

import workflows.calls as calls
from workflows.completion import finish
from workflows.trail import Ending, Trail

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.decision import Plan
    from pointwork.contract.outcome import FinishReason, Invocation, TaskStatus
    from pointwork.contract.steps import FindCached, KeepAnswer


async def find(trail: Trail, plan: Plan | None) -> Invocation | None:
    """The kept answer; None where there is none, or the plan asks for none."""
    step = _question(trail, plan)
    return None if step is None else await calls.find_cached(step)


async def keep(trail: Trail, plan: Plan | None, ending: Ending) -> None:
    """Let the answer serve equal requests. Losing that costs nothing, so it fails nothing."""
    step, invocation = _question(trail, plan), ending.invocation
    redacted = trail.redaction is not None and bool(trail.redaction.counts)
    if step is None or invocation is None or trail.is_cached or redacted:
        return
    if ending.status is not TaskStatus.SUCCEEDED:
        return
    if invocation.finish_reason is not FinishReason.STOP:
        return
    try:
        await finish(calls.keep_answer(KeepAnswer(find=step, invocation=invocation)))
    except ActivityError:
        workflow.logger.warning("the answer was not kept for equal requests")


def _question(trail: Trail, plan: Plan | None) -> FindCached | None:
    if plan is None or not plan.cache_ttl_seconds or trail.classification is None:
        return None
    return FindCached(
        request=trail.request, plan=plan, has_findings=bool(trail.classification.findings)
    )
