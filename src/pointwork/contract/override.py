"""A person's exception to a route: scoped, reasoned, and gone by itself (OM-68 to OM-74)."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.money import NanoUsd
from pointwork.contract.task import Message, Name, TaskId


class OverrideScope(StrEnum):
    """Which tasks it is for (OM-70)."""

    TASK = "task"
    SESSION = "session"
    PERIOD = "period"


class OverrideDuration(StrEnum):
    """How long it lasts (OM-71)."""

    SINGLE_USE = "single_use"
    SESSION = "session"
    TIME_LIMITED = "time_limited"
    INDEFINITE = "indefinite"


class Override(Message):
    """Which model goes first, for whom, until when. It opens routes and local marks, never more:

    privacy, residency, credentials, prices, ceilings and budgets stay as they are.
    """

    override_id: Annotated[str, Field(min_length=1, max_length=200)]
    model: Name
    """The catalogue id that goes first while the override holds."""
    scope: OverrideScope
    task_id: TaskId | None = None
    conversation: Name | None = None
    """The session of a SESSION scope or duration."""
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None = None
    """Bound of a PERIOD scope or a TIME_LIMITED duration."""
    duration: OverrideDuration
    reason: Annotated[str, Field(min_length=8, max_length=500)]
    approver: Name
    cost_impact_nano_usd: NanoUsd
    """The estimate a person saw (OM-73)."""
    acknowledged_at: AwareDatetime | None = None
    """When a person acknowledged the cost; until then the override changes nothing."""
    revoked_at: AwareDatetime | None = None
    session_ended_at: AwareDatetime | None = None
    used_by: TaskId | None = None
    """The task that used a SINGLE_USE override up."""
