"""How long tasks may wait for a host's one card (R-34, DC-21)."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pointwork.contract.task import PRIORITY_STANDARD
from pointwork.policy.documents.document import Document

PRIORITY_INTERACTIVE_MAX = 2

Bound = Annotated[int, Field(ge=1, le=86_400)]


class WaitBounds(Document):
    """Seconds within which a task's generation is to begin, by the priority of the task.

    The card swaps early enough to keep them, and uses what they allow to swap less. A bound that
    the work before it makes impossible is missed, counted and shown, never hidden.
    """

    interactive_seconds: Bound = 15
    """Priorities 1 and 2: somebody waits, such as the tutor of codex section 3."""
    standard_seconds: Bound = 90
    """Priority 3."""
    bulk_seconds: Bound = 900
    """Priorities 4 and 5."""

    @model_validator(mode="after")
    def _sooner_for_the_more_urgent(self) -> Self:
        if not self.interactive_seconds <= self.standard_seconds <= self.bulk_seconds:
            msg = (
                f"wait_bounds: interactive_seconds {self.interactive_seconds}, standard_seconds "
                f"{self.standard_seconds} and bulk_seconds {self.bulk_seconds} must not fall; "
                "an urgent task waits no longer than a less urgent one"
            )
            raise ValueError(msg)
        return self

    def of(self, priority: int) -> float:
        """The bound of a task of this priority, in seconds."""
        if priority <= PRIORITY_INTERACTIVE_MAX:
            return float(self.interactive_seconds)
        return float(self.standard_seconds if priority == PRIORITY_STANDARD else self.bulk_seconds)
