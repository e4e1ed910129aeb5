"""What outlasts a card's bad days: the retries of a model, and the log of its server."""

import asyncio
from pathlib import Path

import pytest

from pointwork.local.child_log import LogPump
from pointwork.local.fallback import FallbackRuntime, RuntimeChange
from tests.fakes.local_runtime import FakeRuntime


class _Primary(FakeRuntime):
    """Never offers itself."""

    async def is_available(self, model: str) -> bool:
        return False

    async def is_up(self, model: str) -> bool:
        return False


async def test_a_model_that_failed_for_months_is_still_served_by_the_fallback() -> None:
    """Every retry doubles the wait for the next, up to its most."""
    hours, told = [0.0], list[RuntimeChange]()

    async def record(change: RuntimeChange) -> None:
        told.append(change)

    runtime = FallbackRuntime(
        _Primary(broken={"big"}, kind="vllm"),
        FakeRuntime(),
        {"big"},
        record,
        retry_after_seconds=60.0,
        now=lambda: hours[0] * 3600,
    )
    for _ in range(1_100):
        await runtime.ensure_loaded("big")
        hours[0] += 2
    assert runtime.loaded() is None  # Due again: the wait did not outgrow two hours.
    assert len(told) == 1


@pytest.mark.parametrize("what", ["a folder that is a file", "a full disk"])
async def test_a_log_that_cannot_be_written_keeps_no_server_waiting(
    tmp_path: Path, what: str
) -> None:
    log = tmp_path / "logs" / "big.log"
    if what == "a full disk":
        log = Path("/dev/full")
    else:
        log.parent.write_text("in the way")
    said = asyncio.StreamReader(limit=1_000)
    pump = LogPump(said, log)
    for _ in range(3):
        said.feed_data(b"x" * 5_000)
        await asyncio.sleep(0)
    said.feed_eof()
    async with asyncio.timeout(60):
        await pump.aclose()
    assert said.at_eof()
