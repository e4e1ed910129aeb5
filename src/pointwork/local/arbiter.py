"""Which model the one card serves next: a pure choice over a small state (design 6, DC-21, R-34).

The rules; the fourth goes before the second:

1. A task is to start within the bound of its priority class. Of the tasks for the loaded model the
   one whose bound comes first is served first, so that priority and age are one order and nobody
   starves.
2. The card stays with its model while work for it waits, and leaves in time for the most urgent
   task of another model to start within its bound: nothing is begun that would still run then.
3. A card without work keeps its model for a multiple of what leaving it and coming back would
   take, in case more comes, and then goes where work waits.
4. Where a bound is past or cannot be kept whatever is done, a freshly loaded model stays until its
   load was worth it: overload ends in batches, not in a swap for every task.
"""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter

SwapSeconds = Callable[[str | None, str], float]
"""What it takes from one model loaded, or none, to another that answers."""

WORTH_OF_A_LOAD = 3.0
"""In overload a model serves for at least so many times its swaps there and back (rule 4). From 2
to 5 it makes little difference (bench/README.md has what the rule is worth)."""

PATIENCE = 2.0
"""The multiple of rule 3. With 1 a mixed trace costs a quarter more swaps than can be, with 2 some
5 %, and waits are hardly longer (bench/gpu.py)."""

