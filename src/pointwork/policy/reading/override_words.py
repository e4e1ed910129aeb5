"""For whom an override is and how long, as a person reads it."""

from pointwork.contract.override import OverrideDuration, OverrideScope
from pointwork.contract.override_request import OverrideRequest


def scope_words(asked: OverrideRequest) -> str:
    match asked.scope:
        case OverrideScope.TASK:
            return f"task {asked.task_id}"
        case OverrideScope.SESSION:
            return f"session {asked.conversation}"
        case OverrideScope.PERIOD:
            return f"period until {_until(asked)}"


def duration_words(asked: OverrideRequest) -> str:
    match asked.duration:
        case OverrideDuration.TIME_LIMITED:
            return f"until {_until(asked)}"
        case OverrideDuration.SESSION:
            return f"session {asked.conversation}"
        case OverrideDuration.SINGLE_USE | OverrideDuration.INDEFINITE:
            return asked.duration.replace("_", " ")


def _until(asked: OverrideRequest) -> str:
    return asked.ends_at.isoformat(timespec="minutes") if asked.ends_at else ""
