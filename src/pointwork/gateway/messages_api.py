"""``POST /v1/messages``: Anthropic's API, as far as its clients need it, over the same tasks."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from pointwork.contract.outcome import FinishReason, TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer, Prompt
from pointwork.contract.task import OUTPUT_TOKENS_MAX
from pointwork.gateway.access import KeyFirst, Submitter
from pointwork.gateway.answered import governance
from pointwork.gateway.declaring import Asked
from pointwork.gateway.openai.messages import ChatMessage, ToolOffer, message_of, prompt_of, tool_of
from pointwork.gateway.passed_over import NEUTRAL, Asking, Neutral, unserved
from pointwork.gateway.problems import ProblemError, anthropic_error, bad_request
from pointwork.gateway.question import EventForm, Question
from pointwork.gateway.rules import Rules
from pointwork.gateway.wire_model import Items, WireModel

router = APIRouter(tags=["Anthropic"], route_class=KeyFirst)
_STOPS = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.CONTENT_FILTER: "refusal",
    FinishReason.TOOL_CALL: "tool_use",
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_SCHEMA_ELSEWHERE = "send it to /v1/chat/completions as response_format"
_REASONING = "leave it out; the catalogue says how much each model reasons"


class Block(WireModel):
    type: str
    text: str | None = None
    source: dict[str, Any] | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: "str | Items[Block] | None" = None


class Turn(WireModel):
    role: Literal["user", "assistant"]
    content: str | Items[Block]


class Tool(WireModel):
    """A tool of the caller's own; a vendor's server tools do not run here."""

    type: str | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_the_callers(self) -> Self:
        if self.type not in (None, "custom"):
            raise unserved("type", ("custom",), "offer tools that you run yourself")
        return self


class OutputConfig(Asking):
    passed_over: ClassVar[Neutral] = {}
    remedies: ClassVar[Mapping[str, str]] = {"format": _SCHEMA_ELSEWHERE, "effort": _REASONING}


class MessagesRequest(Asking):
    """The body of ``POST /v1/messages``."""

    passed_over: ClassVar[Neutral] = NEUTRAL | {
        "cache_control": None,
        "mcp_servers": ([],),
        "service_tier": ("auto", "standard_only"),
        "speed": ("standard",),
        "stop_sequences": ([],),
    }
    remedies: ClassVar[Mapping[str, str]] = {
        "output_format": _SCHEMA_ELSEWHERE,
        "response_format": _SCHEMA_ELSEWHERE,
        "thinking": _REASONING,
    }

    model: Annotated[str, Field(min_length=1, max_length=200)]
    max_tokens: Annotated[int, Field(ge=1, le=OUTPUT_TOKENS_MAX)]
    messages: Annotated[list[Turn], Field(min_length=1, max_length=2000)]
    system: str | Items[Block] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    tools: Items[Tool] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    stream: bool | None = False
    pointwork: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _calls_come_as_asked(self) -> Self:
        """A choice that names a tool, or none, brings no second call anyway."""
        choice = self.tool_choice or {}
        if choice.get("disable_parallel_tool_use") and choice.get("type") in ("auto", "any"):
            remedy = "leave it out, or name one tool"
            raise unserved("tool_choice.disable_parallel_tool_use", (False,), remedy)
        return self

    @property
    def prompt(self) -> Prompt:
        """The turns and tools as a task carries them.

        Raises:
            ProblemError: a block is not one, or of a kind that is not served.
        """
        messages: list[ChatMessage] = []
        if self.system:
            said = {"role": "system", "content": _texts("system", self.system)}
            messages.append(message_of("system", said))
        for index, turn in enumerate(self.messages):
            place = f"messages.{index}"
            messages.extend(message_of(place, each) for each in _messages(index, turn))
        offers = (
            ToolOffer(name=each.name, description=each.description, parameters=each.input_schema)
            for each in self.tools or ()
        )
        choice: str | dict[str, Any] | None = None
        if self.tool_choice is not None:
            kind = str(self.tool_choice.get("type"))
            choice = _CHOICES.get(kind) or {"name": self.tool_choice.get("name")}
        return prompt_of(messages, [tool_of(each) for each in offers], choice)


def _texts(place: str, content: str | list[Block] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if any(each.type != "text" for each in content):
        detail = f"{place}: only blocks of text are served there"
        raise bad_request("unsupported_content", detail, place)
    return "\n".join(each.text or "" for each in content)


def _messages(index: int, turn: Turn) -> Iterator[dict[str, Any]]:
    """A turn as chat messages: what tools answered comes first, as it does in the turn."""
    if isinstance(turn.content, str):
        yield {"role": turn.role, "content": turn.content}
        return
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for number, block in enumerate(turn.content):
        place = f"messages.{index}.content.{number}"
        match block.type:
            case "text":
                parts.append({"type": "text", "text": block.text or ""})
            case "image":
                parts.append({"type": "image_url", "image_url": _data_url(place, block)})
            case "tool_use":
                called = {"name": block.name, "arguments": json.dumps(block.input or {})}
                calls.append({"id": block.id, "function": called})
            case "tool_result":
                text = _texts(place, block.content)
                yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": text}
            case other:
                detail = f"{place}.type: {other[:40]!r} is not served; send text"
                raise bad_request("unsupported_content", detail, place)
    if parts or calls:
        yield {"role": turn.role, "content": parts, **({"tool_calls": calls} if calls else {})}


def _data_url(place: str, block: Block) -> str:
    source = block.source or {}
    if source.get("type") != "base64":
        detail = f"{place}.source: give the image itself as base64; nothing is fetched"
        raise bad_request("unsupported_image", detail, place)
    return f"data:{source.get('media_type')};base64,{source.get('data')}"


@router.post("/messages", response_model=None)
async def create_message(
    body: MessagesRequest, request: Request, caller: Submitter, rules: Rules
) -> Response:
    """Answer as one durable task; 202 with a link where a person must decide first."""
    limits = {"max_output_tokens": body.max_tokens, "temperature": body.temperature}
    asked = Asked(body.model, body.pointwork, limits)
    question = Question(request, caller, rules, asked, body.prompt)
    if body.stream:
        return await question.streamed(MessageEvents(question.task_id, body.model))
    return await question.whole(_message)


def _message(outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> dict[str, Any]:
    return {
        **_opening(outcome.task_id, outcome.served_model or ""),
        "content": list(_blocks(answer)),
        "stop_reason": _STOPS[outcome.finish_reason or FinishReason.STOP],
        "usage": _usage(tokens),
        "pointwork": governance(outcome),
    }


def _opening(task_id: str, model: str) -> dict[str, Any]:
    return {
        "id": f"msg_{task_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    }


def _usage(tokens: TokenUsage) -> dict[str, int]:
    cached, written = tokens.cached_input_tokens, tokens.cache_write_tokens
    return {
        # Theirs counts what came from a cache, or went into it, beside the input.
        "input_tokens": max(0, tokens.input_tokens - cached - written),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
        "output_tokens": tokens.output_tokens,
    }


def _blocks(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.text or not answer.tool_calls:
        yield {"type": "text", "text": answer.text}
    for call in answer.tool_calls:
        given = json.loads(call.arguments)
        yield {"type": "tool_use", "id": call.call_id, "name": call.name, "input": given}


class MessageEvents(EventForm):
    """The typed events of a streamed message."""

    def __init__(self, task_id: str, model: str) -> None:
        self._task_id = task_id
        self._model = model
        self._has_text = False

    def opened(self) -> Iterator[str]:
        yield _event("message_start", message=_opening(self._task_id, self._model))

    def text(self, piece: str) -> Iterator[str]:
        if not self._has_text:
            self._has_text = True
            block = {"type": "text", "text": ""}
            yield _event("content_block_start", index=0, content_block=block)
        delta = {"type": "text_delta", "text": piece}
        yield _event("content_block_delta", index=0, delta=delta)

    def closed(self, outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> Iterator[str]:
        if self._has_text:
            yield _event("content_block_stop", index=0)
        for index, call in enumerate(answer.tool_calls, start=int(self._has_text)):
            block = {"type": "tool_use", "id": call.call_id, "name": call.name, "input": {}}
            yield _event("content_block_start", index=index, content_block=block)
            delta = {"type": "input_json_delta", "partial_json": call.arguments}
            yield _event("content_block_delta", index=index, delta=delta)
            yield _event("content_block_stop", index=index)
        message = _message(outcome, answer, tokens)
        ended = {"stop_reason": message["stop_reason"], "stop_sequence": None}
        yield _event("message_delta", delta=ended, usage=message["usage"])
        yield _event("message_stop", pointwork=message["pointwork"])

    def failed(self, problem: ProblemError) -> Iterator[str]:
        yield _event("error", error=anthropic_error(problem)["error"])


def _event(kind: str, **fields: Any) -> str:
    data = json.dumps({"type": kind, **fields}, separators=(",", ":"), default=str)
    return f"event: {kind}\ndata: {data}\n\n"
