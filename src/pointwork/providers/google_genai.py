"""Gemini models, on the ``google-genai`` SDK (DC-5)."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.json_strings import read_object
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.contract.prompt import (
    ImagePart,
    Part,
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.tools import NamedTool, ToolChoiceMode
from pointwork.providers.call import Call, UnreadableEventError, parsed_events
from pointwork.providers.egress import (
    KEY_PLACEHOLDER,
    Exchange,
    closed_client,
    http_client,
    keep_content_out_of_logs,
)
from pointwork.providers.metering import metered
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress
from pointwork.providers.reading import Reading, is_same_model_or_dated

BASE_URL = "https://generativelanguage.googleapis.com"
_API_VERSION = "v1beta"
_UNSIGNED = b"skip_thought_signature_validator"
"""What Google has callers send for a call whose thought is not at hand: later models refuse a call
without. A task may have got its call from another vendor's model, which signs none."""

_FINISH: dict[types.FinishReason, FinishReason | Kind] = {
    types.FinishReason.STOP: FinishReason.STOP,
    types.FinishReason.MAX_TOKENS: FinishReason.LENGTH,
    types.FinishReason.SAFETY: FinishReason.CONTENT_FILTER,
    types.FinishReason.RECITATION: FinishReason.CONTENT_FILTER,
    types.FinishReason.LANGUAGE: FinishReason.CONTENT_FILTER,
    types.FinishReason.BLOCKLIST: FinishReason.CONTENT_FILTER,
    types.FinishReason.PROHIBITED_CONTENT: FinishReason.CONTENT_FILTER,
    types.FinishReason.SPII: FinishReason.CONTENT_FILTER,
    types.FinishReason.IMAGE_SAFETY: FinishReason.CONTENT_FILTER,
    types.FinishReason.IMAGE_PROHIBITED_CONTENT: FinishReason.CONTENT_FILTER,
    types.FinishReason.MODEL_ARMOR: FinishReason.CONTENT_FILTER,
    # The rest of the answer would be a second request, which could be charged again.
    types.FinishReason.CONTINUATION: FinishReason.LENGTH,
    types.FinishReason.OTHER: Kind.STREAM_INTERRUPTED,
}


