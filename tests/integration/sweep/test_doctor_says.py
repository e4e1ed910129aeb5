"""``doctor`` says when the ledger was last swept, and warns where nobody does it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import Client

from pointwork.cli.checks import Verdict
from pointwork.cli.live_checks import check_sweep
from pointwork.contract.names import SWEEP_SCHEDULE
from tests.integration.ledger.conftest import Ledger, ledger, ledger_url, sqlite_template
from tests.integration.sweep.conftest import fired, started, sweeping
from workers.sweep import schedule_sweep

__all__ = ["ledger", "ledger_url", "sqlite_template"]


async def verdict(client: Client, later: timedelta = timedelta(0)) -> tuple[Verdict, str]:
    found = await check_sweep(client, datetime.now(UTC) + later)
    assert bool(found.remedy) == (found.verdict is not Verdict.OK)
    return found.verdict, found.found


async def test_a_schedule_that_is_not_there_is_worth_a_look(temporal: Client) -> None:
    await temporal.get_schedule_handle(SWEEP_SCHEDULE).delete()
    assert await verdict(temporal) == (Verdict.WARN, "nothing sweeps the ledger")
    await schedule_sweep(temporal)


async def test_a_paused_schedule_is_worth_a_look(temporal: Client) -> None:
    schedule = temporal.get_schedule_handle(SWEEP_SCHEDULE)
    async with asyncio.timeout(60):
        while not (await schedule.describe()).schedule.state.paused:
            # Asked right after the schedule was made anew, the deleted one may take the word.
            await schedule.pause()
    assert await verdict(temporal) == (Verdict.WARN, "paused; holds of dead tasks stay")


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_the_last_sweep_is_told_and_one_of_five_minutes_ago_is_worth_a_look(
    temporal: Client, ledger: Ledger
) -> None:
    schedule = temporal.get_schedule_handle(SWEEP_SCHEDULE)
    async with sweeping(temporal, ledger.engine):
        await fired(temporal, schedule)
        said, found = await verdict(temporal)
        late = await verdict(temporal, timedelta(minutes=6))
    assert said is Verdict.OK
    assert found.startswith("the last one was ")
    assert late[0] is Verdict.WARN


async def test_a_sweep_that_ended_badly_is_worth_a_look(temporal: Client) -> None:
    schedule = temporal.get_schedule_handle(SWEEP_SCHEDULE)
    await (await started(temporal, schedule)).terminate()
    said, found = await verdict(temporal)
    assert said is Verdict.WARN
    assert found.endswith("ended terminated")
