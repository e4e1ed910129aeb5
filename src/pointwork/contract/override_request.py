"""Asking for an override: what another person is shown before it holds (OM-68 to OM-73)."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from pointwork.contract.justification import convenience_in
from pointwork.contract.money import NanoUsd
from pointwork.contract.override import OverrideDuration, OverrideScope
from pointwork.contract.task import Message, Name, TaskId


class OverrideState(StrEnum):
    """How an override stands: it waits, holds, or is over in exactly one way."""

    PENDING = "pending"
    """Nobody acknowledged its cost yet; it changes nothing (OM-73)."""
    ACTIVE = "active"
    ENDED = "ended"
    """Its scope or its duration is over (OM-72)."""
    EXPIRED = "expired"
    """Nobody acknowledged it in time."""
    REVOKED = "revoked"
    STRUCK = "struck"
    """A reviewer found its reason to be convenience (OM-69)."""


Reason = Annotated[str, Field(min_length=8, max_length=500)]


class OverrideRequest(Message):
    """What somebody asks for, and what another person is shown before it holds (OM-68 to OM-73)."""

    override_id: TaskId
    pack: Name
    model: Name
    scope: OverrideScope
    task_id: TaskId | None = None
    conversation: Name | None = None
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None = None
    duration: OverrideDuration
    reason: Reason
    requester: Name
    cost_impact_nano_usd: NanoUsd
    cost_basis: Annotated[str, Field(min_length=8, max_length=500)]
    """How the impact was estimated, and from how many tasks."""
    policy_sha256: str
    """The rules it is an exception to: pack, models, prices and host together."""

    @field_validator("reason")
    @classmethod
    def _is_substantive(cls, value: str) -> str:
        if not value.isprintable() or value != value.strip():
            msg = "reason must be one printable line without spaces around it"
            raise ValueError(msg)
        if (fault := convenience_in(value)) is not None:
            raise ValueError(fault)
        return value

    @model_validator(mode="after")
    def _names_what_it_is_for(self) -> Self:
        """Each bound is given where scope or duration reads it, and nowhere else."""
        of_session = OverrideScope.SESSION is self.scope
        of_session = of_session or self.duration is OverrideDuration.SESSION
        timed = OverrideScope.PERIOD is self.scope
        timed = timed or self.duration is OverrideDuration.TIME_LIMITED
        for name, value, is_read in (
            ("task_id", self.task_id, self.scope is OverrideScope.TASK),
            ("conversation", self.conversation, of_session),
            ("ends_at", self.ends_at, timed),
        ):
            if (value is not None) != is_read:
                wanted = "is missing" if is_read else "is given and bounds nothing"
                msg = f"{name} {wanted} with scope {self.scope} and duration {self.duration}"
                raise ValueError(msg)
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            msg = "ends_at is not after starts_at"
            raise ValueError(msg)
        return self
