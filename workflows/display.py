"""What a person sees of a running task in Temporal's own UI: facts, never content."""

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributeUpdate

from workflows.trail import Trail

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.decision import GrantKind
    from pointwork.contract.money import NANO_PER_USD
    from pointwork.contract.names import SearchAttribute
    from pointwork.contract.outcome import TaskStatus

_CLASS = SearchAttributeKey.for_keyword(SearchAttribute.TASK_CLASS)
_MODEL = SearchAttributeKey.for_keyword(SearchAttribute.MODEL)
_STATUS = SearchAttributeKey.for_keyword(SearchAttribute.STATUS)
_WAITS_FOR = SearchAttributeKey.for_keyword(SearchAttribute.WAITS_FOR)
_COST_USD = SearchAttributeKey.for_float(SearchAttribute.COST_USD)


def show(
    trail: Trail, status: TaskStatus, cost_nano_usd: int | None = None, *, waits_for: str = ""
) -> None:
    """Update the search attributes and the current details."""
    task_class = trail.classification.task_class if trail.classification else None
    updates: list[SearchAttributeUpdate[str] | SearchAttributeUpdate[float]] = [
        _STATUS.value_set(status),
        _CLASS.value_set(task_class or "unknown"),
        _WAITS_FOR.value_set(waits_for) if waits_for else _WAITS_FOR.value_unset(),
    ]
    if trail.last is not None:
        updates.append(_MODEL.value_set(trail.last.model))
    if cost_nano_usd is not None:
        updates.append(_COST_USD.value_set(cost_nano_usd / NANO_PER_USD))
    workflow.upsert_search_attributes(updates)
    workflow.set_current_details(details(trail, status, waits_for))


def details(trail: Trail, status: TaskStatus, waits_for: str = "") -> str:
    """Markdown: state, class, model, attempt, worst case, and what the task waits for."""
    task_class = trail.classification.task_class if trail.classification else None
    model = trail.last.model if trail.last else "none yet"
    lines = [
        f"**{status}**, class {task_class or 'unknown'}, model {model}, attempt {trail.attempts}",
        f"worst case {trail.estimate_nano_usd / NANO_PER_USD:.6f} USD",
    ]
    if waits_for:
        command = "choose" if waits_for == GrantKind.CHOICE else "approve"
        lines.append(
            f"waits for a person: {waits_for}; `pointwork {command} {trail.request.task_id}`"
        )
    return "\n\n".join(lines)