_ROUNDING = 1e-6
_by_bound = attrgetter("starts_by")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that is to be served. Seconds are of one clock that only goes forward."""

    task_id: str
    model: str
    starts_by: float
    """When it arrived, plus the bound of its priority class."""
    run_seconds: float
    """How long it may run, on the high side."""


@dataclass(frozen=True, slots=True)
class LaneState:
    """All that the choice sees."""

    loaded: str | None
    in_flight_max: int
    """Generations of the loaded model that run together; 1 is a strictly serial lane."""
    ends_by: tuple[float, ...]
    """For every running generation, when it will be over, on the high side."""
    waiting: tuple[Waiting, ...]
    """In the order of arrival, which decides between equal bounds."""
    swap_seconds: SwapSeconds
    loaded_at: float = 0.0
    idle_since: float = 0.0
    """When the last generation ended, or the model was loaded: the later of the two."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Start this task on the loaded model."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Swap:
    """Load this model. Nothing runs."""

    model: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Ask again when something changes, or at ``until`` where that is set."""

    until: float | None = None


Move = Serve | Swap | Wait


def next_move(state: LaneState, now: float) -> Move:
    """What to do now. A total function of its arguments: the same state gives the same move."""
    own = sorted((each for each in state.waiting if each.model == state.loaded), key=_by_bound)
    leave = _next_model(state, now)
    if leave is None:
        return _serve_first(state, own)
    if own:
        return _serve_or_leave(state, own, leave, now)
    if state.ends_by:
        return Wait()
    if state.loaded is None or leave.has_late:
        return Swap(leave.model)
    there, back = (
        state.swap_seconds(state.loaded, leave.model),
        state.swap_seconds(leave.model, state.loaded),
    )
    patience_ends = min(leave.by, state.idle_since + PATIENCE * (there + back))
    return Swap(leave.model) if now >= patience_ends else Wait(patience_ends)


@dataclass(frozen=True, slots=True)
class _Leave:
    """The other model that is needed first, and when the card must be free for its swap."""

    model: str
    by: float
    starts_by: float
    """The first bound among its tasks."""
    is_late: bool
    """Whether none of the tasks of other models can start in time any more."""
    has_late: bool
    """Whether one of them cannot."""


def _serve_first(state: LaneState, own: Sequence[Waiting]) -> Move:
    if own and len(state.ends_by) < state.in_flight_max:
        return Serve(own[0].task_id)
    return Wait()


def _serve_or_leave(state: LaneState, own: Sequence[Waiting], leave: _Leave, now: float) -> Move:
    """Whether a task of the loaded model may start although another model is needed (rule 2)."""
    free_at = max(state.ends_by, default=now)
    if len(state.ends_by) < state.in_flight_max:
        if _stays(state, own[0], leave, now):
            return Serve(own[0].task_id)
        # Beside a generation that runs on anyway, a shorter one delays nobody.
        ending = (each for each in own if now + each.run_seconds <= max(free_at, leave.by))
        if (short := next(ending, None)) is not None:
            return Serve(short.task_id)
    return Wait() if state.ends_by else Swap(leave.model)


def _stays(state: LaneState, first: Waiting, leave: _Leave, now: float) -> bool:
    assert state.loaded is not None
    if leave.is_late or any(each.starts_by < now for each in state.waiting):
        there = state.swap_seconds(state.loaded, leave.model)
        back = state.swap_seconds(leave.model, state.loaded)
        if now < state.loaded_at + WORTH_OF_A_LOAD * (there + back):
            return True
    if leave.is_late:
        return False
    # Who must start sooner than the other's first goes before it, unless it is late anyway.
    return now + first.run_seconds <= leave.by or now <= first.starts_by <= leave.starts_by


def _next_model(state: LaneState, now: float) -> _Leave | None:
    """The model to go to, and the latest moment to go: each model in turn delays those after it."""
    free_at, has_late = max([now, *state.ends_by]), False
    hurried: list[tuple[float, str, list[Waiting]]] = []
    late: list[tuple[float, str]] = []
    for model, tasks in _by_model(state.waiting).items():
        if model == state.loaded:
            continue
        soonest = free_at + state.swap_seconds(state.loaded, model)
        enter_by = _enter_by(tasks, state.in_flight_max, soonest)
        has_late |= tasks[0].starts_by < soonest - _ROUNDING
        if enter_by is None:
            late.append((tasks[0].starts_by, model))
        else:
            hurried.append((enter_by, model, tasks))
    if not hurried:
        starts_by, model = min(late, default=(0.0, ""))
        return _Leave(model, now, starts_by, is_late=True, has_late=True) if model else None
    hurried.sort(key=itemgetter(0))
    at, travelled, latest = state.loaded, 0.0, float("inf")
    before: list[Waiting] = []
    for enter_by, model, tasks in hurried:
        there = state.swap_seconds(at, model)
        if at is not None and before:
            # Of the model before, all runs first that cannot wait for the way there and back.
            back_at = tasks[0].starts_by + tasks[0].run_seconds + state.swap_seconds(model, at)
            first = [each for each in before if each.starts_by <= back_at + there]
            travelled += _span(first, state.in_flight_max)
        travelled += there
        latest = min(latest, enter_by - travelled)
        at, before = model, tasks
    _, model, tasks = hurried[0]
    return _Leave(model, latest, tasks[0].starts_by, is_late=False, has_late=has_late)


def _by_model(waiting: Iterable[Waiting]) -> dict[str, list[Waiting]]:
    found: dict[str, list[Waiting]] = {}
    for each in sorted(waiting, key=_by_bound):
        found.setdefault(each.model, []).append(each)
    return found


def _span(tasks: Sequence[Waiting], in_flight_max: int) -> float:
    """How long they take in all, so many together."""
    slots = [0.0] * in_flight_max
    for task in tasks:
        heapq.heapreplace(slots, slots[0] + task.run_seconds)
    return max(slots)


def _enter_by(tasks: Sequence[Waiting], in_flight_max: int, soonest: float) -> float | None:
    """When their model must be loaded for them to start in time, served by their bounds.

    Those that would be late even if it were loaded ``soonest`` hurry nobody; None where all are.
    """
    slots = [0.0] * min(in_flight_max, len(tasks))
    latest: float | None = None
    for task in tasks:
        begins = heapq.heappop(slots)
        enter_by = task.starts_by - begins
        if enter_by >= soonest - _ROUNDING:
            latest = enter_by if latest is None else min(latest, enter_by)
        heapq.heappush(slots, begins + task.run_seconds)
    return latest
