"""Whether an override holds for a task at a moment: scope and duration, whichever ends first."""

from datetime import datetime

from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.task import TaskRequest


def in_force(override: Override, request: TaskRequest, now: datetime) -> bool:
    """Nothing has to end an override: it stops holding by itself (OM-72).

    One that nobody acknowledged the cost of never began (OM-73).
    """
    if override.acknowledged_at is None or override.revoked_at is not None:
        return False
    if now < override.starts_at:
        return False
    return _in_scope(override, request, now) and _lasts(override, request, now)


def _in_scope(override: Override, request: TaskRequest, now: datetime) -> bool:
    match override.scope:
        case OverrideScope.TASK:
            return override.task_id == request.task_id
        case OverrideScope.SESSION:
            return _same_session(override, request)
        case OverrideScope.PERIOD:
            return override.ends_at is not None and now < override.ends_at


def _lasts(override: Override, request: TaskRequest, now: datetime) -> bool:
    match override.duration:
        case OverrideDuration.SINGLE_USE:
            return override.used_by in (None, request.task_id)
        case OverrideDuration.SESSION:
            return _same_session(override, request)
        case OverrideDuration.TIME_LIMITED:
            return override.ends_at is not None and now < override.ends_at
        case OverrideDuration.INDEFINITE:
            return True


def _same_session(override: Override, request: TaskRequest) -> bool:
    same = override.conversation is not None and override.conversation == request.conversation
    return same and override.session_ended_at is None
