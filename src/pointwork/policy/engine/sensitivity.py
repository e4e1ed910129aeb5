"""How careful a task must be: the highest of all that was declared or found, never the lowest."""

from pointwork.contract.decision import DecisionInput
from pointwork.contract.task import DataClass, Sensitivity
from pointwork.policy.documents.pack import Pack


def effective_sensitivity(given: DecisionInput, pack: Pack) -> Sensitivity | None:
    """max(declared, detectors, caller's floor, conversation's mark); None if all are silent."""
    floor = pack.callers.get(given.request.caller)
    return Sensitivity.highest(
        given.request.sensitivity,
        *(each.sensitivity for each in given.request.data_classes),
        given.classification.detected_sensitivity,
        *(each.sensitivity for each in given.classification.detected_data_classes),
        floor.sensitivity_floor if floor else None,
        given.snapshot.conversation_sensitivity,
    )


def effective_data_classes(given: DecisionInput) -> tuple[DataClass, ...]:
    return tuple(sorted({*given.request.data_classes, *given.classification.detected_data_classes}))


def is_confirmed(given: DecisionInput, pack: Pack) -> bool:
    """Whether somebody stated what the content is (OM-46); a detector's silence does not."""
    floor = pack.callers.get(given.request.caller)
    return bool(given.request.sensitivity or given.request.data_classes or floor)
