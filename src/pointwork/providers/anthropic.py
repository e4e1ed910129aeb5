"""Claude models, on the ``anthropic`` SDK's Messages API (DC-4)."""

import base64
import json
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anthropic
import httpx2
from anthropic.types import RawMessageStreamEvent
from pydantic import BaseModel, ConfigDict, ValidationError

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
from pointwork.contract.tools import NamedTool, ToolChoiceMode, ToolDefinition
from pointwork.providers.call import Call, UnreadableEventError, parsed_events
from pointwork.providers.egress import (
    KEY_PLACEHOLDER,
    Exchange,
    http_client,
    keep_content_out_of_logs,
)
from pointwork.providers.failures import provider_request_id
from pointwork.providers.metering import metered
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress
from pointwork.providers.reading import Reading, is_same_model_or_dated

BASE_URL = "https://api.anthropic.com"

TEMPERATURE_MAX = 1.0

# Later models refuse a call that names a temperature, and the SDK no longer has the parameter.
_SAMPLING_MODELS = re.compile(r"claude-(opus|sonnet|haiku)-4-[56](-\d{8})?")

_FINISH: dict[str, FinishReason | Kind] = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "refusal": FinishReason.CONTENT_FILTER,
    "tool_use": FinishReason.TOOL_CALL,
    # The vendor pauses only its own tools, and none is ever sent.
    "pause_turn": Kind.MALFORMED_RESPONSE,
}


