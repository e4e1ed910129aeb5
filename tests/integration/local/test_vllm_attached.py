"""vLLM servers that somebody else started, and what becomes of ours when we are killed."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from pointwork.local.lease import DeviceBusyError, DeviceLease
from pointwork.local.loopback import ask, free_port
from pointwork.local.runtime import LocalModelUnavailableError
from tests.fakes.vllm_server import PROGRAM, Behaviour, Card
from tests.integration.local.conftest import VLLM_KEY, MakeVllm
from tests.integration.local.vllm_calls import (
    PATIENCE_SECONDS,
    answer,
    pid_of,
    until_dead,
    url_of,
)

Attach = Callable[..., Awaitable[str]]


@pytest.fixture
async def running(card: Card) -> AsyncIterator[Attach]:
    """Starts a server as somebody else would, and tells its base URL."""
    started: list[Process] = []

    async def start(model: str, *, dev_mode: bool = True, then_sleep: bool = False) -> str:
        url = f"http://127.0.0.1:{free_port()}"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), str(card.folder), f"theirs/{model}"),
            *("--served-model-name", model, "--host", "127.0.0.1"),
            *("--port", url.rpartition(":")[2], "--enable-sleep-mode"),
            stdout=PIPE,
            env={"VLLM_API_KEY": VLLM_KEY, "VLLM_SERVER_DEV_MODE": "1" if dev_mode else "0"},
        )
        started.append(process)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await is_well(url):
                await asyncio.sleep(0.02)
        if then_sleep:
            await asyncio.to_thread(ask, url, "/sleep", method="POST")
        return f"{url}/v1"

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def is_well(url: str) -> bool:
    try:
        return (await asyncio.to_thread(ask, url, "/health")).is_ok
    except OSError:
        return False


async def test_attached_servers_sleep_and_wake_and_are_never_stopped(
    make_vllm: MakeVllm, card: Card, running: Attach
) -> None:
    big = await running("big", then_sleep=True)
    runtime = make_vllm(attached={"big": big, "small": await running("small")})
    for model in ("big", "small", "big"):
        assert await answer(runtime, model) == "It is so."
        assert card.in_memory() == [model]
    assert runtime.pid is None
    await runtime.aclose()
    assert card.in_memory() == []
    assert all(psutil.pid_exists(pid_of(card, each)) for each in ("big", "small"))
    assert (card.events("big").count("started"), card.events("small").count("started")) == (1, 1)


async def test_an_attached_server_makes_room_for_one_of_ours(
    make_vllm: MakeVllm, card: Card, running: Attach
) -> None:
    runtime = make_vllm(attached={"big": await running("big")})
    assert await answer(runtime, "small") == "It is so."
    assert card.in_memory() == ["small"]
    assert psutil.pid_exists(pid_of(card, "big"))


async def test_an_attached_server_that_cannot_sleep_keeps_the_card_and_its_neighbours_out(
    make_vllm: MakeVllm, card: Card, running: Attach
) -> None:
    runtime = make_vllm(attached={"big": await running("big", dev_mode=False)})
    assert await answer(runtime, "big") == "It is so."
    with pytest.raises(LocalModelUnavailableError, match=r"card is not free.*VLLM_SERVER_DEV_MODE"):
        await runtime.ensure_loaded("small")
    assert card.events("small") == []
    assert card.in_memory() == ["big"]


async def test_an_attached_server_that_serves_another_model_is_refused(
    make_vllm: MakeVllm, card: Card, running: Attach
) -> None:
    card.misbehave("big", Behaviour(serves="tiny"))
    runtime = make_vllm(attached={"big": await running("big")})
    with pytest.raises(LocalModelUnavailableError, match="serves tiny instead"):
        await runtime.ensure_loaded("big")
    assert runtime.loaded() is None
    assert card.in_memory() == []


async def test_an_attached_server_that_is_not_there_is_refused_with_the_remedy(
    make_vllm: MakeVllm,
) -> None:
    runtime = make_vllm(attached={"big": f"http://127.0.0.1:{free_port()}/v1"})
    assert not await runtime.is_available("big")
    with pytest.raises(LocalModelUnavailableError, match=r"does not serve.*; start it, or take it"):
        await runtime.ensure_loaded("big")


async def test_a_server_that_others_put_to_sleep_or_ended_is_noticed_without_a_call(
    make_vllm: MakeVllm, card: Card, running: Attach
) -> None:
    runtime = make_vllm(attached={"big": await running("big")}, watch_seconds=0.02)
    await runtime.ensure_loaded("big")
    await asyncio.to_thread(ask, url_of(card, "big"), "/sleep", method="POST")
    await until_not_loaded(runtime.loaded)
    assert await answer(runtime, "big") == "It is so."
    os.kill(pid_of(card, "big"), signal.SIGKILL)
    await until_not_loaded(runtime.loaded)


async def until_not_loaded(loaded: Callable[[], str | None]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while loaded() is not None:
            await asyncio.sleep(0.02)


async def test_a_server_of_ours_that_others_woke_sleeps_again_before_a_swap_is_over(
    make_vllm: MakeVllm, card: Card
) -> None:
    runtime = make_vllm()
    await runtime.ensure_loaded("big")
    await runtime.unload()
    await asyncio.to_thread(ask, url_of(card, "big"), "/wake_up", method="POST")
    assert await answer(runtime, "small") == "It is so."
    assert card.in_memory() == ["small"]


OWNER = """
import asyncio, sys
from pathlib import Path
from pointwork.local.lease import DeviceLease
from pointwork.local.vllm import VllmRuntime
from pointwork.local.vllm_server import VllmModel, VllmServing

async def main(program, folder, work):
    runtime = VllmRuntime(
        {"big": VllmModel(source="b"), "small": VllmModel(source="s")},
        work / "owner",
        lease=DeviceLease(work / "gpu.lease"),
        serving=VllmServing(command=(sys.executable, program, folder)),
    )
    await runtime.prepare()
    sys.stdout.write("ready\\n")
    sys.stdout.flush()
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
"""


@pytest.mark.req("DC-21")
async def test_a_killed_owner_leaves_nothing_behind_and_the_device_is_free_after_it(
    make_vllm: MakeVllm, card: Card, tmp_path: Path
) -> None:
    for model in ("big", "small"):
        card.misbehave(model, Behaviour(has_engine=True))
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(PROGRAM), str(card.folder), str(tmp_path)), stdout=PIPE
    )
    assert owner.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await owner.stdout.readline() == b"ready\n"
    left = [
        *(pid_of(card, each) for each in ("big", "small")),
        *(int(card.last("engine", each)["pid"]) for each in ("big", "small")),
    ]

    impatient = make_vllm(lease=DeviceLease(tmp_path / "gpu.lease", wait_seconds=0))
    with pytest.raises(DeviceBusyError, match=f"held by process {owner.pid}"):
        await impatient.ensure_loaded("big")

    owner.kill()
    await owner.wait()
    for pid in left:
        await until_dead(pid)
    assert await answer(make_vllm(), "big") == "It is so."
    assert pid_of(card, "big") not in left
