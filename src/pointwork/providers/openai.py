"""OpenAI, and every endpoint that speaks its Chat Completions, on the ``openai`` SDK (DC-3)."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, ConfigDict, ValidationError

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import FinishReason
from pointwork.contract.prompt import ImagePart, Prompt, Speaker, TextPart, ToolCallPart, Turn
from pointwork.contract.tools import NamedTool, ToolChoiceMode, ToolDefinition
from pointwork.providers.call import Call, UnreadableEventError, clearance_for, parsed_events
from pointwork.providers.dialects import OPENAI, Dialect, SchemaForm
from pointwork.providers.egress import (
    KEY_PLACEHOLDER,
    Exchange,
    http_client,
    keep_content_out_of_logs,
)
from pointwork.providers.failures import provider_error, provider_request_id
from pointwork.providers.lookup import ATTEMPT_KEY, LookupKind, call_id_of
from pointwork.providers.openai_usage import token_usage
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress
from pointwork.providers.reading import Reading
from pointwork.providers.relays import RelayCheck

_SCHEMA_NAME = "answer"
_GENERATION_HEADER = "x-generation-id"
"""Where OpenRouter names the call before its first event."""

_FINISH: dict[str, FinishReason | Kind] = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
    "tool_calls": FinishReason.TOOL_CALL,
    "function_call": FinishReason.TOOL_CALL,
    # The endpoint gave up on an answer it had begun: vLLM, OpenRouter, DeepSeek.
    "abort": Kind.STREAM_INTERRUPTED,
    "error": Kind.STREAM_INTERRUPTED,
    "insufficient_system_resource": Kind.STREAM_INTERRUPTED,
}


class OpenAIProvider:
    """One endpoint. ``api_key`` is None where the endpoint asks for none.

    ``lookup`` says how a call whose fate is unknown is found again, and is None where it cannot.
    """

    def __init__(
        self,
        endpoint: str,
        base_url: str,
        api_key: str | None,
        *,
        dialect: Dialect = OPENAI,
        lookup: LookupKind | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        keep_content_out_of_logs("openai._base_client")
        credential = None if api_key is None else ("authorization", f"Bearer {api_key}")
        self._endpoint = endpoint
        self._dialect = dialect
        self._lookup = lookup
        self._relays = (
            RelayCheck(base_url, credential, transport=transport) if dialect.tells_relays else None
        )
        self._client = openai.AsyncOpenAI(
            api_key=KEY_PLACEHOLDER,
            base_url=base_url,
            max_retries=0,
            http_client=http_client(base_url, credential=credential, transport=transport),
        )

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """Call the model once, with no retry.

        Raises:
            ProviderError: the call failed.
        """
        if not await self._is_served_there(request):
            raise provider_error(self._endpoint, Kind.LOCAL_MODEL_UNAVAILABLE)
        reading = Reading(self._endpoint, request, on_progress, self._dialect.is_requested_model)
        call = Call(
            endpoint=self._endpoint,
            clearance=request.clearance,
            timeout_seconds=request.timeout_seconds,
            vendor_errors=(openai.OpenAIError,),
            error_body=_error_body,
        )

        async def read(exchange: Exchange) -> None:
            stream = await self._client.chat.completions.create(
                stream=True,
                extra_headers={"X-Client-Request-Id": request.request_id},
                **_parameters(request, self._dialect),
                **_findable(request, self._lookup),
            )
            reading.provider_request_id = provider_request_id(exchange.headers)
            started = _Started(self._lookup, request, reading)
            await started.name(exchange.headers.get(_GENERATION_HEADER, ""))
            await _read_chunks(parsed_events(exchange, aiter(stream)), reading, started)

        return await call.run(reading, read)

    async def aclose(self) -> None:
        await self._client.close()
        if self._relays is not None:
            await self._relays.aclose()

    async def _is_served_there(self, request: CompletionRequest) -> bool:
        """False for a model that its server would pass on to a cloud, or does not vouch for."""
        if self._dialect.relayed_models.fullmatch(request.model):
            return False
        if self._relays is None:
            return True
        return await self._relays.is_own(
            request.model, clearance_for(self._endpoint, request.clearance)
        )


def _error_body(error: Exception) -> object:
    return error.body if isinstance(error, openai.APIError) else None


class _Started:
    """Tells the vendor's id of the call once, as soon as a header or an event names it."""

    def __init__(
        self, lookup: LookupKind | None, request: CompletionRequest, reading: Reading
    ) -> None:
        self._is_due = lookup is not None
        self._on_started = request.on_started
        self._reading = reading

    async def name(self, stated: str) -> None:
        call_id = call_id_of(stated) if self._is_due else ""
        if not call_id:
            return
        self._is_due = False
        self._reading.provider_request_id = call_id
        if self._on_started is not None:
            await self._on_started(call_id)


def _findable(request: CompletionRequest, lookup: LookupKind | None) -> dict[str, Any]:
    """What a vendor needs to keep a call, and to find it by our own id where its id was lost."""
    if lookup is not LookupKind.OPENAI_STORED:
        return {}
    return {"store": True, "metadata": {ATTEMPT_KEY: request.request_id}}


