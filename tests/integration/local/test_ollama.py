"""The Ollama driver over HTTP, of a server that speaks Ollama's API."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import ModelBuild
from pointwork.local.lease import DeviceBusyError, DeviceLease
from pointwork.local.loopback import free_port
from pointwork.local.ollama import OllamaRuntime
from pointwork.local.runtime import LocalModelUnavailableError
from pointwork.providers.dialects import OLLAMA
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import ProviderError
from tests.fakes.ollama_server import FakeOllama, digest_of
from tests.integration.local.vllm_calls import asks


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    with FakeOllama({"llama3.2:1b", "qwen3:latest", "stranger:7b"}) as server:
        yield server


@pytest.fixture
async def runtime(ollama: FakeOllama, tmp_path: Path) -> AsyncIterator[OllamaRuntime]:
    models = {"llama3.2:1b", "qwen3", "big:480b-cloud", "masked", "absent"}
    made = OllamaRuntime(models, ollama.url, lease=DeviceLease(tmp_path / "gpu.lease"))
    yield made
    await made.aclose()


async def test_a_model_is_loaded_for_good_and_its_load_time_is_the_servers_own(
    runtime: OllamaRuntime, ollama: FakeOllama
) -> None:
    assert await runtime.ensure_loaded("llama3.2:1b") == f"{ollama.url}/v1"
    assert runtime.loaded() == "llama3.2:1b"
    assert runtime.load_seconds == {"llama3.2:1b": 1.5}
    assert await runtime.health()
    load = {"model": "llama3.2:1b", "stream": False, "keep_alive": -1}
    assert ("/api/generate", load) in ollama.asked


@pytest.mark.req("CX-13")
async def test_a_loaded_model_is_told_by_its_digest_quantisation_and_the_servers_version(
    runtime: OllamaRuntime,
) -> None:
    assert runtime.build is None
    await runtime.ensure_loaded("qwen3")
    assert runtime.build == ModelBuild(
        revision=f"sha256:{digest_of('qwen3:latest')}",
        quantisation="Q4_K_M",
        runtime="ollama",
        runtime_version="0.13.1",
    )


async def test_its_answer_is_counted_and_must_be_of_the_model_asked_for(
    runtime: OllamaRuntime, ollama: FakeOllama
) -> None:
    url = await runtime.ensure_loaded("llama3.2:1b")
    provider = OpenAIProvider("local", url, None, dialect=OLLAMA)
    given = await provider.complete(asks("Is it so?", "llama3.2:1b"))
    assert given.text == "It is."
    assert given.usage is not None
    assert (given.usage.input_tokens, given.usage.output_tokens) == (9, 2)
    ollama.answers_as = "stranger:7b"
    with pytest.raises(ProviderError) as failure:
        await provider.complete(asks("Is it so?", "llama3.2:1b"))
    await provider.aclose()
    assert failure.value.kind is ProviderFailureKind.WRONG_MODEL


async def test_a_swap_unloads_whatever_is_in_memory_before_it_loads(
    runtime: OllamaRuntime, ollama: FakeOllama
) -> None:
    ollama.in_memory.append("stranger:7b")
    await runtime.ensure_loaded("llama3.2:1b")
    assert ollama.in_memory == ["llama3.2:1b"]
    await runtime.ensure_loaded("qwen3")
    assert ollama.in_memory == ["qwen3:latest"]
    generated = [
        (body["model"], body["keep_alive"])
        for path, body in ollama.asked
        if path == "/api/generate"
    ]
    assert generated == [
        *(("stranger:7b", 0), ("llama3.2:1b", -1)),
        *(("llama3.2:1b", 0), ("qwen3", -1)),
    ]


async def test_a_model_that_does_not_leave_memory_keeps_the_next_one_out(
    ollama: FakeOllama, tmp_path: Path
) -> None:
    ollama.keeps.add("stranger:7b")
    ollama.in_memory.append("stranger:7b")
    lease = DeviceLease(tmp_path / "gpu.lease")
    runtime = OllamaRuntime({"qwen3"}, ollama.url, lease=lease, load_timeout_seconds=0.1)
    with pytest.raises(LocalModelUnavailableError, match="it keeps stranger:7b in memory"):
        await runtime.ensure_loaded("qwen3")
    assert ollama.in_memory == ["stranger:7b"]
    assert runtime.loaded() is None
    await runtime.aclose()


@pytest.mark.parametrize("model", ["big:480b-cloud", "masked"])
async def test_a_model_that_would_be_passed_on_to_a_cloud_is_refused(
    runtime: OllamaRuntime, ollama: FakeOllama, model: str
) -> None:
    ollama.remote |= {"big:480b-cloud", "masked:latest"}
    with pytest.raises(LocalModelUnavailableError, match="would pass it on to a cloud"):
        await runtime.ensure_loaded(model)
    assert not [path for path, _ in ollama.asked if path == "/api/generate"]


async def test_a_model_that_ollama_does_not_have_is_refused_with_the_remedy(
    runtime: OllamaRuntime,
) -> None:
    with pytest.raises(LocalModelUnavailableError, match="run `ollama serve` and `ollama pull abs"):
        await runtime.ensure_loaded("absent")


async def test_an_ollama_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    runtime = OllamaRuntime({"qwen3"}, url, lease=DeviceLease(tmp_path / "gpu.lease"))
    with pytest.raises(LocalModelUnavailableError, match="run `ollama serve`"):
        await runtime.ensure_loaded("qwen3")
    await runtime.aclose()


async def test_unload_and_close_free_the_memory(runtime: OllamaRuntime, ollama: FakeOllama) -> None:
    await runtime.ensure_loaded("qwen3")
    await runtime.unload()
    assert ollama.in_memory == []
    assert runtime.loaded() is None
    assert not await runtime.health()
    await runtime.ensure_loaded("qwen3")
    await runtime.aclose()
    assert ollama.in_memory == []
    with pytest.raises(LocalModelUnavailableError, match="shutting down"):
        await runtime.ensure_loaded("qwen3")


async def test_a_held_device_is_not_loaded_onto(ollama: FakeOllama, tmp_path: Path) -> None:
    path = tmp_path / "gpu.lease"
    runtime = OllamaRuntime({"qwen3"}, ollama.url, lease=DeviceLease(path, wait_seconds=0))
    async with DeviceLease(path, wait_seconds=0):
        with pytest.raises(DeviceBusyError):
            await runtime.ensure_loaded("qwen3")
    assert ollama.asked == []
