"""What one sweep of the ledger did, and where the next goes on."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.task import Message

Count = Annotated[int, Field(ge=0)]


class SweepPlace(Message):
    """The last row a walk looked at, in the order of time and then of id."""

    at: AwareDatetime
    row_id: str


class Swept(Message):
    """The result of ``SweepLedger``, which the next one starts from.

    A walk that ran out of time says where it stopped, so that rows behind thousands of waiting
    tasks have their turn; None where it saw everything.
    """

    outcomes_recorded: Count = 0
    """Tasks whose workflow was ended from outside, where no code of ours could record it."""
    parts_ended: Count = 0
    calls_reconciled: Count = 0
    unrecorded_after: SweepPlace | None = None
    expired_after: SweepPlace | None = None
