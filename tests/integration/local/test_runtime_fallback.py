"""llama.cpp stands in for vLLM: real llama.cpp servers, and a program with vLLM's endpoints."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pointwork.local.fallback import FallbackRuntime, RuntimeChange
from pointwork.local.lease import DeviceBusyError, DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.runtime import LocalModelUnavailableError
from tests.fakes.vllm_server import Behaviour, Card
from tests.integration.local.conftest import VLLM_KEY, MakeRuntime, MakeVllm
from tests.integration.local.vllm_calls import PATIENCE_SECONDS, answer, pid_of

RETRY_SECONDS = 300.0


@dataclass
class Pair:
    """A runtime with its fallback, a clock that is put forward by hand, and what was recorded."""

    card: Card
    runtime: FallbackRuntime
    llama: LlamaCppRuntime
    seconds: list[float]
    changes: list[RuntimeChange] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.seconds[0] += seconds

    def told(self) -> list[tuple[str, str, str]]:
        return [(each.model, each.from_runtime, each.to_runtime) for each in self.changes]

    def in_memory(self) -> list[str]:
        """Every model that some server has in memory, whosever it is."""
        loaded = self.llama.loaded()
        return [*self.card.in_memory(), *([loaded] if loaded else [])]


MakePair = Callable[..., Pair]


@pytest.fixture
def make_pair(
    make_vllm: MakeVllm, make_runtime: MakeRuntime, smollm2: Path, card: Card, tmp_path: Path
) -> MakePair:
    """Both runtimes on one lease; llama.cpp has weights of ``big`` and ``other`` alone."""

    def make(
        record: Callable[[RuntimeChange], Awaitable[None]] | None = None, **vllm: object
    ) -> Pair:
        lease = DeviceLease(tmp_path / "gpu.lease", wait_seconds=0)
        llama = make_runtime(
            {"big": LlamaModel(path=smollm2, context_tokens=512)}, lease=lease, api_key=VLLM_KEY
        )
        seconds, changes = [0.0], list[RuntimeChange]()

        async def keep(change: RuntimeChange) -> None:
            changes.append(change)

        runtime = FallbackRuntime(
            make_vllm(lease=lease, **vllm),
            llama,
            llama.installed_models(),
            record or keep,
            retry_after_seconds=RETRY_SECONDS,
            now=lambda: seconds[0],
        )
        return Pair(card, runtime, llama, seconds, changes)

    return make


BROKEN = Behaviour(ends=3)
TO_LLAMA, TO_VLLM = ("big", "vllm", "llama_cpp"), ("big", "llama_cpp", "vllm")


async def test_while_vllm_serves_nothing_else_runs_and_nothing_is_told(make_pair: MakePair) -> None:
    pair = make_pair()
    assert await answer(pair.runtime, "big") == "It is so."
    assert pair.runtime.kind == "vllm"
    assert pair.in_memory() == ["big"]
    assert pair.changes == []


@pytest.mark.req("CX-84")
async def test_every_load_by_the_fallback_is_told_with_from_to_and_cause(
    make_pair: MakePair, card: Card
) -> None:
    card.misbehave("big", BROKEN)
    pair = make_pair()
    assert await answer(pair.runtime, "big") != ""
    assert pair.runtime.kind == "llama_cpp"
    assert pair.runtime.loaded() == "big"
    assert pair.told() == [TO_LLAMA]
    assert pair.changes[0].is_fallback
    assert "the vLLM server of big ended with status 3" in pair.changes[0].cause
    assert pair.in_memory() == ["big"]

    pid = pair.llama.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while pair.llama.loaded():
            await asyncio.sleep(0.01)
    await answer(pair.runtime, "big")
    assert pair.told() == [TO_LLAMA, TO_LLAMA]


async def test_a_vllm_server_that_dies_later_is_replaced_too(
    make_pair: MakePair, card: Card
) -> None:
    pair = make_pair()
    await pair.runtime.ensure_loaded("big")
    card.misbehave("big", BROKEN)
    os.kill(pid_of(card, "big"), signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while pair.runtime.loaded():
            await asyncio.sleep(0.01)
    assert await answer(pair.runtime, "big") not in {"", "It is so."}
    assert pair.told() == [TO_LLAMA]


async def test_the_fallback_serves_until_its_time_is_over_and_then_gives_way_once(
    make_pair: MakePair, card: Card
) -> None:
    card.misbehave("big", BROKEN)
    pair = make_pair()
    await pair.runtime.ensure_loaded("big")
    card.misbehave("big", Behaviour())
    pair.wait(RETRY_SECONDS - 1)
    assert pair.runtime.loaded() == "big"
    await pair.runtime.ensure_loaded("big")
    assert card.events("big") == ["started"]

    pair.wait(1)
    assert pair.runtime.loaded() is None
    assert await answer(pair.runtime, "big") == "It is so."
    assert (pair.runtime.kind, pair.runtime.loaded()) == ("vllm", "big")
    assert pair.told() == [TO_LLAMA, TO_VLLM]
    assert pair.in_memory() == ["big"]
    assert pair.llama.pid is None


async def test_each_failure_in_a_row_is_told_and_doubles_the_time_to_the_next_try(
    make_pair: MakePair, card: Card
) -> None:
    card.misbehave("big", BROKEN)
    pair = make_pair()
    await pair.runtime.ensure_loaded("big")
    pair.wait(RETRY_SECONDS)
    await pair.runtime.ensure_loaded("big")
    assert pair.told() == [TO_LLAMA, TO_LLAMA]
    pair.wait(RETRY_SECONDS)
    assert pair.runtime.loaded() == "big"
    pair.wait(RETRY_SECONDS)
    assert pair.runtime.loaded() is None


async def test_a_primary_that_is_not_there_does_not_interrupt_the_fallback(
    make_pair: MakePair,
) -> None:
    pair = make_pair(command=("no-such-vllm", "serve"))
    await pair.runtime.ensure_loaded("big")
    pid = pair.llama.pid
    pair.wait(RETRY_SECONDS)
    await pair.runtime.ensure_loaded("big")
    assert pair.llama.pid == pid
    assert pair.told() == [TO_LLAMA]
    assert "install vLLM" in pair.changes[0].cause


async def test_a_model_whose_server_still_answers_is_served_by_it_at_the_next_swap(
    make_pair: MakePair, card: Card
) -> None:
    pair = make_pair()
    await pair.runtime.ensure_loaded("small")
    card.misbehave("big", BROKEN)
    await pair.runtime.ensure_loaded("big")
    assert await answer(pair.runtime, "small") == "It is so."
    assert pair.in_memory() == ["small"]
    assert pair.told() == [TO_LLAMA]
    await pair.runtime.ensure_loaded("big")
    assert pair.told() == [TO_LLAMA, TO_LLAMA]
    assert card.events("big") == ["started", "started"]


async def test_a_model_that_the_fallback_has_no_weights_of_is_served_by_vllm_or_by_nobody(
    make_pair: MakePair, card: Card
) -> None:
    card.misbehave("small", BROKEN)
    pair = make_pair()
    with pytest.raises(LocalModelUnavailableError, match="server of small ended with status 3"):
        await pair.runtime.ensure_loaded("small")
    assert pair.changes == []
    assert pair.in_memory() == []


async def test_two_models_are_never_in_memory_while_runtimes_change(
    make_pair: MakePair, card: Card
) -> None:
    pair = make_pair()
    await pair.runtime.ensure_loaded("small")
    card.misbehave("big", BROKEN)
    for model in ("big", "small", "big", "small"):
        await pair.runtime.ensure_loaded(model)
        assert pair.in_memory() == [model]


async def test_a_primary_that_keeps_the_card_keeps_the_fallback_out(
    make_pair: MakePair, make_vllm: MakeVllm, card: Card
) -> None:
    other = make_vllm(lease=DeviceLease(card.folder / "other"), sleep_level=None)
    await other.ensure_loaded("small")
    line = card.last("started", "small")["arguments"]
    url = f"http://127.0.0.1:{line[line.index('--port') + 1]}/v1"
    card.misbehave("big", BROKEN)
    pair = make_pair(attached={"small": url}, sleep_level=None)
    with pytest.raises(LocalModelUnavailableError, match="the card is not free"):
        await pair.runtime.ensure_loaded("big")
    assert pair.in_memory() == ["small"]
    assert pair.changes == []


async def test_nobody_is_served_by_the_fallback_before_it_is_on_record(
    make_pair: MakePair, card: Card
) -> None:
    card.misbehave("big", BROKEN)
    ledger_is_full = True
    written: list[RuntimeChange] = []

    async def record(change: RuntimeChange) -> None:
        if ledger_is_full:
            raise OSError("no space left")
        written.append(change)

    pair = make_pair(record)
    for _ in range(2):
        with pytest.raises(OSError, match="no space left"):
            await pair.runtime.ensure_loaded("big")
        assert pair.runtime.loaded() is None
    ledger_is_full = False
    await pair.runtime.ensure_loaded("big")
    assert pair.runtime.loaded() == "big"
    assert len(written) == 1


async def test_a_device_that_another_process_holds_is_no_reason_to_fall_back(
    make_pair: MakePair, tmp_path: Path
) -> None:
    pair = make_pair()
    async with DeviceLease(tmp_path / "gpu.lease", wait_seconds=0):
        with pytest.raises(DeviceBusyError):
            await pair.runtime.ensure_loaded("big")
    assert pair.changes == []


async def test_unload_and_close_leave_neither_runtime_with_a_model(
    make_pair: MakePair, card: Card
) -> None:
    pair = make_pair()
    await pair.runtime.ensure_loaded("small")
    await pair.runtime.unload()
    assert pair.in_memory() == []
    card.misbehave("big", BROKEN)
    await pair.runtime.ensure_loaded("big")
    assert await pair.runtime.health()
    await pair.runtime.aclose()
    assert pair.in_memory() == []
    assert not psutil.pid_exists(pid_of(card, "small"))
    async with DeviceLease(Path(str(card.folder)).parent / "gpu.lease", wait_seconds=0):
        pass
