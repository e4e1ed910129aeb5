"""Which model the card serves next, over generated traffic in simulated time."""

import random
from collections.abc import Sequence

import pytest

from bench.lane_simulation import Arrival, Card, collating, first_come, simulate
from pointwork.local.arbiter import LaneState, Serve, Swap, Wait, Waiting, next_move
from tests.scale import Scale

TRACES, TRACES_ALWAYS = 100_000, 1_500


def state(loaded: str | None, *waiting: Waiting, **more: object) -> LaneState:
    values = {
        "loaded": loaded,
        "in_flight_max": 1,
        "ends_by": (),
        "waiting": waiting,
        "swap_seconds": lambda _before, _after: 2.0,
        **more,
    }
    return LaneState(**values)  # type: ignore[arg-type]


def task(model: str, starts_by: float, run_seconds: float = 1.0) -> Waiting:
    return Waiting(f"{model} by {starts_by:g}", model, starts_by, run_seconds)


def card_of(rng: random.Random, models: Sequence[str]) -> Card:
    swaps = {(before, after): rng.uniform(0.1, 5) for before in (None, *models) for after in models}
    return Card(
        in_flight_max=rng.choice([1, 1, 2, 4]),
        swap_seconds=lambda before, after: swaps[before, after],
        estimate=rng.choice([1.0, 1.3, 2.0]),
    )


def traffic_within_reach(seed: int) -> tuple[list[Arrival], Card]:
    """Traffic of which the card can serve, within a third of the shortest bound, all that arrives
    in such a time with a swap to every model."""
    rng = random.Random(seed)
    models = "ABCD"[: rng.randint(2, 4)]
    card = card_of(rng, models)
    swap = max(card.swap_seconds(before, after) for before in models for after in models)
    run_max = rng.uniform(0.2, 4)
    work = rng.uniform(1, 6) * run_max * card.estimate
    period = len(models) * swap + work
    shortest = 3 * period + swap + run_max * card.estimate
    bounds = {
        "interactive": shortest,
        "standard": shortest * rng.uniform(1, 5),
        "bulk": shortest * rng.uniform(5, 30),
    }
    trace: list[Arrival] = []
    for number in range(rng.randint(1, 6)):
        left = work * rng.choice([0.3, 0.7, 1.0])
        while (run := rng.uniform(0.05, run_max)) * card.estimate <= left:
            left -= run * card.estimate
            priority = rng.choice(list(bounds))
            at = number * period + rng.choice([0.0, rng.uniform(0, period)])
            trace.append(
                Arrival(f"{len(trace)}", rng.choice(models), at, priority, bounds[priority], run)
            )
    return trace, card


def any_traffic(seed: int) -> tuple[list[Arrival], Card]:
    """Bursts, floods and silences, mostly more than the card can serve in time."""
    rng = random.Random(seed)
    models = "ABCD"[: rng.randint(1, 4)]
    card = card_of(rng, models)
    trace: list[Arrival] = []
    at, gap = 0.0, rng.choice([0.05, 0.5, 2.0])
    for number in range(rng.randint(1, 40)):
        at += rng.choice([0.0, rng.expovariate(1 / gap)])
        model = models[number % len(models)] if seed % 2 else rng.choice(models)
        bound = rng.choice([1.0, 10.0, 100.0])
        trace.append(Arrival(str(number), model, at, "any", bound, rng.uniform(0.05, 3)))
    return trace, card


@pytest.mark.req("DC-21")
def test_no_task_starts_past_its_bound_where_the_card_can_serve_what_comes(scale: Scale) -> None:
    served = 0
    for seed in range(scale.of(TRACES, TRACES_ALWAYS)):
        trace, card = traffic_within_reach(seed)
        outcome = simulate(trace, card)
        assert outcome.past_bound(trace) == 0, f"seed {seed}"
        served += len(outcome.ends)
    assert served > TRACES_ALWAYS


@pytest.mark.req("CX-8")
@pytest.mark.req("CX-9")
def test_whatever_comes_is_served_once_by_its_own_model_and_the_card_never_idles_beside_its_work(
    scale: Scale,
) -> None:
    """``simulate`` refuses a move that breaks it: a swap beside a running generation, a task served
    by another model, an idle card with work for its model."""
    for seed in range(scale.of(TRACES, TRACES_ALWAYS)):
        trace, card = any_traffic(seed)
        outcome = simulate(trace, card)
        assert outcome.ends.keys() == {each.task_id for each in trace}, f"seed {seed}"
        assert card.waiting == {}


