"""What a GPU worker says of its card: what is loaded, what runs, what waits."""

from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.additive import added
from pointwork.contract.local_run import ModelBuild
from pointwork.contract.task import Message, Name

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LocalQueueSignal(Message):
    """What waits for one local model; names are those of requests (``served_as``)."""

    model: Name
    waiting: Count
    oldest_seconds: Seconds


class FailedLoad(Message):
    """A model that does not load at present."""

    model: Name
    reason: Annotated[str, Field(max_length=500)]


class LaneReport(Message):
    """The lane to one card at ``reported_at``; counts are since its worker started."""

    reported_at: AwareDatetime
    worker: Annotated[str, Field(max_length=200)]
    """Process id and host name."""
    loaded: Name | None = None
    loading: Name | None = None
    """The model a swap is under way to; none is loaded meanwhile."""
    in_flight: Count = 0
    in_flight_max: Count = 1
    queues: tuple[LocalQueueSignal, ...] = ()
    swaps: Count = 0
    swap_seconds: Seconds = 0.0
    """Spent on loads."""
    served: Count = 0
    past_bound: Count = 0
    """How many began later than the bound of their priority."""
    longest_wait_seconds: Seconds = 0.0
    failed_loads: tuple[FailedLoad, ...] = added(())
    build: ModelBuild | None = added(None)
    """What is loaded, exactly (CX-13)."""

    @property
    def waiting(self) -> int:
        return sum(each.waiting for each in self.queues)
