"""One card in simulated time: what each rule for its queue makes of the same arrivals.

Seconds are simulated. Run times are known to the card and estimated by the rules, on the high side
as the lane's own estimates are.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pointwork.local.arbiter import LaneState, Serve, Swap, SwapSeconds, Wait, Waiting, next_move


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a trace."""

    task_id: str
    model: str
    at: float
    priority: str
    bound_seconds: float
    run_seconds: float


@dataclass(slots=True)
class Outcome:
    """What became of a trace under one rule."""

    swaps: int = 0
    swap_seconds: float = 0.0
    starts: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)

    @property
    def makespan(self) -> float:
        return max(self.ends.values(), default=0.0)

    def waits(self, trace: Sequence[Arrival], priority: str | None = None) -> list[float]:
        return [
            self.starts[each.task_id] - each.at
            for each in trace
            if priority is None or each.priority == priority
        ]

    def past_bound(self, trace: Sequence[Arrival]) -> int:
        """How many started later than their bound, by more than a microsecond."""
        late = 1e-6
        return sum(
            self.starts[each.task_id] - each.at > each.bound_seconds + late for each in trace
        )


Choose = Callable[["Card", float], "Serve | Swap | Wait"]


@dataclass(slots=True)
class Card:
    """The simulated card: what is loaded, what runs, what waits."""

    in_flight_max: int
    swap_seconds: SwapSeconds
    estimate: float = 1.0
    """What the rules take a run for, as a multiple of what it takes."""
    loaded: str | None = None
    loaded_at: float = 0.0
    idle_since: float = 0.0
    running: dict[str, float] = field(default_factory=dict)
    """When each running task ends, by what the rules take it for."""
    waiting: dict[str, Arrival] = field(default_factory=dict)
    """In the order of arrival."""

    def state(self) -> LaneState:
        return LaneState(
            loaded=self.loaded,
            in_flight_max=self.in_flight_max,
            ends_by=tuple(self.running.values()),
            waiting=tuple(
                Waiting(
                    each.task_id,
                    each.model,
                    each.at + each.bound_seconds,
                    each.run_seconds * self.estimate,
                )
                for each in self.waiting.values()
            ),
            swap_seconds=self.swap_seconds,
            loaded_at=self.loaded_at,
            idle_since=self.idle_since,
        )


def by_arbiter(card: Card, now: float) -> Serve | Swap | Wait:
    return next_move(card.state(), now)


def first_come(card: Card, now: float) -> Serve | Swap | Wait:
    """A plain queue with one consumer: DC-21 read literally."""
    if card.running or not card.waiting:
        return Wait()
    first = next(iter(card.waiting.values()))
    return Serve(first.task_id) if first.model == card.loaded else Swap(first.model)


def collating(card: Card, now: float) -> Serve | Swap | Wait:
    """llama-swap's rule, from its description: requests for the loaded model go first, together;
    with none left, the model of the oldest request is loaded. Nothing bounds a wait."""
    own = next((each for each in card.waiting.values() if each.model == card.loaded), None)
    if own is not None:
        full = len(card.running) >= card.in_flight_max
        return Wait() if full else Serve(own.task_id)
    if card.running or not card.waiting:
        return Wait()
    return Swap(next(iter(card.waiting.values())).model)


def simulate(trace: Sequence[Arrival], card: Card, choose: Choose = by_arbiter) -> Outcome:
    """Serve the whole trace; every request is served once.

    Raises:
        AssertionError: the rule breaks what every rule must keep: no swap beside a running
            generation, no task served by another model, no idle card with work for its model.
    """
    run = _Run(card, deque(sorted(trace, key=lambda each: each.at)))
    while run.coming or card.waiting or run.ending:
        run.catch_up()
        match choose(card, run.now):
            case Serve(task_id):
                run.serve(card.waiting.pop(task_id))
            case Swap(model):
                run.swap(model)
            case Wait(until):
                if not run.wait(until):
                    break
    return run.outcome


@dataclass(slots=True)
class _Run:
    """A simulation under way."""

    card: Card
    coming: deque[Arrival]
    ending: list[tuple[float, str]] = field(default_factory=list)
    """When each running generation ends: a heap."""
    now: float = 0.0
    outcome: Outcome = field(default_factory=Outcome)

    def catch_up(self) -> None:
        """All that has happened by now."""
        while self.coming and self.coming[0].at <= self.now:
            arrival = self.coming.popleft()
            self.card.waiting[arrival.task_id] = arrival
        while self.ending and self.ending[0][0] <= self.now:
            _, task_id = heapq.heappop(self.ending)
            del self.card.running[task_id]
            self.card.idle_since = self.now

    def serve(self, served: Arrival) -> None:
        if served.model != self.card.loaded:
            raise AssertionError(f"{served.task_id} is served by {self.card.loaded}")
        if len(self.card.running) >= self.card.in_flight_max:
            raise AssertionError(f"{served.task_id} is one more than run together")
        ends = self.now + served.run_seconds
        self.outcome.starts[served.task_id], self.outcome.ends[served.task_id] = self.now, ends
        self.card.running[served.task_id] = self.now + served.run_seconds * self.card.estimate
        heapq.heappush(self.ending, (ends, served.task_id))

    def swap(self, model: str) -> None:
        card = self.card
        if card.running:
            raise AssertionError(f"{model} is loaded beside a running generation")
        took = card.swap_seconds(card.loaded, model)
        self.outcome.swaps += card.loaded is not None
        self.outcome.swap_seconds += took
        self.now += took
        card.loaded, card.loaded_at, card.idle_since = model, self.now, self.now

    def wait(self, until: float | None) -> bool:
        """To the next event; False where everything is over."""
        card = self.card
        if not card.running and any(each.model == card.loaded for each in card.waiting.values()):
            raise AssertionError("the card is idle while work for its model waits")
        coming = [self.coming[0].at] if self.coming else []
        coming += [each for each, _ in self.ending[:1]]
        if until is not None and until > self.now:
            coming.append(until)
        if not coming and card.waiting:
            raise AssertionError("work waits and nothing will happen")
        if coming:
            self.now = min(coming)
        return bool(coming)