def flood(seconds: float, model: str = "A", bound_seconds: float = 5.0) -> list[Arrival]:
    """Twice what one slot serves."""
    return [
        Arrival(f"{model}{number}", model, number * 0.5, "interactive", bound_seconds, 1.0)
        for number in range(int(seconds * 2))
    ]


@pytest.mark.req("DC-21")
def test_a_flood_for_one_model_starves_nobody_of_another() -> None:
    bulk = Arrival("bulk", "B", 0.0, "bulk", 60.0, 1.0)
    trace = [*flood(300), bulk]
    ours = simulate(trace, Card(1, lambda _before, _after: 2.0))
    assert ours.starts["bulk"] <= 60.0
    # The rule that collates without a bound serves it when the flood is over.
    assert simulate(trace, Card(1, lambda _before, _after: 2.0), collating).starts["bulk"] > 300


def alternating(count: int, gap_seconds: float, bound_seconds: float) -> list[Arrival]:
    return [
        Arrival(str(number), "AB"[number % 2], number * gap_seconds, "any", bound_seconds, 0.5)
        for number in range(count)
    ]


def test_models_that_take_turns_are_served_in_batches() -> None:
    trace = alternating(200, 0.7, 10.0)
    ours = simulate(trace, Card(1, lambda _before, _after: 1.5))
    in_order = simulate(trace, Card(1, lambda _before, _after: 1.5), first_come)
    assert ours.past_bound(trace) == 0
    assert ours.swaps <= in_order.swaps / 5
    assert ours.makespan <= in_order.makespan / 2


def test_overload_ends_in_batches_and_not_in_a_swap_for_every_task() -> None:
    """No bound can be kept here, and a rule that chased the oldest would swap for each."""
    trace = alternating(400, 0.1, 1.0)
    ours = simulate(trace, Card(1, lambda _before, _after: 1.5))
    assert ours.swap_seconds <= 0.35 * ours.makespan


def test_an_idle_card_keeps_its_model_for_twice_what_leaving_and_coming_back_would_cost() -> None:
    other = task("B", starts_by=100.0)
    assert next_move(state("A", other), 7.9) == Wait(8.0)
    assert next_move(state("A", other), 8.0) == Swap("B")
    assert next_move(state("A", task("B", starts_by=5.0)), 3.0) == Swap("B")


def test_a_card_without_a_model_loads_the_one_that_is_wanted_first() -> None:
    assert next_move(state(None, task("A", 50.0), task("B", 40.0)), 0.0) == Swap("B")
    assert next_move(state(None), 0.0) == Wait()


def test_of_one_models_tasks_the_one_whose_bound_comes_first_is_served_first() -> None:
    waiting = task("A", 900.0), task("A", 15.0), task("A", 90.0)
    assert next_move(state("A", *waiting), 0.0) == Serve("A by 15")


def test_nothing_is_begun_that_would_still_run_when_another_model_is_due() -> None:
    due = task("B", starts_by=10.0)
    long, short = task("A", 900.0, run_seconds=20.0), task("A", 901.0, run_seconds=1.0)
    assert next_move(state("A", due, long), 0.0) == Swap("B")
    assert next_move(state("A", due, long, short), 0.0) == Serve("A by 901")
    # Beside a generation that runs on anyway, a shorter one delays nobody.
    beside = state("A", due, long, short, in_flight_max=2, ends_by=(8.0,))
    assert next_move(beside, 5.0) == Serve("A by 901")


def test_a_queue_for_another_model_is_gone_to_in_time_for_its_last() -> None:
    queue = [task("B", 20.0, run_seconds=4.0) for _ in range(4)]
    own = task("A", 900.0, run_seconds=1.0)
    assert next_move(state("A", own, *queue), 5.0) == Serve("A by 900")
    assert next_move(state("A", own, *queue), 5.5) == Swap("B")
    # The last is late by now, and the three before it still hurry.
    assert next_move(state("A", own, *queue), 6.5) == Serve("A by 900")
    assert next_move(state("A", own, *queue), 9.5) == Swap("B")
