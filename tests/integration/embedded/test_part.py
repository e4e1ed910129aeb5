"""One supervised process, with the real operating system and small programs."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pointwork.embedded.part import EmbeddedEvent, Part, PartFailedError, PartSpec, PartState
from tests.integration.embedded.processes import is_running, until

IGNORES_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('up', flush=True); time.sleep(600)"
)


class Bench:
    """Makes one part and notes its events; the part is ready when its log says ``up``."""

    def __init__(self, directory: Path, lock: Path) -> None:
        self.log = directory / "part.log"
        self.events: list[EmbeddedEvent] = []
        self.parts: list[Part] = []
        self._directory = directory
        self._lock = lock.open("wb")

    def part(
        self, program: str, *, ready_timeout_seconds: float = 60, start_attempts: int = 1
    ) -> Part:
        async def is_ready(_pid: int) -> bool:
            return "up" in self.log.read_text()

        spec = PartSpec(
            name="part",
            command=(sys.executable, "-c", program),
            cwd=self._directory,
            log=self.log,
            is_ready=is_ready,
            ready_timeout_seconds=ready_timeout_seconds,
            stop_grace_seconds=0.2,
            start_attempts=start_attempts,
        )
        self.parts.append(Part(spec, self._lock.fileno(), self.events.append))
        return self.parts[-1]

    async def close(self) -> None:
        for part in self.parts:
            await part.stop()
        self._lock.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, tmp_path / "lock")
    yield bench
    await bench.close()


async def test_a_part_that_will_not_stop_is_killed(bench: Bench) -> None:
    part = bench.part(IGNORES_TERM)
    await part.start()
    pid = part.pid
    assert pid is not None
    await part.stop()
    assert not is_running(pid)
    assert bench.events[-1].state is PartState.STOPPED


async def test_a_part_that_is_never_ready_is_ended_and_named(bench: Bench) -> None:
    part = bench.part("import time; time.sleep(600)", ready_timeout_seconds=0.2)
    with pytest.raises(PartFailedError, match=r"part was not ready after 0\.2 s"):
        await part.start()
    assert part.pid is None


async def test_the_failure_of_a_part_quotes_the_last_lines_of_this_start_only(
    bench: Bench,
) -> None:
    bench.log.write_text("an older run\n")
    part = bench.part("import sys; sys.exit('\\n'.join(f'line {n}' for n in range(90)))")
    with pytest.raises(PartFailedError) as failure:
        await part.start()
    assert failure.value.log_tail.splitlines() == [f"line {number}" for number in range(70, 90)]


async def test_the_failure_of_a_go_program_quotes_its_panic_above_the_stack(bench: Bench) -> None:
    lines = ["before", "panic: no free port", *(f"\tframe {number}" for number in range(40))]
    part = bench.part(f"import sys; sys.exit({chr(10).join(lines)!r})")
    with pytest.raises(PartFailedError) as failure:
        await part.start()
    assert failure.value.log_tail.splitlines() == lines[1:21]


ENDS_TWICE = (
    "import pathlib, sys, time\n"
    "starts = pathlib.Path('starts')\n"
    "starts.open('a').write('.')\n"
    "sys.exit('no port') if starts.stat().st_size < 3 else print('up', flush=True)\n"
    "time.sleep(600)"
)


async def test_a_start_is_tried_again_as_often_as_its_part_allows(bench: Bench) -> None:
    await bench.part(ENDS_TWICE, start_attempts=3).start()
    assert [event.state for event in bench.events] == [
        *(PartState.STARTING, PartState.DIED) * 2,
        *(PartState.STARTING, PartState.READY),
    ]
    assert "no port" in bench.events[1].detail


async def test_the_last_attempt_at_a_start_fails_with_what_the_program_said(bench: Bench) -> None:
    with pytest.raises(PartFailedError, match="no port"):
        await bench.part(ENDS_TWICE, start_attempts=2).start()


async def test_a_program_that_cannot_be_started_is_named(tmp_path: Path, bench: Bench) -> None:
    bench.log.mkdir()
    with pytest.raises(PartFailedError, match=r"part could not be started \(Is a directory\)"):
        await bench.part(IGNORES_TERM).start()


async def test_a_part_that_keeps_ending_is_started_again_and_again(bench: Bench) -> None:
    part = bench.part("print('up', flush=True)")
    await part.start()
    watch = asyncio.create_task(part.watch())
    await until(lambda: sum(e.state is PartState.DIED for e in bench.events) >= 2)
    watch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watch
    assert [e.state for e in bench.events[:3]] == [
        PartState.STARTING,
        PartState.READY,
        PartState.DIED,
    ]


async def test_a_log_that_grew_large_is_set_aside_at_the_next_start(bench: Bench) -> None:
    with bench.log.open("wb") as log:
        log.truncate(20_000_001)
    await bench.part(IGNORES_TERM).start()
    assert bench.log.stat().st_size < 100
    assert bench.log.with_suffix(".log.1").stat().st_size == 20_000_001
