"""The fewest swaps that any schedule of one serial card could make of a trace, knowing all of it.

A search over the moments at which each model is left. Within a visit tasks are served by their
bounds; a schedule that some other schedule beats in time and in tasks served, with as many swaps,
is dropped. ``WIDTH`` schedules are kept for each number of swaps, so that the result is an upper
limit of the optimum; ``lower_limit`` is proved.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.lane_simulation import Arrival
from pointwork.local.arbiter import SwapSeconds

WIDTH = 30
_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Where a schedule stands when a model has just been loaded."""

    now: float
    loaded: str
    served: int
    """A bit for each task of the trace."""


def fewest_swaps(trace: Sequence[Arrival], swap_seconds: SwapSeconds) -> int | None:
    """None where no schedule was found that keeps every bound."""
    tasks = sorted(trace, key=lambda each: each.at)
    models = sorted({each.model for each in tasks})
    everything = (1 << len(tasks)) - 1
    layer = [_Schedule(0.0, model, 0) for model in models]
    swaps = 0
    while layer:
        found: list[_Schedule] = []
        for schedule in layer:
            for left_at, served in _visit(schedule, tasks):
                if served == everything:
                    return swaps
                for model in models:
                    if model == schedule.loaded:
                        continue
                    now = left_at + swap_seconds(schedule.loaded, model)
                    following = _Schedule(now, model, served)
                    if _keeps_bounds(following, tasks, swap_seconds):
                        found.append(following)
        layer = _best(found)
        swaps += 1
    return None


def _visit(schedule: _Schedule, tasks: Sequence[Arrival]) -> Iterator[tuple[float, int]]:
    """Every moment at which the model may be left, with what is served by then."""
    now, served = schedule.now, schedule.served
    yield now, served
    coming = [
        (number, each)
        for number, each in enumerate(tasks)
        if each.model == schedule.loaded and not served >> number & 1
    ]
    ready: list[tuple[float, int]] = []
    at = 0
    while True:
        while at < len(coming) and coming[at][1].at <= now:
            number, each = coming[at]
            heapq.heappush(ready, (each.at + each.bound_seconds, number))
            at += 1
        if not ready:
            if at == len(coming):
                return
            now = coming[at][1].at
        else:
            starts_by, number = heapq.heappop(ready)
            if now > starts_by + _EPSILON:
                return
            now += tasks[number].run_seconds
            served |= 1 << number
        yield now, served


def _keeps_bounds(schedule: _Schedule, tasks: Sequence[Arrival], swap_seconds: SwapSeconds) -> bool:
    """Whether nothing that has come is late already, going straight to its model."""
    for number, each in enumerate(tasks):
        if each.at > schedule.now:
            break
        if schedule.served >> number & 1:
            continue
        way = 0.0 if each.model == schedule.loaded else swap_seconds(schedule.loaded, each.model)
        if schedule.now + way > each.at + each.bound_seconds + _EPSILON:
            return False
    return True


def _best(found: list[_Schedule]) -> list[_Schedule]:
    kept: list[_Schedule] = []
    for each in sorted(found, key=lambda each: (-each.served.bit_count(), each.now)):
        beaten = any(
            other.loaded == each.loaded
            and other.now <= each.now
            and each.served & ~other.served == 0
            for other in kept
        )
        if not beaten:
            kept.append(each)
            if len(kept) == WIDTH:
                break
    return kept


def lower_limit(trace: Sequence[Arrival], swap_seconds: SwapSeconds) -> int:
    """Swaps that every schedule of a trace of two models makes, were generations free.

    Each task needs a moment within its bound at which its model is loaded; who always leaves at the
    last moment that allows it leaves least often.
    """
    tasks = sorted(trace, key=lambda each: each.at)
    models = sorted({each.model for each in tasks})
    return min((_last_moments(tasks, model, models, swap_seconds) for model in models), default=0)


def _last_moments(
    tasks: Sequence[Arrival], loaded: str, models: Sequence[str], swap_seconds: SwapSeconds
) -> int:
    swaps, leave_by = 0, float("inf")
    for task in tasks:
        while task.at > leave_by:
            loaded = next(model for model in models if model != loaded)
            swaps, leave_by = swaps + 1, float("inf")
        if task.model != loaded:
            latest = task.at + task.bound_seconds - swap_seconds(loaded, task.model)
            leave_by = min(leave_by, latest)
    return swaps + (leave_by < float("inf"))