def _parameters(request: CompletionRequest, dialect: Dialect) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "model": request.model,
        "messages": _messages(request, dialect),
        "stream_options": {"include_usage": True},
        dialect.token_limit.value: request.max_output_tokens,
    }
    if dialect.sampling_models.fullmatch(request.model):
        parameters["temperature"] = min(request.temperature, dialect.temperature_max)
    if request.seed is not None and dialect.takes_seed:
        parameters["seed"] = request.seed
    if request.answer_schema is not None:
        parameters["response_format"] = _response_format(request.answer_schema, dialect)
    if request.prompt.tools:
        parameters |= _tools(request.prompt, dialect)
    if request.effort is not None and dialect.takes_effort:
        parameters["reasoning_effort"] = request.effort
    seeded = dialect.seeded_body if "seed" in parameters else {}
    if dialect.extra_body or seeded:
        parameters["extra_body"] = {**dialect.extra_body, **seeded}
    return parameters


def _response_format(schema: dict[str, Any], dialect: Dialect) -> dict[str, Any]:
    if dialect.schema_form is SchemaForm.JSON_OBJECT:
        return {"type": "json_object"}
    return {
        "type": "json_schema",
        "json_schema": {"name": _SCHEMA_NAME, "strict": _is_closed(schema), "schema": schema},
    }


def _is_closed(schema: object) -> bool:
    """Whether strict mode takes the schema: every object lists all it may hold and requires it."""
    if isinstance(schema, list):
        return all(_is_closed(item) for item in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, dict):
        names = set(properties) if isinstance(properties, dict) else set()
        required = schema.get("required", [])
        if schema.get("additionalProperties") is not False or set(required) != names:
            return False
    return all(_is_closed(value) for value in schema.values())


def _messages(request: CompletionRequest, dialect: Dialect) -> list[dict[str, Any]]:
    messages = [each for turn in request.prompt.turns for each in _messages_of(turn)]
    if request.answer_schema is not None and dialect.schema_form is SchemaForm.JSON_OBJECT:
        schema = json.dumps(request.answer_schema, ensure_ascii=False)
        rule = f"Answer with one JSON object that satisfies this JSON Schema: {schema}"
        messages.insert(0, {"role": Speaker.SYSTEM.value, "content": rule})
    return messages


def _messages_of(turn: Turn) -> list[dict[str, Any]]:
    """One message; of a tool turn, one for each result."""
    if turn.speaker is Speaker.TOOL:
        return [
            {"role": "tool", "tool_call_id": each.call_id, "content": each.text}
            for each in turn.results
        ]
    # Text alone goes as a string: several endpoints refuse a list of parts where no image is.
    shown = [part for part in turn.parts if isinstance(part, TextPart | ImagePart)]
    has_image = any(isinstance(part, ImagePart) for part in shown)
    content = [_part(part) for part in shown] if has_image else turn.text
    message: dict[str, Any] = {"role": turn.speaker.value, "content": content}
    if turn.calls:
        message |= {"content": content or None, "tool_calls": [_call(each) for each in turn.calls]}
    return [message]


def _call(call: ToolCallPart) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.call_id, "type": "function", "function": function}


def _tools(prompt: Prompt, dialect: Dialect) -> dict[str, Any]:
    offered, choice = prompt.tools, prompt.tool_choice
    stated: str | dict[str, Any]
    match choice:
        case NamedTool(name=name) if dialect.takes_named_tool:
            stated = {"type": "function", "function": {"name": name}}
        case NamedTool(name=name):
            offered = tuple(tool for tool in offered if tool.name == name)
            stated = ToolChoiceMode.REQUIRED.value
        case ToolChoiceMode():
            stated = choice.value
    return {"tools": [_tool(tool, dialect) for tool in offered], "tool_choice": stated}


def _tool(tool: ToolDefinition, dialect: Dialect) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "parameters": tool.parameters or {"type": "object", "properties": {}},
    }
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None and dialect.takes_strict:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        data = base64.b64encode(part.data).decode("ascii")
        url = f"data:{part.media_type};base64,{data}"
        # Left to "auto", later models look at the original's every pixel, for many times the price.
        return {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
    return {"type": "text", "text": part.text}


class _Wire(BaseModel):
    """Read from the SDK's objects, which it builds without checking any type."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


class _Function(_Wire):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(_Wire):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Delta(_Wire):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(_Wire):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(_Wire):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: object = None


async def _read_chunks(
    chunks: AsyncIterator[ChatCompletionChunk], reading: Reading, started: _Started
) -> None:
    is_refused = False
    async for event in chunks:
        chunk = _chunk(event)
        await started.name(chunk.id or "")
        reading.name_model(chunk.model or "")
        if chunk.usage is not None:
            reading.usage = token_usage(chunk.usage)
        for choice in chunk.choices or ():
            if choice.index != 0:
                continue
            delta = choice.delta or _Delta()
            is_refused = is_refused or bool(delta.refusal)
            reading.add(delta.content or "")
            for call in delta.tool_calls or ():
                asked = call.function or _Function()
                reading.add_call(
                    call.index,
                    call_id=call.id or "",
                    name=asked.name or "",
                    arguments=asked.arguments or "",
                )
            if choice.finish_reason is not None:
                reading.end(_FINISH.get(choice.finish_reason, Kind.MALFORMED_RESPONSE))
    if is_refused:
        reading.end(FinishReason.CONTENT_FILTER)


def _chunk(event: ChatCompletionChunk) -> _Chunk:
    try:
        return _Chunk.model_validate(event)
    except ValidationError:
        pass
    raise UnreadableEventError
