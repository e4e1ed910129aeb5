"""The lane to one card: what waits, what runs, and the loop around the arbiter's choice."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pointwork.contract.local_run import ModelBuild
from pointwork.local.arbiter import LaneState, Serve, Swap, Wait, Waiting, next_move
from pointwork.local.paces import SwapPaces
from pointwork.local.runtime import LocalModelUnavailableError, LocalRuntime

LOAD_PAUSES_SECONDS = 1.0, 4.0
"""A load that fails is tried again after each, and only then are those who wait told."""
RELOAD_AFTER_SECONDS = 15.0
"""A model that did not load even so is not tried again before: each try costs the others theirs."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """What the lane must know of a task to give it its turn."""

    model: str
    bound_seconds: float
    """How long tasks of its priority class may wait in all (R-34)."""
    waited_seconds: float = 0.0
    """What it waited before it came here, in the server's queue."""
    run_seconds: float = 30.0
    """How long it may run, on the high side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueOfModel:
    """What waits for one model."""

    waiting: int
    oldest_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneStatus:
    """The lane at one moment."""

    loaded: str | None
    loading: str | None
    """The model a swap is under way to."""
    build: ModelBuild | None
    """What is loaded, exactly."""
    in_flight: int
    in_flight_max: int
    queues: dict[str, QueueOfModel]
    swaps: int
    """Since the lane was opened; the first load is none."""
    swap_seconds: float
    """Spent on loads since the lane was opened."""
    served: int
    past_bound: int
    """How many began later than their bound."""
    longest_wait_seconds: float
    failed_loads: dict[str, str]
    """Models that do not load at present, and why."""


@dataclass(slots=True)
class _Place:
    waiting: Waiting
    arrived_at: float
    turn: asyncio.Future[str]


@dataclass(slots=True)
class _Counts:
    swaps: int = 0
    swap_seconds: float = 0.0
    served: int = 0
    past_bound: int = 0
    longest_wait_seconds: float = 0.0


@dataclass(slots=True)
class _FailedLoad:
    error: LocalModelUnavailableError
    again_at: float
    in_a_row: int
    is_told: bool
    """Whether those who wait, and who come before ``again_at``, are turned away with it."""


@dataclass(slots=True)
class _Card:
    """What is on the card, as the lane knows it."""

    base_url: str = ""
    loaded_at: float = 0.0
    idle_since: float = 0.0
    loading: str | None = None
    ends_by: dict[int, float] = field(default_factory=dict)


class LocalLane:
    """Gives each task its turn on the one card; a swap never meets a running generation (CX-8).

    Use it from one event loop. ``on_change`` is called after everything that ``status`` would show
    differently, and must return at once.
    """

    def __init__(
        self,
        runtime: LocalRuntime,
        *,
        in_flight_max: int = 1,
        swap_seconds_guess: float = 5.0,
        load_pauses_seconds: Sequence[float] = LOAD_PAUSES_SECONDS,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._runtime = runtime
        self._in_flight_max = in_flight_max
        self._on_change = on_change
        self._load_pauses_seconds = load_pauses_seconds
        self._paces = SwapPaces(swap_seconds_guess)
        self._places: dict[int, _Place] = {}
        self._card = _Card()
        self._counts = _Counts()
        self._failed_loads: dict[str, _FailedLoad] = {}
        self._swap: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last_number = 0
        self._is_closed = False

    @asynccontextmanager
    async def place(self, ticket: Ticket) -> AsyncIterator[str]:
        """Wait for the turn of ``ticket``, and hold it: the base URL of its model's server.

        Raises:
            LocalModelUnavailableError: its model does not load, or the lane is closed.
        """
        number = self._enter(ticket)
        try:
            yield await self._places[number].turn
        finally:
            self._leave(number)

    @property
    def build(self) -> ModelBuild | None:
        """What is loaded, exactly: while a turn is held, what serves it."""
        return self._runtime.build

    def status(self) -> LaneStatus:
        now = self._now()
        waiting = Counter(each.waiting.model for each in self._places.values() if _waits(each))
        oldest: dict[str, float] = {}
        for each in self._places.values():
            if _waits(each):
                waited = now - each.arrived_at
                oldest[each.waiting.model] = max(oldest.get(each.waiting.model, 0.0), waited)
        counts = self._counts
        return LaneStatus(
            loaded=None if self._card.loading else self._runtime.loaded(),
            loading=self._card.loading,
            build=self._runtime.build if self._runtime.loaded() else None,
            in_flight=len(self._card.ends_by),
            in_flight_max=self._in_flight_max,
            queues={
                model: QueueOfModel(waiting=waiting[model], oldest_seconds=oldest[model])
                for model in sorted(waiting)
            },
            swaps=counts.swaps,
            swap_seconds=counts.swap_seconds,
            served=counts.served,
            past_bound=counts.past_bound,
            longest_wait_seconds=counts.longest_wait_seconds,
            failed_loads={
                model: str(failed.error) for model, failed in sorted(self._pausing().items())
            },
        )

    async def aclose(self) -> None:
        """Turn away who waits; whoever runs is left to the runtime's end."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        closing = LocalModelUnavailableError("the local lane is shutting down; ask again")
        for each in self._places.values():
            if _waits(each):
                each.turn.set_exception(closing)
        if self._swap is not None:
            self._swap.cancel()
            await asyncio.gather(self._swap, return_exceptions=True)

    def _enter(self, ticket: Ticket) -> int:
        now = self._now()
        failed = self._failed_loads.get(ticket.model)
        if failed is not None and failed.is_told and now < failed.again_at:
            raise LocalModelUnavailableError(str(failed.error))
        if self._is_closed:
            raise LocalModelUnavailableError("the local lane is shutting down; ask again")
        self._last_number += 1
        arrived_at = now - ticket.waited_seconds
        waiting = Waiting(
            task_id=str(self._last_number),
            model=ticket.model,
            starts_by=arrived_at + ticket.bound_seconds,
            run_seconds=ticket.run_seconds,
        )
        turn = asyncio.get_running_loop().create_future()
        self._places[self._last_number] = _Place(waiting, arrived_at, turn)
        self._advance()
        return self._last_number

    def _leave(self, number: int) -> None:
        turn = self._places.pop(number).turn
        if turn.done() and not turn.cancelled():
            turn.exception()  # Looked at, also where the waiter was cancelled as it was told.
        if self._card.ends_by.pop(number, None) is not None:
            self._card.idle_since = self._now()
        self._advance()

    def _advance(self) -> None:
        """Do what the arbiter says until it says wait. Everything that happens ends here."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._swap is None and not self._is_closed:
            match next_move(self._state(), self._now()):
                case Serve(task_id):
                    self._serve(int(task_id))
                case Swap(model):
                    self._card.loading = model
                    self._swap = asyncio.get_running_loop().create_task(self._load(model))
                case Wait(until):
                    self._wake_at([] if until is None else [until])
                    break
        self._on_change()

    def _wake_at(self, moments: list[float]) -> None:
        """At the first of them, or when a failed load is due again."""
        moments += [each.again_at for each in self._pausing().values()]
        if moments:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(min(moments), self._advance)

    def _pausing(self) -> dict[str, _FailedLoad]:
        """The models whose load is tried again, but not yet."""
        now = self._now()
        return {model: each for model, each in self._failed_loads.items() if each.again_at > now}

    def _state(self) -> LaneState:
        pausing = self._pausing()
        return LaneState(
            loaded=self._runtime.loaded() if self._card.base_url else None,
            in_flight_max=self._in_flight_max,
            ends_by=tuple(self._card.ends_by.values()),
            waiting=tuple(
                each.waiting
                for each in self._places.values()
                if _waits(each) and each.waiting.model not in pausing
            ),
            swap_seconds=self._paces.seconds,
            loaded_at=self._card.loaded_at,
            idle_since=self._card.idle_since,
        )

    def _serve(self, number: int) -> None:
        now, place, counts = self._now(), self._places[number], self._counts
        self._card.ends_by[number] = now + place.waiting.run_seconds
        counts.served += 1
        counts.past_bound += now > place.waiting.starts_by
        counts.longest_wait_seconds = max(counts.longest_wait_seconds, now - place.arrived_at)
        place.turn.set_result(self._card.base_url)

    async def _load(self, model: str) -> None:
        """A swap; nothing runs meanwhile, and who waits for a model that fails is told why."""
        before, began = self._runtime.loaded(), self._now()
        # Whatever becomes of this load, nobody is sent where the model before was served.
        self._card.base_url = ""
        try:
            self._card.base_url = await self._runtime.ensure_loaded(model)
        except LocalModelUnavailableError as unavailable:
            self._fail(model, unavailable)
        except Exception as error:  # noqa: BLE001 - a driver's fault must not end the lane
            _log.exception("%s did not load", model)
            self._fail(model, LocalModelUnavailableError(f"{model} did not load: {error!r}"))
        else:
            self._failed_loads.pop(model, None)
            took = self._now() - began
            self._paces.note(before, model, took)
            self._counts.swaps += before not in {None, model}
            self._counts.swap_seconds += took
        finally:
            now = self._now()
            self._card.loaded_at = self._card.idle_since = now
            self._card.loading = None
            self._swap = None
        self._advance()

    def _fail(self, model: str, error: LocalModelUnavailableError) -> None:
        known = self._failed_loads.get(model)
        in_a_row = known.in_a_row + 1 if known else 1
        pauses = self._load_pauses_seconds
        is_told = in_a_row > len(pauses)
        pause = RELOAD_AFTER_SECONDS if is_told else pauses[in_a_row - 1]
        again_at = self._now() + pause
        self._failed_loads[model] = _FailedLoad(error, again_at, in_a_row, is_told)
        if not is_told:
            return
        for each in self._places.values():
            if _waits(each) and each.waiting.model == model:
                each.turn.set_exception(LocalModelUnavailableError(str(error)))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _waits(place: _Place) -> bool:
    return not place.turn.done()
