"""Tools on a real llama.cpp server: what it calls, and what the shipped model makes of them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.classify import prompt_tokens_max
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import FinishReason
from pointwork.contract.prompt import (
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.tools import NamedTool, ToolChoice, ToolChoiceMode, ToolDefinition
from pointwork.local.llama_cpp import LlamaCppRuntime
from pointwork.providers.dialects import LLAMA_CPP
from pointwork.providers.openai import OpenAIProvider
from pointwork.providers.port import CompletionRequest, CompletionResponse, ProviderError
from tests.integration.local.conftest import MODEL

FIND = ToolDefinition(
    name="find_order",
    parameters={
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
    },
)
NOT_CALLED = {ProviderFailureKind.MALFORMED_RESPONSE, ProviderFailureKind.STREAM_INTERRUPTED}
"""An answer without the call, or one whose text the server could not read as a call: what the model
says differs with the processor."""
CLOCK = ToolDefinition(name="clock", description="The time of day.")


@pytest.fixture
async def with_tools(smollm2: Path) -> AsyncIterator[OpenAIProvider]:
    """The adapter to the small model under a chat template that knows tools."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.llama_with_tools", str(smollm2)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert server.stdout is not None
    assert server.stdin is not None
    async with asyncio.timeout(60):
        address = (await server.stdout.readline()).decode().strip().rstrip("/")
    provider = OpenAIProvider("local-gpu", f"{address}/v1", None, dialect=LLAMA_CPP)
    yield provider
    await provider.aclose()
    server.stdin.close()
    await server.wait()


def said(speaker: Speaker, text: str) -> Turn:
    return Turn(speaker=speaker, parts=(TextPart(text=text),))


def asking(choice: ToolChoice) -> Prompt:
    """A model as small as this calls a tool where it sees one called."""
    call = ToolCallPart(call_id="call_17", name="find_order", arguments='{"number": 17}')
    result = ToolResultPart(call_id="call_17", text="sent")
    turns = (
        said(Speaker.USER, "Find order 17."),
        Turn(speaker=Speaker.ASSISTANT, parts=(call,)),
        Turn(speaker=Speaker.TOOL, parts=(result,)),
        said(Speaker.ASSISTANT, "It was sent."),
        said(Speaker.USER, "Find order 4711."),
    )
    return Prompt(turns=turns, tools=(FIND, CLOCK), tool_choice=choice)


async def ask(provider: OpenAIProvider, prompt: Prompt) -> CompletionResponse:
    return await provider.complete(
        CompletionRequest(
            model=MODEL,
            prompt=prompt,
            max_output_tokens=64,
            temperature=0.0,
            timeout_seconds=120,
            request_id="test-request",
            seed=1,
        )
    )


@pytest.mark.parametrize(
    "choice", [ToolChoiceMode.AUTO, ToolChoiceMode.REQUIRED, NamedTool(name="find_order")]
)
async def test_a_real_model_calls_a_tool_and_stays_within_the_bound(
    with_tools: OpenAIProvider, choice: ToolChoice
) -> None:
    prompt = asking(choice)
    response = await ask(with_tools, prompt)

    assert response.finish_reason is FinishReason.TOOL_CALL
    [call] = response.tool_calls
    assert call.name == "find_order"
    assert isinstance(json.loads(call.arguments)["number"], int)
    assert response.usage is not None
    assert response.usage.input_tokens <= prompt_tokens_max(prompt)


async def test_a_real_model_that_is_told_of_no_tools_calls_none(runtime: LlamaCppRuntime) -> None:
    """Its own template has none: the server drops them in silence, so the catalogue says so."""
    provider = OpenAIProvider(
        "local-gpu", await runtime.ensure_loaded(MODEL), None, dialect=LLAMA_CPP
    )
    offered = Prompt(turns=(said(Speaker.USER, "What is the state of order 4711?"),), tools=(FIND,))
    assert (await ask(provider, offered)).tool_calls == ()
    required = offered.model_copy(update={"tool_choice": ToolChoiceMode.REQUIRED})
    with pytest.raises(ProviderError) as refused:
        await ask(provider, required)
    assert refused.value.kind in NOT_CALLED
    await provider.aclose()
