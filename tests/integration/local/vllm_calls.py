"""Calls of the model that a runtime over made-up vLLM servers has loaded."""

import asyncio

import psutil

from pointwork.contract.prompt import Prompt
from pointwork.local.runtime import LocalRuntime
from pointwork.providers.dialects import VLLM
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import CompletionRequest
from tests.fakes.vllm_server import Card
from tests.integration.local.conftest import VLLM_KEY

PATIENCE_SECONDS = 60.0


def asks(text: str, model: str) -> CompletionRequest:
    return CompletionRequest(
        model=model,
        prompt=Prompt.from_text(text),
        max_output_tokens=24,
        temperature=0.0,
        timeout_seconds=PATIENCE_SECONDS,
        request_id="test-request",
        seed=7,
    )


async def adapter(runtime: LocalRuntime, model: str, key: str = VLLM_KEY) -> OpenAIProvider:
    return OpenAIProvider("local", await runtime.ensure_loaded(model), key, dialect=VLLM)


async def answer(runtime: LocalRuntime, model: str) -> str:
    provider = await adapter(runtime, model)
    try:
        return (await provider.complete(asks("Is it so?", model))).text
    finally:
        await provider.aclose()


async def until_dead(pid: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)


def pid_of(card: Card, model: str) -> int:
    return int(card.last("started", model)["pid"])


def url_of(card: Card, model: str) -> str:
    """The root of the model's server."""
    line = card.last("started", model)["arguments"]
    return f"http://127.0.0.1:{line[line.index('--port') + 1]}"
