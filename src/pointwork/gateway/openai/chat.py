"""``POST /v1/chat/completions``: any OpenAI client, governed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from pointwork.contract.outcome import TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer
from pointwork.gateway.access import Submitter
from pointwork.gateway.answering import StillRuns, accepted
from pointwork.gateway.declaring import Asked, declare
from pointwork.gateway.openai.completion import Chunks, completion, headers
from pointwork.gateway.openai.question import Question, Wire
from pointwork.gateway.openai.wire import ChatRequest

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter(tags=["OpenAI"])


@router.post("/chat/completions", response_model=None)
async def create_chat_completion(
    body: ChatRequest, request: Request, caller: Submitter
) -> Response:
    """Answer a chat request as one durable task.

    200 with the answer; 202 with a link where a person must decide first, or the answer takes
    longer than a request may stay open. The task goes on whatever happens to the request.
    """
    gateway: Gateway = request.app.state.gateway
    limits = {
        "max_output_tokens": body.output_tokens_asked or gateway.options.max_output_tokens,
        "temperature": body.temperature,
        "seed": body.seed,
    }
    asked = Asked(body.model, body.pointwork, limits)
    declared = declare(request, caller, gateway.library, asked, gateway.options.pack)
    question = Question(gateway, body.prompt, body.answer_schema, declared)
    if body.stream:
        return await question.streamed(caller.name, ChatEvents(question.task_id, body))
    async with gateway.calls.one(caller.name):
        found = await question.result()
    if isinstance(found, StillRuns):
        return accepted(found)
    answer, tokens = await question.answer(found)
    return JSONResponse(completion(found, answer, tokens), headers=headers(found))


class ChatEvents(Wire):
    """The chunks of a streamed chat completion, up to ``[DONE]``."""

    def __init__(self, task_id: str, body: ChatRequest) -> None:
        self._chunks = Chunks(task_id, int(datetime.now(UTC).timestamp()), body.model)
        self._has_usage = bool(body.stream_options and body.stream_options.include_usage)

    def opened(self) -> Iterator[str]:
        yield _event(self._chunks.first())

    def text(self, piece: str) -> Iterator[str]:
        yield from map(_event, self._chunks.text(piece))

    def closed(self, outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> Iterator[str]:
        if answer.tool_calls:
            yield _event(self._chunks.calls(answer.tool_calls))
        yield _event(self._chunks.last(outcome))
        if self._has_usage:
            yield _event(self._chunks.usage(tokens))
        yield "data: [DONE]\n\n"

    def failed(self, error: dict[str, Any]) -> Iterator[str]:
        yield _event(error)


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, separators=(',', ':'), default=str)}\n\n"
