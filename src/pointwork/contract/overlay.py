"""How models did lately, and the order of a pack's models as those results have moved it.

An overlay never changes a pack: it is a versioned, bounded re-ordering of models the pack already
approved, and its version 0 is the pack's own order (R-9; JG-35 to JG-37).
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from pointwork.contract.canonical import canonical_bytes, sha256_hex
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import NanoUsd
from pointwork.contract.task import Message, Name

OPTIMIZER = "optimizer"
"""The one agent identity that may write an overlay, and nothing else (R-35)."""
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class CallFault(StrEnum):
    """Why a call counts as failed although no provider said so."""

    FATE_UNKNOWN = "FATE_UNKNOWN"
    """The worker was lost while the call ran."""
    ANSWER_REFUSED = "ANSWER_REFUSED"
    """The model answered, and a check refused the answer."""


class ErrorCount(Message):
    """How many calls failed in one way."""

    kind: ProviderFailureKind | CallFault
    count: Annotated[int, Field(ge=1)]


class ModelWindow(Message):
    """One model's closed calls of one stretch of time, half open (JG-30 to JG-34).

    Averages are None where nothing was measured, which is not the same as 0.
    """

    model: Name
    starts_at: AwareDatetime
    ends_at: AwareDatetime
    requests: Count
    succeeded: Count
    failed: Count
    errors_by_kind: tuple[ErrorCount, ...]
    average_ms: Count | None = None
    """Over the calls that succeeded."""
    average_tokens: Count | None = None
    """Input and output together, over the calls whose tokens the provider metered."""
    succeeded_per_1k_tokens: Decimal | None = None
    """Successes for each 1000 metered tokens, four decimals."""
    cost_nano_usd: NanoUsd = 0
    rating_average: Decimal | None = None
    """1 to 5, four decimals, over the rated tasks this model answered."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.succeeded + self.failed != self.requests:
            msg = (
                f"succeeded and failed are {self.succeeded} and {self.failed} of "
                f"{self.requests} requests; let them add up"
            )
            raise ValueError(msg)
        if sum(each.count for each in self.errors_by_kind) != self.failed:
            msg = f"errors_by_kind does not add up to {self.failed} failed; count each call once"
            raise ValueError(msg)
        return self


class OverlayPlace(Message):
    """A model that stands one place from where the pack's own order puts it."""

    task_class: Name
    model: Name
    shift: Literal[-1, 1]
    """Places it rose: 1 is one place earlier, -1 one place later."""


class Overlay(Message):
    """One version of a pack's re-ordering. Models not listed keep their place."""

    pack: Name
    version: Annotated[int, Field(ge=1)]
    parent: Annotated[int, Field(ge=1)] | None
    """The version before; None for the first, which follows the pack's own order."""
    created_at: AwareDatetime
    reason: Annotated[str, Field(min_length=3, max_length=2_000)]
    windows_sha256: Sha256
    """Hash of the windows it rests on (``windows_sha256``)."""
    places: tuple[OverlayPlace, ...] = ()

    @model_validator(mode="after")
    def _one_place_each(self) -> Self:
        if self.parent != (self.version - 1 or None):
            msg = f"parent of version {self.version} is {self.parent}; name the version before it"
            raise ValueError(msg)
        seen = [(each.task_class, each.model) for each in self.places]
        if len(set(seen)) != len(seen):
            msg = "places names a model twice in one class; keep one of the two"
            raise ValueError(msg)
        return self

    def shifts(self, task_class: str) -> Mapping[str, int]:
        """Places risen, by model, in one class."""
        return {each.model: each.shift for each in self.places if each.task_class == task_class}


class PriorityMove(StrEnum):
    PROMOTED = "promoted"
    DEMOTED = "demoted"


class OverlayEvent(Message):
    """A model that moved one place, and the figures it moved on (JG-35, JG-36)."""

    task_class: Name
    model: Name
    move: PriorityMove
    from_place: Annotated[int, Field(ge=1)]
    to_place: Annotated[int, Field(ge=1)]
    succeeded: Count
    requests: Count
    bound: Decimal
    """The ratio of successes it fell below or reached."""

    @property
    def sentence(self) -> str:
        met = "at least" if self.move is PriorityMove.PROMOTED else "below"
        return (
            f"{self.model} is {self.move} in {self.task_class} from place {self.from_place} to "
            f"{self.to_place}: {self.succeeded} of {self.requests} calls succeeded, {met} "
            f"{self.bound}."
        )


class OverlayChange(Message):
    """A new version of an overlay with its evidence, as the ledger takes and keeps it."""

    overlay: Overlay
    events: tuple[OverlayEvent, ...] = ()
    windows: tuple[ModelWindow, ...]
    reverts_to: Annotated[int, Field(ge=0)] | None = None
    """The earlier version whose places it repeats; 0 is the pack's own order."""

    @model_validator(mode="after")
    def _evidence_is_the_hashed_one(self) -> Self:
        if self.overlay.windows_sha256 != windows_sha256(self.windows):
            msg = "overlay.windows_sha256 is not the hash of windows; give the windows it rests on"
            raise ValueError(msg)
        return self


def windows_sha256(windows: tuple[ModelWindow, ...]) -> str:
    """Hash of the evidence, in the order given."""
    return sha256_hex(canonical_bytes([each.model_dump(mode="json") for each in windows]))


def reverted(current: Overlay, target: Overlay | None, now: datetime, reason: str) -> OverlayChange:
    """A new version with the places of an earlier one; None is the pack's own order (JG-37).

    Versions only go up, so what was in force when stays readable.
    """
    overlay = Overlay(
        pack=current.pack,
        version=current.version + 1,
        parent=current.version,
        created_at=now,
        reason=reason,
        windows_sha256=windows_sha256(()),
        places=target.places if target else (),
    )
    return OverlayChange(overlay=overlay, windows=(), reverts_to=target.version if target else 0)
