"""A card with an RTX 5090's published figures, simulated: what a queue costs as the load grows."""

import random
import statistics
from collections.abc import Sequence

from bench.lane_simulation import Arrival, Card, Choose, by_arbiter, collating, first_come, simulate
from pointwork.policy.documents.host import WaitBounds

MODELS = ("qwen3-coder-30b-a3b", "ministral-3-14b")
WAKE_SECONDS = {MODELS[0]: 5.0, MODELS[1]: 3.0}
"""vLLM's sleep level 1, whose blog of 2025-10-26 has 3 to 6 s for large models."""
TOKENS_PER_SECOND = {MODELS[0]: 150.0, MODELS[1]: 80.0}
"""One sequence of a mixture with 3 thousand million active weights, and of a dense 14B in 8 bits:
what the card's 1.79 TB/s of memory bandwidth allow, at some 40 % of it."""
IN_FLIGHT = 8
SLOWER_TOGETHER = 2.0
"""A sequence among eight takes about twice its time alone; the batch is four times as fast."""
OUTPUT_TOKENS_MEAN, OUTPUT_TOKENS_MAX = 300, 2000
BOUNDS = WaitBounds()
PRIORITIES = {"interactive": 1, "standard": 3, "bulk": 5}
SHARES = (0.2, 0.5, 0.3)
LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
RULES: tuple[tuple[str, Choose, int], ...] = (
    ("FIFO, one consumer", first_come, 1),
    ("llama-swap's", collating, IN_FLIGHT),
    ("our lane", by_arbiter, IN_FLIGHT),
)


def swap_seconds(_before: str | None, after: str) -> float:
    return WAKE_SECONDS[after]


def trace_of(load: float, count: int, in_flight: int) -> list[Arrival]:
    """Poisson arrivals whose generations alone take ``load`` of what the card can do at
    ``in_flight`` sequences; swaps come on top."""
    rng = random.Random(5090)
    runs = [_run(rng, in_flight) for _ in range(count)]
    gap = statistics.fmean(seconds for _, seconds in runs) / in_flight / load
    at, trace = 0.0, []
    for number, (model, seconds) in enumerate(runs):
        at += rng.expovariate(1 / gap)
        (priority,) = rng.choices(list(PRIORITIES), SHARES)
        bound = BOUNDS.of(PRIORITIES[priority])
        trace.append(Arrival(str(number), model, at, priority, bound, seconds))
    return trace


def _run(rng: random.Random, in_flight: int) -> tuple[str, float]:
    model = rng.choice(MODELS)
    tokens = min(OUTPUT_TOKENS_MAX, 1 + rng.expovariate(1 / OUTPUT_TOKENS_MEAN))
    slower = SLOWER_TOGETHER if in_flight > 1 else 1.0
    return model, tokens / TOKENS_PER_SECOND[model] * slower


def simulated_5090(count: int) -> None:
    """Print a table: ``count`` tasks in all, shared by the loads."""
    each = count // len(LOADS)
    print(f"\nRTX 5090, simulated: {each} tasks at each load, bounds 15, 90 and 900 s")
    print(
        "  load  rule                  swaps/1000  share of time  past bound  p95 s: inter.   bulk"
    )
    for load in LOADS:
        for name, rule, in_flight in RULES:
            # Every rule meets the same arrivals; a serial consumer runs each faster, but alone.
            trace = trace_of(load, each if in_flight > 1 else min(each, 2000), IN_FLIGHT)
            if in_flight == 1:
                trace = [_alone(arrival) for arrival in trace]
            outcome = simulate(trace, Card(in_flight, swap_seconds, 1.3), rule)
            share = outcome.swap_seconds / outcome.makespan
            late = outcome.past_bound(trace) / len(trace)
            print(
                f"  {load:4.2f}  {name:<20} {1000 * outcome.swaps / len(trace):11.1f} {share:14.1%}"
                f" {late:11.2%} {_p95(outcome.waits(trace, 'interactive')):14.1f}"
                f" {_p95(outcome.waits(trace, 'bulk')):6.0f}"
            )


def _alone(arrival: Arrival) -> Arrival:
    return Arrival(
        arrival.task_id,
        arrival.model,
        arrival.at,
        arrival.priority,
        arrival.bound_seconds,
        arrival.run_seconds / SLOWER_TOGETHER,
    )


def _p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20, method="inclusive")[18]