class GoogleGenAIProvider:
    """One endpoint that speaks the Gemini API."""

    def __init__(
        self,
        endpoint: str,
        base_url: str,
        api_key: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        keep_content_out_of_logs("google_genai._api_client", "google_genai.models")
        self._endpoint = endpoint
        self._http_client = http_client(
            base_url, credential=("x-goog-api-key", api_key), transport=transport
        )
        self._client = genai.Client(
            vertexai=False,
            api_key=KEY_PLACEHOLDER,
            http_options=types.HttpOptions(
                base_url=base_url,
                api_version=_API_VERSION,
                httpx_client=closed_client(),
                httpx_async_client=self._http_client,
            ),
        )

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """Call the model once, with no retry.

        Raises:
            ProviderError: the call failed.
        """
        reading = Reading(self._endpoint, request, on_progress, _is_requested_model)
        call = Call(
            endpoint=self._endpoint,
            clearance=request.clearance,
            timeout_seconds=request.timeout_seconds,
            vendor_errors=(errors.APIError,),
            error_body=_error_body,
        )

        async def read(exchange: Exchange) -> None:
            turns = request.prompt.turns
            stream = await self._client.aio.models.generate_content_stream(
                model=request.model,
                contents=_contents(turns),
                config=_config(request),
            )
            await _read_chunks(parsed_events(exchange, stream), reading)

        return await call.run(reading, read)

    async def aclose(self) -> None:
        self._client.close()
        await self._http_client.aclose()


def _is_requested_model(requested: str, served: str) -> bool:
    return is_same_model_or_dated(requested.removeprefix("models/"), served.removeprefix("models/"))


def _error_body(error: Exception) -> object:
    return error.details if isinstance(error, errors.APIError) else None


def _config(request: CompletionRequest) -> types.GenerateContentConfig:
    system = [
        turn.text for turn in request.prompt.turns if turn.speaker is Speaker.SYSTEM and turn.text
    ]
    schema = request.answer_schema
    return types.GenerateContentConfig(
        system_instruction="\n\n".join(system) or None,
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature,
        seed=request.seed,
        response_mime_type=None if schema is None else "application/json",
        response_json_schema=schema,
        **_tools(request.prompt),
        # Each of these two would send further requests of its own.
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
        http_options=types.HttpOptions(headers={"X-Client-Request-Id": request.request_id}),
    )


def _tools(prompt: Prompt) -> dict[str, Any]:
    if not prompt.tools:
        return {}
    declared = [
        types.FunctionDeclaration(
            name=tool.name,
            description=tool.description or None,
            parameters_json_schema=tool.parameters or None,
        )
        for tool in prompt.tools
    ]
    return {
        "tools": [types.Tool(function_declarations=declared)],
        "tool_config": types.ToolConfig(function_calling_config=_calling(prompt)),
    }


def _calling(prompt: Prompt) -> types.FunctionCallingConfig:
    mode = types.FunctionCallingConfigMode
    match prompt.tool_choice:
        case NamedTool(name=name):
            return types.FunctionCallingConfig(mode=mode.ANY, allowed_function_names=[name])
        case ToolChoiceMode.REQUIRED:
            return types.FunctionCallingConfig(mode=mode.ANY)
        case ToolChoiceMode.NONE:
            return types.FunctionCallingConfig(mode=mode.NONE)
        case ToolChoiceMode.AUTO:
            return types.FunctionCallingConfig(mode=mode.AUTO)


def _contents(turns: Sequence[Turn]) -> list[types.Content]:
    """Results of all calls of one turn stand in the one turn after it."""
    contents: list[types.Content] = []
    called: dict[str, str] = {}
    after_tool = False
    for turn in turns:
        if turn.speaker is Speaker.SYSTEM:
            continue
        called |= {call.call_id: call.name for call in turn.calls}
        parts = [_part(part, called) for part in turn.parts]
        is_tool = turn.speaker is Speaker.TOOL
        if after_tool and is_tool:
            contents[-1].parts = [*(contents[-1].parts or ()), *parts]
        else:
            role = "model" if turn.speaker is Speaker.ASSISTANT else "user"
            contents.append(types.Content(role=role, parts=parts))
        after_tool = is_tool
    return contents


def _part(part: Part, called: Mapping[str, str]) -> types.Part:
    match part:
        case TextPart():
            return types.Part.from_text(text=part.text)
        case ImagePart():
            return types.Part.from_bytes(data=part.data, mime_type=part.media_type)
        case ToolCallPart():
            call = types.FunctionCall(
                id=part.call_id, name=part.name, args=read_object(part.arguments)
            )
            return types.Part(function_call=call, thought_signature=_UNSIGNED)
        case ToolResultPart():
            answered = types.FunctionResponse(
                id=part.call_id, name=called[part.call_id], response={"result": part.text}
            )
            return types.Part(function_response=answered)


async def _read_chunks(
    chunks: AsyncIterator[types.GenerateContentResponse], reading: Reading
) -> None:
    calls = count()
    async for chunk in chunks:
        reading.provider_request_id = chunk.response_id or reading.provider_request_id
        if chunk.usage_metadata is not None:
            reading.usage = _token_usage(chunk.usage_metadata)
        if chunk.prompt_feedback is not None and chunk.prompt_feedback.block_reason is not None:
            reading.end(Kind.CONTENT_FILTERED)
        reading.name_model(chunk.model_version or "")
        for candidate in chunk.candidates or ():
            if not candidate.index:
                _read_candidate(candidate, reading, calls)


def _read_candidate(candidate: types.Candidate, reading: Reading, calls: Iterator[int]) -> None:
    parts = candidate.content.parts if candidate.content is not None else None
    for part in parts or ():
        # A thought is metered and is no part of the answer.
        reading.add("" if part.thought else part.text or "")
        if part.function_call is not None:
            _read_call(part.function_call, reading, next(calls))
    if candidate.finish_reason is not None:
        reading.end(_FINISH.get(candidate.finish_reason, Kind.MALFORMED_RESPONSE))


def _read_call(call: types.FunctionCall, reading: Reading, index: int) -> None:
    if call.partial_args or call.will_continue:
        # Pieces of calls come to those alone who ask for them.
        raise UnreadableEventError
    reading.add_call(
        index,
        call_id=call.id or "",
        name=call.name or "",
        arguments=json.dumps(call.args or {}, ensure_ascii=False),
    )


def _token_usage(usage: types.GenerateContentResponseUsageMetadata) -> TokenUsage | None:
    thoughts = usage.thoughts_token_count or 0
    input_tokens = (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0)
    output_tokens = (usage.candidates_token_count or 0) + thoughts
    return metered(
        input_tokens=input_tokens,
        output_tokens=max(output_tokens, (usage.total_token_count or 0) - input_tokens),
        cached_input_tokens=usage.cached_content_token_count or 0,
        reasoning_tokens=thoughts,
    )