class AnthropicProvider:
    """One endpoint that speaks the Messages API."""

    def __init__(
        self,
        endpoint: str,
        base_url: str,
        api_key: str,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        # At DEBUG the SDK writes every request whole.
        keep_content_out_of_logs("anthropic._base_client")
        self._endpoint = endpoint
        self._client = anthropic.AsyncAnthropic(
            api_key=KEY_PLACEHOLDER,
            base_url=base_url,
            max_retries=0,
            # Its spans can be told by an environment variable to hold content.
            open_telemetry=False,
            http_client=http_client(
                base_url, credential=("x-api-key", api_key), transport=transport
            ),
        )

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """Call the model once, with no retry. A seed is not sent: the API takes none.

        Raises:
            ProviderError: the call failed.
        """
        reading = Reading(self._endpoint, request, on_progress, is_same_model_or_dated)
        call = Call(
            endpoint=self._endpoint,
            clearance=request.clearance,
            timeout_seconds=request.timeout_seconds,
            vendor_errors=(anthropic.AnthropicError,),
            error_body=_error_body,
        )

        async def read(exchange: Exchange) -> None:
            stream = await self._client.messages.create(
                stream=True,
                extra_headers={"X-Client-Request-Id": request.request_id},
                **_parameters(request),
            )
            reading.provider_request_id = provider_request_id(exchange.headers)
            await _read_events(parsed_events(exchange, aiter(stream)), reading)

        return await call.run(reading, read)

    async def aclose(self) -> None:
        await self._client.close()


def _error_body(error: Exception) -> object:
    return error.body if isinstance(error, anthropic.APIError) else None


def _parameters(request: CompletionRequest) -> dict[str, Any]:
    turns = request.prompt.turns
    system = [turn.text for turn in turns if turn.speaker is Speaker.SYSTEM and turn.text]
    parameters: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "messages": _messages(turns),
    }
    if request.prompt.has_tools:
        parameters |= _tools(request.prompt)
    if system:
        parameters["system"] = "\n\n".join(system)
    if request.answer_schema is not None:
        # Constraints the API does not know become descriptions; the full schema is checked later.
        schema = anthropic.transform_schema(request.answer_schema)
        parameters["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if _SAMPLING_MODELS.fullmatch(request.model):
        parameters["extra_body"] = {"temperature": min(request.temperature, TEMPERATURE_MAX)}
    return parameters


def _messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """Results of tools are the user's, and stand first in the one message after the calls."""
    messages: list[dict[str, Any]] = []
    after_tool = False
    for turn in turns:
        if turn.speaker is Speaker.SYSTEM:
            continue
        is_tool = turn.speaker is Speaker.TOOL
        # The API refuses a text without a character, which some say beside a call.
        parts = [part for part in turn.parts if not (turn.calls and _is_silent(part))]
        content = [_part(part) for part in parts]
        if after_tool and turn.speaker in (Speaker.TOOL, Speaker.USER):
            messages[-1]["content"] += content
        else:
            role = Speaker.USER if is_tool else turn.speaker
            messages.append({"role": role.value, "content": content})
        after_tool = is_tool
    return messages


def _is_silent(part: Part) -> bool:
    return isinstance(part, TextPart) and not part.text.strip()


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart():
            data = base64.b64encode(part.data).decode("ascii")
            source = {"type": "base64", "media_type": part.media_type, "data": data}
            return {"type": "image", "source": source}
        case ToolCallPart():
            called = {"id": _id(part.call_id), "name": part.name}
            return {"type": "tool_use", **called, "input": read_object(part.arguments)}
        case ToolResultPart():
            answered = {"tool_use_id": _id(part.call_id), "content": part.text}
            return {"type": "tool_result", **answered}


def _id(call_id: str) -> str:
    """The API takes no dot and no colon in an id, and other vendors' models give both."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call_id)


def _tools(prompt: Prompt) -> dict[str, Any]:
    if not prompt.tools:
        # Earlier calls are refused without any definition; these may be called no more.
        called = dict.fromkeys(call.name for turn in prompt.turns for call in turn.calls)
        stand_ins = [_tool(ToolDefinition(name=name)) for name in called]
        return {"tools": stand_ins, "tool_choice": {"type": "none"}}
    choice = prompt.tool_choice
    stated: dict[str, Any]
    match choice:
        case NamedTool(name=name):
            stated = {"type": "tool", "name": name}
        case ToolChoiceMode.REQUIRED:
            stated = {"type": "any"}
        case ToolChoiceMode():
            stated = {"type": choice.value}
    return {"tools": [_tool(tool) for tool in prompt.tools], "tool_choice": stated}


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    schema = tool.parameters or {"type": "object", "properties": {}}
    written: dict[str, Any] = {"name": tool.name, "input_schema": schema}
    if tool.description:
        written["description"] = tool.description
    if tool.strict is not None:
        written["strict"] = tool.strict
    return written


class _Wire(BaseModel):
    """Read from the SDK's objects, which it builds without checking any type."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


class _OutputDetails(_Wire):
    thinking_tokens: int | None = None


class _Usage(_Wire):
    """Counts are cumulative; an event leaves out those that did not change."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Message(_Wire):
    model: str
    usage: object = None


class _Block(_Wire):
    type: str | None = None
    id: str | None = None
    name: str | None = None
    input: object = None


class _Delta(_Wire):
    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class _Event(_Wire):
    type: str
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: object = None


async def _read_events(events: AsyncIterator[RawMessageStreamEvent], reading: Reading) -> None:
    meter = _Meter()
    stop_reason: str | None = None
    async for raw in events:
        event = _event(raw)
        match event:
            case _Event(type="message_start", message=_Message() as message):
                reading.name_model(message.model)
                reading.usage = meter.read(message.usage)
            case _Event(type="content_block_start", content_block=_Block(type="tool_use") as call):
                reading.add_call(
                    event.index,
                    call_id=call.id or "",
                    name=call.name or "",
                    arguments=json.dumps(call.input) if call.input else "",
                )
            case _Event(type="content_block_delta", delta=_Delta(type="input_json_delta") as delta):
                reading.add_call(event.index, arguments=delta.partial_json or "")
            case _Event(type="content_block_delta", delta=_Delta() as delta):
                reading.add(delta.text or "" if delta.type == "text_delta" else "")
            case _Event(type="message_delta", delta=_Delta() as delta):
                stop_reason = delta.stop_reason or stop_reason
                reading.usage = meter.read(event.usage)
            case _Event(type="message_stop") if stop_reason is not None:
                # The one proof that the answer is whole: a reason alone may precede a cut.
                reading.end(_FINISH.get(stop_reason, Kind.MALFORMED_RESPONSE))
            case _:
                reading.add("")


def _event(raw: RawMessageStreamEvent) -> _Event:
    try:
        return _Event.model_validate(raw)
    except ValidationError:
        pass
    raise UnreadableEventError


class _Meter:
    """The latest of each count; unknown for good once one could not be read."""

    def __init__(self) -> None:
        self._counts = _Usage()
        self._is_readable = True

    def read(self, usage: object) -> TokenUsage | None:
        if usage is None:
            return self._total()
        try:
            latest = _Usage.model_validate(usage)
        except ValidationError:
            self._is_readable = False
            return None
        self._counts = self._counts.model_copy(update=dict(_given(latest)))
        return self._total()

    def _total(self) -> TokenUsage | None:
        counts = self._counts
        if not self._is_readable or counts.input_tokens is None or counts.output_tokens is None:
            return None
        read = counts.cache_read_input_tokens or 0
        written = counts.cache_creation_input_tokens or 0
        details = counts.output_tokens_details or _OutputDetails()
        if min(counts.input_tokens, read, written) < 0:
            return None
        return metered(
            # The vendor counts what was cached apart from input_tokens.
            input_tokens=counts.input_tokens + read + written,
            output_tokens=counts.output_tokens,
            cached_input_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=details.thinking_tokens or 0,
        )


def _given(usage: _Usage) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in usage if value is not None]
