"""What every surface says of an answered task beside the answer."""

from collections.abc import Sequence
from typing import Any

from pointwork.contract.money import format_usd
from pointwork.contract.outcome import AttemptState, AttemptSummary, TaskOutcome, TokenUsage


def served_tokens(outcome: TaskOutcome, attempts: Sequence[AttemptSummary]) -> TokenUsage:
    """Tokens of the call whose answer this is; none where the answer came from the cache.

    What all calls of the task cost stands under ``pointwork``.
    """
    served = [
        each.usage
        for each in attempts
        if each.state is AttemptState.DONE and each.model == outcome.served_model and each.usage
    ]
    return served[-1] if served else TokenUsage(input_tokens=0, output_tokens=0)


def governance(outcome: TaskOutcome) -> dict[str, Any]:
    """What was decided and what it cost: the requested and the served model, every fallback."""
    return {
        "task_id": outcome.task_id,
        "status": outcome.status,
        "pack": outcome.policy.pack if outcome.policy else None,
        "policy_version": outcome.policy.version if outcome.policy else None,
        "task_class": outcome.task_class,
        "class_source": outcome.class_source,
        "sensitivity": outcome.sensitivity,
        "requested_model": outcome.requested_model,
        "served_model": outcome.served_model,
        "served_as": outcome.served_as,
        "served_family": outcome.served_family,
        "used_fallback": outcome.used_fallback,
        "fallbacks": [each.model_dump(mode="json") for each in outcome.fallbacks],
        "redactions": [each.model_dump(mode="json") for each in outcome.redactions],
        "cost_nano_usd": outcome.cost_nano_usd,
        "cost": format_usd(outcome.cost_nano_usd),
        "settlement": outcome.settlement,
        "is_cached": outcome.is_cached,
        "is_draft": outcome.is_draft,
        "approval_ids": list(outcome.approval_ids),
        "url": f"/v1/tasks/{outcome.task_id}",
    }


def headers(outcome: TaskOutcome) -> dict[str, str]:
    """The same in headers, for clients that drop unknown members of a body."""
    return {
        "pointwork-task-id": outcome.task_id,
        "pointwork-requested-model": outcome.requested_model or "auto",
        "pointwork-served-model": outcome.served_model or "",
        "pointwork-fallbacks": str(len(outcome.fallbacks)),
        "pointwork-cost-nano-usd": str(outcome.cost_nano_usd),
    }
