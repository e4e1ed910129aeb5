"""``POST /v1/responses``: the basics of OpenAI's newer API, as one durable task each.

The conversation is sent whole with every request: nothing is kept between two of them but the
record, so ``previous_response_id`` is refused rather than forgotten.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from pointwork.contract.outcome import TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer, Prompt
from pointwork.contract.task import OUTPUT_TOKENS_MAX
from pointwork.gateway.access import KeyFirst, Submitter
from pointwork.gateway.answered import governance
from pointwork.gateway.declaring import Asked
from pointwork.gateway.openai.messages import ToolOffer, message_of, prompt_of, tool_of
from pointwork.gateway.openai.wire import one_call_at_a_time
from pointwork.gateway.passed_over import NEUTRAL, Asking, Neutral
from pointwork.gateway.problems import ProblemError, bad_request
from pointwork.gateway.question import EventForm, Question
from pointwork.gateway.rules import Rules
from pointwork.gateway.wire_model import Items, WireModel

router = APIRouter(tags=["OpenAI"], route_class=KeyFirst)
_ITEMS_MAX = 10_000
_WHOLE = "send the whole conversation as input"
_CHUNK_CHARACTERS = 400


class TextFormat(WireModel):
    type: Literal["text", "json_object", "json_schema"] = "text"
    schema_: dict[str, Any] | None = Field(alias="schema", default=None)


class TextOptions(Asking):
    passed_over: ClassVar[Neutral] = {"verbosity": NEUTRAL["verbosity"]}

    format: TextFormat = TextFormat()


class ResponseTool(ToolOffer):
    type: Literal["function"]


class ResponseRequest(Asking):
    """The body of ``POST /v1/responses``."""

    passed_over: ClassVar[Neutral] = NEUTRAL | {
        "background": (False,),
        "context_management": ([],),
        "include": ([],),
        "reasoning": ({},),
        "stream_options": None,
        "truncation": ("disabled",),
    }
    remedies: ClassVar[Mapping[str, str]] = {
        "previous_response_id": _WHOLE,
        "conversation": _WHOLE,
        "prompt": _WHOLE,
        "max_tokens": "send it as max_output_tokens",
        "reasoning": "leave it out; the catalogue says how much each model reasons",
        "response_format": "send it as text.format",
        "store": "leave it out, and send the whole conversation as input each time",
    }

    model: Annotated[str, Field(min_length=1, max_length=200)]
    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[dict[str, Any]], Field(max_length=_ITEMS_MAX)]
    )
    instructions: str | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=OUTPUT_TOKENS_MAX)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    text: TextOptions = TextOptions()
    tools: Items[ResponseTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = False
    pointwork: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _calls_come_as_asked(self) -> Self:
        one_call_at_a_time(self.parallel_tool_calls, self.tools, self.tool_choice)
        return self

    @property
    def answer_schema(self) -> dict[str, Any] | None:
        form = self.text.format
        if form.type == "text":
            return None
        return form.schema_ or {"type": "object"}

    @property
    def prompt(self) -> Prompt:
        """The turns and tools as a task carries them.

        Raises:
            ProblemError: an item is not one, or of a kind that is not served.
        """
        messages = []
        if self.instructions:
            said = {"role": "system", "content": self.instructions}
            messages.append(message_of("instructions", said))
        if isinstance(self.input, str):
            messages.append(message_of("input", {"role": "user", "content": self.input}))
        else:
            for index, each in enumerate(self.input):
                messages.append(message_of(f"input.{index}", _message(index, each)))
        choice = self.tool_choice
        if isinstance(choice, dict):
            choice = {"name": choice.get("name")}
        tools = [tool_of(each) for each in self.tools or ()]
        return prompt_of(messages, tools, choice)


def _message(index: int, item: dict[str, Any]) -> dict[str, Any]:
    """An item of the input as a chat message."""
    match item.get("type", "message"):
        case "message":
            return {"role": item.get("role", "user"), "content": item.get("content")}
        case "function_call":
            call = {
                "id": item.get("call_id"),
                "function": {"name": item.get("name"), "arguments": item.get("arguments")},
            }
            return {"role": "assistant", "tool_calls": [call]}
        case "function_call_output":
            output = item.get("output")
            text = output if isinstance(output, str) else json.dumps(output)
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": text}
        case other:
            detail = f"input.{index}.type: {str(other)[:40]!r} is not served; send messages"
            raise bad_request("unsupported_content", detail, f"input.{index}")


@router.post("/responses", response_model=None)
async def create_response(
    body: ResponseRequest, request: Request, caller: Submitter, rules: Rules
) -> Response:
    """Answer as one durable task; 202 with a link where a person must decide first."""
    limits = {"max_output_tokens": body.max_output_tokens, "temperature": body.temperature}
    asked = Asked(body.model, body.pointwork, limits)
    question = Question(request, caller, rules, asked, body.prompt, body.answer_schema)
    if body.stream:
        return await question.streamed(ResponseEvents(question.task_id, body.model))
    return await question.whole(response_body)


def response_body(outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> dict[str, Any]:
    """An answered task in the API's form."""
    is_cut = outcome.finish_reason == "length"
    return _body(outcome.task_id, outcome.started_at, outcome.served_model or "") | {
        "status": "incomplete" if is_cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": list(_output(outcome.task_id, answer)),
        "usage": {
            "input_tokens": tokens.input_tokens,
            "input_tokens_details": {"cached_tokens": tokens.cached_input_tokens},
            "output_tokens": tokens.output_tokens,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning_tokens},
            "total_tokens": tokens.input_tokens + tokens.output_tokens,
        },
        "pointwork": governance(outcome),
    }


