"""How vLLM servers are started and ended: real processes of a program with vLLM's endpoints."""

import asyncio
from pathlib import Path

import psutil
import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.local.runtime import LocalModelUnavailableError
from pointwork.providers.port import ProviderError
from tests.fakes.vllm_server import Behaviour, Card
from tests.integration.local.conftest import VLLM_KEY, MakeVllm
from tests.integration.local.vllm_calls import PATIENCE_SECONDS, adapter, answer, asks, pid_of


async def test_every_server_is_started_alone_and_the_first_is_left_awake(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm()
    await runtime.prepare()
    assert runtime.loaded() == "big"
    assert card.events() == [
        *("small started", "small loaded", "small asleep", "big started", "big loaded"),
    ]


async def test_a_model_that_cannot_be_prepared_keeps_no_other_from_it(
    make_vllm: MakeVllm, card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    card.misbehave("small", Behaviour(ends=3))
    runtime = make_vllm()
    await runtime.prepare()
    assert runtime.loaded() == "big"
    assert "the vLLM server of small ended with status 3" in caplog.text


async def test_a_server_that_serves_another_model_is_refused_and_stopped(
    make_vllm: MakeVllm, card: Card
) -> None:
    card.misbehave("big", Behaviour(serves="tiny"))
    runtime = make_vllm()
    with pytest.raises(LocalModelUnavailableError, match="serves tiny instead"):
        await runtime.ensure_loaded("big")
    assert runtime.loaded() is None
    assert not psutil.pid_exists(pid_of(card, "big"))


async def test_a_server_that_ends_at_its_start_is_refused_with_its_log(
    make_vllm: MakeVllm, card: Card, tmp_path: Path
) -> None:
    card.misbehave("big", Behaviour(ends=3))
    runtime = make_vllm()
    with pytest.raises(LocalModelUnavailableError, match="ended with status 3; its log is") as told:
        await runtime.ensure_loaded("big")
    log = tmp_path / "logs" / "vllm-big.log"
    assert str(log) in str(told.value)
    assert "vLLM API server, model maker/big-awq" in log.read_text()


async def test_a_start_that_fails_beside_sleepers_is_tried_once_more_without_them(
    make_vllm: MakeVllm, card: Card
) -> None:
    card.misbehave("small", Behaviour(needs_whole_card=True))
    runtime = make_vllm()
    await runtime.ensure_loaded("big")
    first = pid_of(card, "big")
    assert await answer(runtime, "small") == "It is so."
    assert not psutil.pid_exists(first)
    assert card.events("small") == ["started", "started", "loaded"]


async def test_a_start_that_takes_too_long_leaves_no_process(
    make_vllm: MakeVllm, card: Card
) -> None:
    card.misbehave("big", Behaviour(is_mute=True))
    runtime = make_vllm(start_timeout_seconds=0.5)
    with pytest.raises(LocalModelUnavailableError, match=r"did not answer in 0\.5 s"):
        await runtime.ensure_loaded("big")
    assert card.in_memory() == []


async def test_a_cancelled_load_leaves_no_process_and_the_next_one_works(
    make_vllm: MakeVllm, card: Card
) -> None:
    card.misbehave("big", Behaviour(is_mute=True))
    runtime = make_vllm()
    load = asyncio.create_task(runtime.ensure_loaded("big"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while card.in_memory() != ["big"]:
            await asyncio.sleep(0.01)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert not psutil.pid_exists(pid_of(card, "big"))
    assert await answer(runtime, "small") == "It is so."


async def test_a_program_that_is_not_installed_is_refused_with_the_remedy(
    make_vllm: MakeVllm,
) -> None:
    runtime = make_vllm(command=("no-such-vllm", "serve"))
    with pytest.raises(LocalModelUnavailableError, match="no program of this host; install vLLM"):
        await runtime.ensure_loaded("big")
    assert not await runtime.is_available("big")


async def test_a_model_that_the_host_does_not_have_is_refused_with_the_remedy(
    make_vllm: MakeVllm,
) -> None:
    with pytest.raises(LocalModelUnavailableError, match=r"it has: big, small\); add it to"):
        await make_vllm().ensure_loaded("other")


async def test_the_key_is_neither_on_the_command_line_nor_optional(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm()
    stranger = await adapter(runtime, "big", key="another")
    with pytest.raises(ProviderError) as failure:
        await stranger.complete(asks("Is it so?", "big"))
    await stranger.aclose()
    assert failure.value.kind is ProviderFailureKind.AUTHENTICATION_FAILED
    keeper = psutil.Process(runtime.pid)
    lines = [each.cmdline() for each in (keeper, *keeper.children(recursive=True))]
    assert len(lines) == 2
    assert not any(VLLM_KEY in argument for line in lines for argument in line)


async def test_a_server_is_given_what_it_needs_and_nothing_else(
    make_vllm: MakeVllm, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key-of-a-vendor")
    given = {"CUDA_VISIBLE_DEVICES": "0", "LC_ALL": "C.UTF-8"}
    runtime = make_vllm(environment=given, gpu_memory_utilization="0.85")
    await runtime.ensure_loaded("big")
    started = card.last("started", "big")
    assert started["environment"] == {
        **given,
        "HF_HUB_OFFLINE": "1",
        "VLLM_API_KEY": VLLM_KEY,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "1",
    }
    arguments = started["arguments"]
    port = arguments.pop(arguments.index("--port") + 1)
    assert int(port) > 1023
    assert arguments == [
        *("maker/big-awq", "--served-model-name", "big", "--host", "127.0.0.1", "--port"),
        *("--gpu-memory-utilization", "0.85", "--max-model-len", "4096", "--max-num-seqs", "1"),
        "--enable-sleep-mode",
    ]


async def test_no_word_of_a_prompt_reaches_the_log_of_a_server_that_logs_prompts(
    make_vllm: MakeVllm, tmp_path: Path
) -> None:
    runtime = make_vllm()
    provider = await adapter(runtime, "big")
    await provider.complete(asks("QXCANARYQX", "big"))
    await provider.aclose()
    await runtime.aclose()
    logged = (tmp_path / "logs" / "vllm-big.log").read_text()
    assert "vLLM API server" in logged
    assert "QXCANARYQX" not in logged


async def test_what_a_server_started_itself_ends_with_it(make_vllm: MakeVllm, card: Card) -> None:
    card.misbehave("big", Behaviour(has_engine=True))
    runtime = make_vllm()
    await runtime.ensure_loaded("big")
    engine = int(card.last("engine", "big")["pid"])
    assert psutil.pid_exists(engine)
    await runtime.aclose()
    assert not psutil.pid_exists(engine)
