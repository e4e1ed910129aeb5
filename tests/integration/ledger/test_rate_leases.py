"""A rate that holds over every replica of the gateway, counted in the ledger (case 80)."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pointwork.gateway.limits import CallLimits, Limits
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.shared_rate import SharedRate
from pointwork.ledger.rate_leases import RateLeases
from tests.integration.ledger.conftest import Ledger
from tests.scale import Scale

RACER = "tests.integration.ledger.rate_racer"
REPLICAS, ROUNDS = 4, 20
SECOND = 1_800_000_000


@contextmanager
def replicas(
    url: str, repository: Path, limit: int, count: int
) -> Iterator[list[subprocess.Popen[str]]]:
    started = [
        subprocess.Popen(
            [sys.executable, "-m", RACER, url, str(limit), str(count)],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(REPLICAS)
    ]
    try:
        yield started
    finally:
        for replica in started:
            replica.communicate(timeout=60)


def run_round(started: list[subprocess.Popen[str]], second: int) -> tuple[int, int]:
    """How many requests all let in together, and how often all asked the ledger."""
    for replica in started:
        assert replica.stdin is not None
        replica.stdin.write(f"{second}\n")
        replica.stdin.flush()
    told = []
    for replica in started:
        assert replica.stdout is not None
        told.append(json.loads(replica.stdout.readline()))
    return sum(each[0] for each in told), sum(each[1] for each in told)


LEASES = {101: 21, 1: 1, 19: 19, 50: 25, 1000: 20}
"""By limit: how many leases give all of it out. The first is always tried, all with --whole."""


def test_four_processes_let_in_exactly_the_limit_of_every_second(
    ledger: Ledger, repository: Path, scale: Scale
) -> None:
    """Each alone is asked for more than all may let in; in 20 rounds of 20."""
    for limit in [*LEASES][: scale.of(len(LEASES), 1)]:
        ledger.rows("DELETE FROM rate_lease")
        let_in_exactly(ledger, repository, limit, LEASES[limit])


def let_in_exactly(ledger: Ledger, repository: Path, limit: int, leases: int) -> None:
    with replicas(ledger.url, repository, limit, limit + 10) as started:
        for number in range(ROUNDS):
            admitted, asked = run_round(started, SECOND + number)
            assert admitted == limit
            # Beside the leases, each replica is told once that nothing is left.
            assert asked <= leases + REPLICAS
    rows = ledger.rows("SELECT second, granted FROM rate_lease ORDER BY second")
    assert [row["second"] for row in rows] == [SECOND + number for number in range(ROUNDS)]


def test_below_the_limit_every_request_of_every_process_is_let_in(
    ledger: Ledger, repository: Path
) -> None:
    with replicas(ledger.url, repository, 200, 40) as started:
        for number in range(ROUNDS):
            admitted, asked = run_round(started, SECOND + number)
            assert (admitted, asked) == (REPLICAS * 40, REPLICAS * 4)


def test_replicas_with_limits_of_their_own_pass_neither(ledger: Ledger) -> None:
    """As while a changed setting goes round."""
    leases = RateLeases(ledger.engine)
    given = [leases.lease("ada", SECOND, 3, 10) for _ in range(5)]
    assert given == [3, 3, 3, 1, 0]
    assert leases.lease("ada", SECOND, 5, 20) == 5
    assert leases.lease("bob", SECOND, 3, 10) == 3
    assert leases.lease("ada", SECOND + 1, 3, 2) == 2


async def test_what_is_refused_says_for_how_long_and_the_next_second_is_open(
    ledger: Ledger,
) -> None:
    now = [float(SECOND)]
    shared = SharedRate(RateLeases(ledger.engine), 2, lambda: now[0])
    calls = CallLimits(Limits(), shared=shared)

    async def ask(holder: str) -> None:
        async with calls.one(holder):
            pass

    await ask("ada")
    await ask("ada")
    with pytest.raises(ProblemError, match="more than 2 requests a second to all") as refused:
        await ask("ada")
    assert (refused.value.status, refused.value.headers["retry-after"]) == (429, "1")
    await ask("bob")
    now[0] += 1
    await ask("ada")


async def test_a_ledger_that_does_not_answer_lets_nothing_in(ledger: Ledger) -> None:
    shared = SharedRate(RateLeases(ledger.engine), 5, lambda: float(SECOND))
    ledger.rows("ALTER TABLE rate_lease RENAME TO elsewhere")
    with pytest.raises(ProblemError, match="the ledger does not answer") as refused:
        await shared.take("ada")
    assert (refused.value.status, refused.value.headers["retry-after"]) == (503, "1")
    ledger.rows("ALTER TABLE elsewhere RENAME TO rate_lease")
    await shared.take("ada")


def test_leases_of_seconds_that_are_over_are_dropped(ledger: Ledger) -> None:
    leases = RateLeases(ledger.engine)
    for second in (SECOND, SECOND + 59, SECOND + 60):
        leases.lease("ada", second, 1, 10)
    assert leases.forget(datetime.fromtimestamp(SECOND + 120, UTC)) == 2
    rows = ledger.rows("SELECT second FROM rate_lease")
    assert [row["second"] for row in rows] == [SECOND + 60]