def _body(task_id: str, started_at: datetime, model: str) -> dict[str, Any]:
    return {
        "id": f"resp_{task_id}",
        "object": "response",
        "created_at": int(started_at.timestamp()),
        "status": "in_progress",
        "model": model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _output(task_id: str, answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.text or not answer.tool_calls:
        yield _text_item(task_id, answer.text, "completed")
    for call in answer.tool_calls:
        yield {
            "type": "function_call",
            "id": f"fc_{call.call_id}",
            "call_id": call.call_id,
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }


def _text_item(task_id: str, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [_text_part(text)]
    return {
        "type": "message",
        "id": f"msg_{task_id}",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


class ResponseEvents(EventForm):
    """The typed events of a streamed response."""

    def __init__(self, task_id: str, model: str) -> None:
        self._task_id = task_id
        self._base = _body(task_id, datetime.now(UTC), model)
        self._sequence = 0
        self._text = ""

    def opened(self) -> Iterator[str]:
        yield self._event("response.created", response=self._base)
        yield self._event("response.in_progress", response=self._base)

    def text(self, piece: str) -> Iterator[str]:
        place = {"item_id": f"msg_{self._task_id}", "output_index": 0, "content_index": 0}
        if not self._text:
            item = _text_item(self._task_id, None, "in_progress")
            yield self._event("response.output_item.added", output_index=0, item=item)
            yield self._event("response.content_part.added", **place, part=_text_part(""))
        self._text += piece
        for start in range(0, len(piece), _CHUNK_CHARACTERS):
            delta = piece[start : start + _CHUNK_CHARACTERS]
            yield self._event("response.output_text.delta", **place, delta=delta, logprobs=[])

    def closed(self, outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> Iterator[str]:
        body = response_body(outcome, answer, tokens)
        for index, item in enumerate(body["output"]):
            if item["type"] == "message":
                if not self._text:
                    yield self._event("response.output_item.added", output_index=index, item=item)
                    continue
                place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
                part = _text_part(answer.text)
                yield self._event(
                    "response.output_text.done", **place, text=answer.text, logprobs=[]
                )
                yield self._event("response.content_part.done", **place, part=part)
            else:
                yield self._event("response.output_item.added", output_index=index, item=item)
                yield self._event(
                    "response.function_call_arguments.done",
                    item_id=item["id"],
                    output_index=index,
                    name=item["name"],
                    arguments=item["arguments"],
                )
            yield self._event("response.output_item.done", output_index=index, item=item)
        yield self._event("response.completed", response=body)

    def failed(self, problem: ProblemError) -> Iterator[str]:
        failure = {"code": problem.code, "message": problem.detail}
        yield self._event(
            "response.failed", response=self._base | {"status": "failed", "error": failure}
        )

    def _event(self, kind: str, **fields: Any) -> str:
        body = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        data = json.dumps(body, separators=(",", ":"), default=str)
        return f"event: {kind}\ndata: {data}\n\n"
