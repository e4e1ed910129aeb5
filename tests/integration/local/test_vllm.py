"""The vLLM driver over real processes and HTTP, of a program that speaks vLLM's endpoints."""

import asyncio
import os
import signal
from pathlib import Path

import httpx2
import psutil
import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.local.lease import DeviceBusyError, DeviceLease
from pointwork.local.loopback import ask
from pointwork.local.runtime import LocalModelUnavailableError
from pointwork.local.vllm_api import QueueDepth
from pointwork.providers.port import ProviderError
from tests.fakes.vllm_server import OUT_OF_MEMORY, Behaviour, Card
from tests.integration.local.conftest import MakeVllm
from tests.integration.local.vllm_calls import (
    PATIENCE_SECONDS,
    adapter,
    answer,
    asks,
    pid_of,
    url_of,
)


async def test_a_model_answers_under_its_name_and_its_tokens_are_counted(
    make_vllm: MakeVllm,
) -> None:
    runtime = make_vllm()
    provider = await adapter(runtime, "big")
    given = await provider.complete(asks("Is it so?", "big"))
    await provider.aclose()
    assert given.text == "It is so."
    assert given.served_model == "big"
    assert given.usage is not None
    assert (given.usage.input_tokens, given.usage.output_tokens) == (6, 3)
    assert runtime.loaded() == "big"
    assert await runtime.health()
    assert runtime.load_seconds["big"] > 0


async def test_an_answer_under_another_name_than_asked_for_is_refused(
    make_vllm: MakeVllm, card: Card
) -> None:
    card.misbehave("big", Behaviour(answers_as="small"))
    provider = await adapter(make_vllm(), "big")
    with pytest.raises(ProviderError) as failure:
        await provider.complete(asks("Is it so?", "big"))
    await provider.aclose()
    assert failure.value.kind is ProviderFailureKind.WRONG_MODEL


