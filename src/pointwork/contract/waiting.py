"""What a task that waits for a person costs meanwhile."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WaitingMoney:
    """``held`` is kept from other tasks while it waits; ``spent`` is gone whatever is decided."""

    held_nano_usd: int
    spent_nano_usd: int


NO_MONEY = WaitingMoney(0, 0)
