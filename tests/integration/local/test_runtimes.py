"""From a host profile to the runtime that serves it, as the GPU worker opens it."""

import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pointwork.local.card import Card as GpuCard
from pointwork.local.card import CardUnreadableError
from pointwork.local.fallback import FallbackRuntime
from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime
from pointwork.local.ollama import OllamaRuntime
from pointwork.local.runtime import LocalModelUnavailableError, LocalRuntime
from pointwork.local.vllm import VllmRuntime
from pointwork.policy.documents.load import load_library
from tests.fakes.ollama_server import FakeOllama
from tests.fakes.scripted_provider import Script
from tests.fakes.vllm_server import PROGRAM, Card
from tests.workflows.stack import open_test_parts
from workers.runtimes import open_runtime, served_models
from workers.settings import Settings, child_environment
from workers.wiring import Parts

QWEN, MINISTRAL = "Qwen3-Coder-30B-A3B-Instruct", "Ministral-3-14B"
RECORDED = GpuCard(name="NVIDIA GeForce RTX 5090", vram_mb=32607, driver="580.105.08", cuda="13.0")

OpenParts = Callable[..., Parts]


@pytest.fixture
def open_parts_of(repository: Path, tmp_path: Path, card: Card) -> Iterator[OpenParts]:
    """Parts of a host, with lines of its profile replaced and made-up vLLM servers."""
    policies = shutil.copytree(repository / "policies", tmp_path / "policies")
    opened: list[Parts] = []

    def open_them(host: str, *changes: tuple[str, str]) -> Parts:
        profile = policies / "hosts" / f"{host}.yaml"
        text = profile.read_text()
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        profile.write_text(text)
        made = open_test_parts(tmp_path / "state", load_library(policies, host), Script())
        command = (sys.executable, str(PROGRAM), str(card.folder))
        settings = made.settings.model_copy(update={"vllm_command": command})
        opened.append(replace(made, settings=settings))
        return opened[-1]

    (tmp_path / "state").mkdir()
    yield open_them
    for each in opened:
        each.threads.shutdown()
        each.engine.dispose()


async def opened(parts: Parts) -> LocalRuntime:
    lease = DeviceLease(parts.settings.state_dir / "gpu.lease", wait_seconds=0)
    return await open_runtime(parts, lease, "key-of-this-run", lambda: [RECORDED])


async def test_a_host_that_names_no_runtime_gets_llama_cpp(open_parts_of: OpenParts) -> None:
    parts = open_parts_of("embedded")
    runtime = await opened(parts)
    assert isinstance(runtime, LlamaCppRuntime)
    assert served_models(parts.library.of_this_host) == {"smollm2-135m": "smollm2-135m"}
    await runtime.aclose()


async def test_the_workstation_gets_vllm_with_llama_cpp_behind_it(
    open_parts_of: OpenParts, card: Card, tmp_path: Path
) -> None:
    parts = open_parts_of("rtx5090")
    for model in ("qwen3-coder-30b-a3b", "ministral-3-14b"):
        (tmp_path / "state" / "models" / model).mkdir(parents=True)
    runtime = await opened(parts)
    assert isinstance(runtime, FallbackRuntime)
    await runtime.ensure_loaded(QWEN)
    await runtime.ensure_loaded(MINISTRAL)
    await runtime.aclose()
    qwen = card.last("started", QWEN)["arguments"]
    assert qwen[0] == str(tmp_path / "state" / "models" / "qwen3-coder-30b-a3b")
    assert qwen[qwen.index("--max-model-len") + 1] == "65536"
    assert qwen[-3:] == ["--enable-auto-tool-choice", "--tool-call-parser", "qwen3_coder"]
    assert card.last("started", MINISTRAL)["arguments"][-1] == "mistral"


async def test_weights_that_are_not_there_are_refused_with_their_folder(
    open_parts_of: OpenParts, card: Card, tmp_path: Path
) -> None:
    runtime = await opened(open_parts_of("rtx5090"))
    folder = tmp_path / "state" / "models" / "qwen3-coder-30b-a3b"
    with pytest.raises(LocalModelUnavailableError, match=f"the folder {folder} is missing; put"):
        await runtime.ensure_loaded(QWEN)
    assert card.log() == []
    await runtime.aclose()


async def test_prestart_leaves_every_server_started_and_the_default_awake(
    open_parts_of: OpenParts, card: Card, tmp_path: Path
) -> None:
    parts = open_parts_of(
        "rtx5090", ("sleep_level: 1", "prestart: true"), ("  fallback: llama_cpp\n", "")
    )
    for model in ("qwen3-coder-30b-a3b", "ministral-3-14b"):
        (tmp_path / "state" / "models" / model).mkdir(parents=True)
    runtime = await opened(parts)
    assert isinstance(runtime, VllmRuntime)
    assert runtime.loaded() == QWEN
    assert card.events(MINISTRAL) == ["started", "loaded", "asleep"]
    await runtime.aclose()


async def test_a_host_on_ollama_asks_it_for_its_models(
    open_parts_of: OpenParts,
) -> None:
    with FakeOllama({"smollm2-135m:latest"}) as ollama:
        line = "parallel_requests: 1"
        parts = open_parts_of(
            "embedded", (line, f"{line}\nruntime: {{kind: ollama, url: '{ollama.url}'}}")
        )
        runtime = await opened(parts)
        assert isinstance(runtime, OllamaRuntime)
        assert await runtime.ensure_loaded("smollm2-135m") == f"{ollama.url}/v1"
        await runtime.aclose()


@pytest.mark.req("CX-75")
async def test_a_card_that_is_not_the_one_on_record_is_told_of_when_the_worker_starts(
    open_parts_of: OpenParts, caplog: pytest.LogCaptureFixture
) -> None:
    parts = open_parts_of("rtx5090")
    lease = DeviceLease(parts.settings.state_dir / "gpu.lease")
    with caplog.at_level(logging.WARNING, logger="workers"):
        await open_runtime(parts, lease, "k", lambda: [RECORDED])
        assert caplog.messages == []
        await open_runtime(parts, lease, "k", lambda: [replace(RECORDED, driver="590.1")])
        await open_runtime(parts, lease, "k", no_card)
    assert caplog.messages == [
        "the card is not as the host profile says: gpu.driver: 580.105.08 is on record, and the "
        "host has 590.1",
        "the card on record could not be compared with the real one: nvidia-smi is not installed",
    ]


def no_card() -> list[GpuCard]:
    raise CardUnreadableError("nvidia-smi is not installed")


def test_a_model_server_is_handed_no_key_and_none_of_our_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {
        "CUDA_VISIBLE_DEVICES": "1",
        "HF_HOME": "/cache",
        "VLLM_LOGGING_LEVEL": "INFO",
        "HF_TOKEN": "secret",
        "VLLM_API_KEY": "secret",
        "OPENAI_API_KEY": "secret",
        "POINTWORK_LEDGER_URL": "postgresql://u:secret@h/d",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    handed = child_environment()
    assert {name: handed[name] for name in list(given)[:3]} == dict(list(given.items())[:3])
    assert "PATH" in handed
    assert "secret" not in json.dumps(handed)


def test_the_program_that_starts_vllm_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().vllm_command == ("vllm", "serve")
    monkeypatch.setenv("POINTWORK_VLLM_COMMAND", '["/opt/vllm/bin/vllm", "serve"]')
    assert Settings().vllm_command == ("/opt/vllm/bin/vllm", "serve")
    monkeypatch.setenv("POINTWORK_VLLM_COMMAND", "[]")
    with pytest.raises(ValueError, match="vllm_command"):
        Settings()