async def test_a_swap_puts_the_first_model_to_sleep_before_the_second_takes_the_card(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm()
    for model in ("big", "small", "big", "small"):
        assert await answer(runtime, model) == "It is so."
        assert card.in_memory() == [model] == [runtime.loaded()]
    assert card.events() == [
        *("big started", "big loaded", "big asleep", "small started", "small loaded"),
        *("small asleep", "big awake", "big asleep", "small awake"),
    ]


async def test_at_level_two_weights_are_read_again_before_the_cache_is_made(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm(sleep_level=2)
    await runtime.ensure_loaded("big")
    await runtime.ensure_loaded("small")
    assert await answer(runtime, "big") == "It is so."
    assert card.last("asleep", "big")["level"] == 2
    assert card.events("big")[3:] == [
        *("awake weights", "reload_weights", "awake kv_cache", "reset_prefix_cache"),
    ]


async def test_an_answer_of_the_server_that_comes_before_the_work_is_done_is_not_believed(
    make_vllm: MakeVllm, card: Card
) -> None:
    for model in ("big", "small"):
        card.misbehave(model, Behaviour(lag_asks=3))
    runtime = make_vllm()
    for model in ("big", "small", "big"):
        assert await answer(runtime, model) == "It is so."
    assert "out of memory" not in card.events("big") + card.events("small")


async def test_a_wake_that_was_lost_ends_in_a_new_server(make_vllm: MakeVllm, card: Card) -> None:
    card.misbehave("big", Behaviour(lost_wakes=1))
    runtime = make_vllm(swap_timeout_seconds=0.3)
    await runtime.ensure_loaded("big")
    first = pid_of(card, "big")
    await runtime.ensure_loaded("small")
    assert await answer(runtime, "big") == "It is so."
    assert not psutil.pid_exists(first)
    assert pid_of(card, "big") != first
    assert card.in_memory() == ["big"]


async def test_a_server_that_does_not_fall_asleep_is_stopped_before_the_next_starts(
    make_vllm: MakeVllm, card: Card
) -> None:
    card.misbehave("big", Behaviour(lost_sleeps=1))
    runtime = make_vllm(swap_timeout_seconds=0.3)
    await runtime.ensure_loaded("big")
    first = pid_of(card, "big")
    assert await answer(runtime, "small") == "It is so."
    assert not psutil.pid_exists(first)
    assert card.events("small") == ["started", "loaded"]


@pytest.mark.parametrize("reason", ["the server has no sleep mode", "the profile wants none"])
async def test_without_sleep_a_swap_stops_one_server_and_starts_the_other(
    make_vllm: MakeVllm, card: Card, reason: str
) -> None:
    level: int | None = 1
    if reason == "the server has no sleep mode":
        for model in ("big", "small"):
            card.misbehave(model, Behaviour(has_sleep_mode=False))
    else:
        level = None
    runtime = make_vllm(sleep_level=level)
    for model in ("big", "small", "big"):
        assert await answer(runtime, model) == "It is so."
    assert card.events() == [
        *("big started", "big loaded", "small started", "small loaded", "big started"),
        "big loaded",
    ]


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_swap_waits_for_what_still_runs_and_aborts_nothing(
    make_vllm: MakeVllm, card: Card, is_old: bool
) -> None:
    card.misbehave("big", Behaviour(ignores_mode=is_old))
    runtime = make_vllm()
    provider = await adapter(runtime, "big")
    has_begun = asyncio.Event()
    running = asyncio.create_task(provider.complete(asks("hold", "big"), lambda _: has_begun.set()))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await has_begun.wait()
    assert await runtime.queue_depth() == QueueDepth(running=1, waiting=0)
    swap = asyncio.create_task(runtime.ensure_loaded("small"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while runtime.loaded() is not None:
            await asyncio.sleep(0.01)
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        await client.post(f"{url_of(card, 'big')}/release")
    assert (await running).text == "It is so."
    await swap
    await provider.aclose()
    assert "aborted" not in card.events("big")
    assert await runtime.queue_depth() == QueueDepth(running=0, waiting=0)


@pytest.mark.parametrize("next_model", ["small", "big"])
async def test_a_swap_that_is_broken_off_midway_leaves_no_memory_taken_unseen(
    make_vllm: MakeVllm, card: Card, next_model: str
) -> None:
    """Between its two wakes a server has its weights in memory and says that it sleeps."""
    card.misbehave("big", Behaviour(holds_reload=True))
    runtime = make_vllm(sleep_level=2)
    await runtime.ensure_loaded("big")
    await runtime.ensure_loaded("small")
    swap = asyncio.create_task(runtime.ensure_loaded("big"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while "reload_weights" not in card.events("big"):
            await asyncio.sleep(0.01)
    swap.cancel()
    with pytest.raises(asyncio.CancelledError):
        await swap
    assert card.in_memory() == ["big"]
    await asyncio.to_thread(ask, url_of(card, "big"), "/release", method="POST")
    assert await answer(runtime, next_model) == "It is so."
    assert card.in_memory() == [next_model]


async def test_loading_the_loaded_model_again_keeps_its_server(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm()
    urls = await asyncio.gather(*(runtime.ensure_loaded("big") for _ in range(3)))
    assert len(set(urls)) == 1
    assert card.events() == ["big started", "big loaded"]


async def test_a_killed_server_is_started_anew_by_the_next_load(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm()
    await runtime.ensure_loaded("big")
    os.kill(pid_of(card, "big"), signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while runtime.loaded():
            await asyncio.sleep(0.02)
    assert not await runtime.health()
    assert await answer(runtime, "big") == "It is so."


async def test_a_sleeping_server_that_died_is_started_anew(make_vllm: MakeVllm, card: Card) -> None:
    runtime = make_vllm()
    await runtime.ensure_loaded("big")
    await runtime.ensure_loaded("small")
    os.kill(pid_of(card, "big"), signal.SIGKILL)
    assert await answer(runtime, "big") == "It is so."
    assert card.in_memory() == ["big"]


async def test_unload_frees_the_card_and_keeps_the_server(make_vllm: MakeVllm, card: Card) -> None:
    runtime = make_vllm()
    await runtime.ensure_loaded("big")
    await runtime.unload()
    assert (runtime.loaded(), runtime.pid, card.in_memory()) == (None, None, [])
    assert await answer(runtime, "big") == "It is so."
    assert card.events("big") == ["started", "loaded", "asleep", "awake"]


async def test_a_closed_runtime_has_no_process_left_and_loads_nothing(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm()
    await runtime.prepare()
    await runtime.aclose()
    assert not any(psutil.pid_exists(pid_of(card, each)) for each in ("big", "small"))
    with pytest.raises(LocalModelUnavailableError, match="shutting down"):
        await runtime.ensure_loaded("big")


async def test_a_held_device_is_not_loaded_onto(make_vllm: MakeVllm, tmp_path: Path) -> None:
    path = tmp_path / "gpu.lease"
    async with DeviceLease(path, wait_seconds=0):
        with pytest.raises(DeviceBusyError, match=f"held by process {os.getpid()}"):
            await make_vllm(lease=DeviceLease(path, wait_seconds=0)).ensure_loaded("big")


async def test_two_models_in_the_cards_memory_end_a_server_here_as_on_a_card(
    make_vllm: MakeVllm, card: Card
) -> None:
    """The other tests lean on this: a driver that does not free the card would not pass them."""
    runtime = make_vllm()
    await runtime.ensure_loaded("big")
    other = await asyncio.create_subprocess_exec(
        *psutil.Process(pid_of(card, "big")).cmdline()[:3],
        *("maker/small", "--served-model-name", "small", "--host", "127.0.0.1", "--port", "0"),
    )
    assert await other.wait() == OUT_OF_MEMORY
