"""Real llama.cpp servers with the real small model."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx2
import jsonschema
import psutil
import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import FinishReason
from pointwork.contract.prompt import Prompt
from pointwork.local.lease import DeviceBusyError, DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.runtime import LocalModelUnavailableError
from pointwork.providers.dialects import LLAMA_CPP
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import CompletionRequest, ProviderError
from tests.integration.local.conftest import MODEL, MakeRuntime

PATIENCE_SECONDS = 60.0


def asks(
    text: str,
    *,
    model: str = MODEL,
    tokens: int = 24,
    schema: dict[str, object] | None = None,
) -> CompletionRequest:
    return CompletionRequest(
        model=model,
        prompt=Prompt.from_text(text),
        max_output_tokens=tokens,
        temperature=0.0,
        timeout_seconds=PATIENCE_SECONDS,
        request_id="test-request",
        seed=7,
        answer_schema=schema,
    )


async def adapter(
    runtime: LlamaCppRuntime, model: str = MODEL, api_key: str | None = None
) -> OpenAIProvider:
    return OpenAIProvider("local", await runtime.ensure_loaded(model), api_key, dialect=LLAMA_CPP)


async def gone(pid: int) -> None:
    """Wait until no process with this id runs."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)


@pytest.mark.req("OM-10")
async def test_the_model_answers_and_its_tokens_are_counted(runtime: LlamaCppRuntime) -> None:
    provider = await adapter(runtime)
    answer = await provider.complete(asks("What is the capital of France? One short sentence."))
    await provider.aclose()
    assert "Paris" in answer.text
    assert answer.served_model == MODEL
    assert answer.usage is not None
    assert answer.usage.input_tokens > 10
    assert 0 < answer.usage.output_tokens <= 24
    assert runtime.load_seconds[MODEL] > 0
    assert await runtime.health()


async def test_an_answer_bound_to_a_schema_satisfies_it(runtime: LlamaCppRuntime) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 30}, "year": {"type": "integer"}},
        "required": ["city", "year"],
        "additionalProperties": False,
    }
    provider = await adapter(runtime)
    answer = await provider.complete(
        asks("The Eiffel Tower was built in Paris in 1889.", tokens=200, schema=schema)
    )
    await provider.aclose()
    assert answer.finish_reason is FinishReason.STOP
    jsonschema.validate(json.loads(answer.text), schema)


async def test_an_answer_under_another_name_than_asked_for_is_refused(
    runtime: LlamaCppRuntime,
) -> None:
    provider = await adapter(runtime)
    with pytest.raises(ProviderError) as failure:
        await provider.complete(asks("Hello.", model="another-model"))
    await provider.aclose()
    assert failure.value.kind is ProviderFailureKind.WRONG_MODEL


async def test_a_prompt_longer_than_the_context_is_a_typed_failure(
    make_runtime: MakeRuntime, smollm2: Path
) -> None:
    runtime = make_runtime({MODEL: LlamaModel(path=smollm2, context_tokens=512)})
    provider = await adapter(runtime)
    with pytest.raises(ProviderError) as failure:
        await provider.complete(asks("word " * 2_000))
    await provider.aclose()
    assert failure.value.kind is ProviderFailureKind.CONTEXT_TOO_LONG


async def test_each_parallel_request_gets_the_whole_context(
    make_runtime: MakeRuntime, smollm2: Path
) -> None:
    model = LlamaModel(path=smollm2, context_tokens=256, parallel_requests=2)
    provider = await adapter(make_runtime({MODEL: model}))
    text = "word " * 180
    word: dict[str, object] = {"type": "string", "enum": ["yes", "no"]}
    answers = await asyncio.gather(
        *(provider.complete(asks(f"{n} {text}", schema=word)) for n in range(2))
    )
    await provider.aclose()
    assert all(answer.usage and answer.usage.input_tokens > 180 for answer in answers)


async def test_cancelling_a_call_frees_the_model_for_the_next(runtime: LlamaCppRuntime) -> None:
    provider = await adapter(runtime)
    has_begun = asyncio.Event()
    endless = asyncio.create_task(
        provider.complete(
            asks("Count upwards from one, without an end.", tokens=4_000),
            lambda _: has_begun.set(),
        )
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        await has_begun.wait()
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    # Four thousand tokens take longer than the patience of this call.
    async with asyncio.timeout(20):
        answer = await provider.complete(asks("Say yes.", tokens=4))
    await provider.aclose()
    assert answer.usage is not None


@pytest.mark.req("DC-21")
async def test_a_swap_ends_the_first_model_before_the_second_starts(
    runtime: LlamaCppRuntime,
) -> None:
    await runtime.ensure_loaded(MODEL)
    first = runtime.pid
    assert first is not None
    provider = await adapter(runtime, "second")
    assert not psutil.pid_exists(first)
    assert runtime.loaded() == "second"
    answer = await provider.complete(asks("Hello.", model="second", tokens=4))
    await provider.aclose()
    assert answer.served_model == "second"


async def test_loading_the_loaded_model_again_keeps_its_process(runtime: LlamaCppRuntime) -> None:
    urls = await asyncio.gather(*(runtime.ensure_loaded(MODEL) for _ in range(3)))
    assert len(set(urls)) == 1
    pid = runtime.pid
    await runtime.ensure_loaded(MODEL)
    assert runtime.pid == pid


async def test_a_killed_server_is_started_anew_by_the_next_load(runtime: LlamaCppRuntime) -> None:
    await runtime.ensure_loaded(MODEL)
    first = runtime.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while runtime.loaded():
            await asyncio.sleep(0.02)
    assert not await runtime.health()
    provider = await adapter(runtime)
    assert runtime.pid != first
    assert (await provider.complete(asks("Hello.", tokens=4))).usage is not None
    await provider.aclose()


async def test_unload_frees_the_memory(runtime: LlamaCppRuntime) -> None:
    await runtime.ensure_loaded(MODEL)
    pid = runtime.pid
    assert pid is not None
    await runtime.unload()
    assert not psutil.pid_exists(pid)
    assert runtime.loaded() is None
    assert not await runtime.health()


async def test_one_core_is_left_alone_while_decoding(runtime: LlamaCppRuntime) -> None:
    await runtime.ensure_loaded(MODEL)
    line = psutil.Process(runtime.pid).cmdline()
    cores = len(os.sched_getaffinity(0))
    assert line[line.index("--threads") + 1] == str(max(1, cores - 1))
    assert line[line.index("--threads-batch") + 1] == str(cores)


async def test_idle_threads_of_the_server_do_not_spin(
    runtime: LlamaCppRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_DISPLAY_ENV", "VERBOSE")
    await runtime.ensure_loaded(MODEL)
    assert "GOMP_SPINCOUNT = '0'" in (tmp_path / "logs" / f"llama-{MODEL}.log").read_text()


async def test_a_web_page_in_a_browser_of_this_host_may_not_use_the_model(
    runtime: LlamaCppRuntime,
) -> None:
    base_url = await runtime.ensure_loaded(MODEL)
    page = {"Origin": "http://page.example"}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as browser:
        answer = await browser.get(f"{base_url}/models", headers=page)
    assert answer.headers["Access-Control-Allow-Origin"] == "http://127.0.0.1"


async def test_the_prompts_in_work_cannot_be_listed(runtime: LlamaCppRuntime) -> None:
    base_url = await runtime.ensure_loaded(MODEL)
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as stranger:
        answer = await stranger.get(base_url.replace("/v1", "/slots"))
    assert answer.is_error


@pytest.mark.parametrize("name", ["absent", "unknown"])
async def test_a_model_that_is_not_there_is_refused_with_the_remedy(
    make_runtime: MakeRuntime, tmp_path: Path, name: str
) -> None:
    runtime = make_runtime({"absent": LlamaModel(path=tmp_path / "absent.gguf")})
    with pytest.raises(LocalModelUnavailableError) as refusal:
        await runtime.ensure_loaded(name)
    remedy = {"absent": "pointwork models pull absent", "unknown": "host profile"}[name]
    assert remedy in str(refusal.value)


async def test_a_damaged_file_is_refused_with_the_remedy_and_the_log(
    make_runtime: MakeRuntime, smollm2: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(smollm2.read_bytes()[:1_000_000])
    runtime = make_runtime({MODEL: LlamaModel(path=damaged)})
    with pytest.raises(LocalModelUnavailableError) as refusal:
        await runtime.ensure_loaded(MODEL)
    assert f"pointwork models pull {MODEL}" in str(refusal.value)
    assert (tmp_path / "logs" / f"llama-{MODEL}.log").read_text() != ""
    assert runtime.loaded() is None


async def test_a_load_that_takes_too_long_leaves_no_process(
    make_runtime: MakeRuntime, smollm2: Path, tmp_path: Path
) -> None:
    runtime = make_runtime({MODEL: LlamaModel(path=smollm2)}, load_timeout_seconds=0.01)
    before = set(psutil.Process().children())
    with pytest.raises(LocalModelUnavailableError, match=r"did not answer within 0\.01 s"):
        await runtime.ensure_loaded(MODEL)
    assert {child for child in psutil.Process().children() if child.is_running()} <= before
    assert not list((tmp_path / "logs").glob("*.address"))


async def test_a_cancelled_load_leaves_no_process(make_runtime: MakeRuntime, smollm2: Path) -> None:
    runtime = make_runtime({MODEL: LlamaModel(path=smollm2)})
    before = set(psutil.Process().children())
    load = asyncio.create_task(runtime.ensure_loaded(MODEL))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not set(psutil.Process().children()) - before:
            await asyncio.sleep(0.01)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert {child for child in psutil.Process().children() if child.is_running()} <= before


async def test_a_closed_runtime_loads_nothing(runtime: LlamaCppRuntime) -> None:
    await runtime.aclose()
    with pytest.raises(LocalModelUnavailableError, match="shutting down"):
        await runtime.ensure_loaded(MODEL)


async def test_a_server_with_a_key_serves_its_holder_alone(
    make_runtime: MakeRuntime, smollm2: Path
) -> None:
    runtime = make_runtime({MODEL: LlamaModel(path=smollm2)}, api_key="key-of-this-run")
    stranger = await adapter(runtime)
    with pytest.raises(ProviderError) as failure:
        await stranger.complete(asks("Hello."))
    await stranger.aclose()
    assert failure.value.kind is ProviderFailureKind.AUTHENTICATION_FAILED
    holder = await adapter(runtime, api_key="key-of-this-run")
    assert (await holder.complete(asks("Hello.", tokens=4))).usage is not None
    await holder.aclose()
    assert "key-of-this-run" not in " ".join(psutil.Process(runtime.pid).cmdline())


async def test_no_word_of_a_prompt_or_an_answer_reaches_the_log(
    make_runtime: MakeRuntime, smollm2: Path, tmp_path: Path
) -> None:
    runtime = make_runtime({MODEL: LlamaModel(path=smollm2, context_tokens=512)})
    provider = await adapter(runtime)
    canary = "QXCANARYQX"
    answer = await provider.complete(asks(f"Repeat this word: {canary}"))
    refused: dict[str, object] = {"type": "object", "properties": {canary: {"type": "nonsense"}}}
    for request in (asks(f"{canary} " * 1_000), asks(canary, schema=refused)):
        with pytest.raises(ProviderError):
            await provider.complete(request)
    await provider.aclose()
    await runtime.aclose()
    logged = "".join(path.read_text() for path in (tmp_path / "logs").iterdir())
    assert canary not in logged
    assert answer.text.strip() not in logged


OWNER = """
import asyncio, sys
from pathlib import Path
from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel

async def main(weights, work):
    runtime = LlamaCppRuntime(
        {"model": LlamaModel(path=weights)}, work / "owner", lease=DeviceLease(work / "gpu.lease")
    )
    await runtime.ensure_loaded("model")
    sys.stdout.write(f"{runtime.pid}\\n")
    sys.stdout.flush()
    await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.req("DC-21")
async def test_a_killed_owner_leaves_no_server_and_the_device_is_free_after_it(
    make_runtime: MakeRuntime, smollm2: Path, tmp_path: Path
) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(smollm2), str(tmp_path), stdout=PIPE
    )
    assert owner.stdout is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        server = int(await owner.stdout.readline())

    impatient = make_runtime(
        {MODEL: LlamaModel(path=smollm2)},
        lease=DeviceLease(tmp_path / "gpu.lease", wait_seconds=0),
    )
    with pytest.raises(DeviceBusyError, match=f"held by process {owner.pid}"):
        await impatient.ensure_loaded(MODEL)

    owner.kill()
    await owner.wait()
    await gone(server)
    heir = make_runtime({MODEL: LlamaModel(path=smollm2)})
    await heir.ensure_loaded(MODEL)
    assert heir.loaded() == MODEL


async def test_a_server_ends_when_its_parent_is_another_than_it_was_told(
    smollm2: Path, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "pointwork.local.llama_server", "--model", str(smollm2)),
        *("--alias", "orphan", "--address-file", str(tmp_path / "a.address")),
        *("--parent-pid", "1", "--context-tokens", "512", "--parallel", "1"),
        *("--threads", "1", "--threads-batch", "1"),
    ]
    orphan = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await orphan.wait() == 71
    assert not list(tmp_path.iterdir())
