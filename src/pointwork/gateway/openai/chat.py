"""``POST /v1/chat/completions``: any OpenAI client, governed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from pointwork.contract.outcome import TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer
from pointwork.gateway.access import KeyFirst, Submitter
from pointwork.gateway.declaring import Asked
from pointwork.gateway.openai.completion import Chunks, completion
from pointwork.gateway.openai.wire import ChatRequest
from pointwork.gateway.problems import ProblemError, openai_error
from pointwork.gateway.question import EventForm, Question
from pointwork.gateway.rules import Rules

router = APIRouter(tags=["OpenAI"], route_class=KeyFirst)


@router.post("/chat/completions", response_model=None)
async def create_chat_completion(
    body: ChatRequest, request: Request, caller: Submitter, rules: Rules
) -> Response:
    """Answer a chat request as one durable task.

    200 with the answer; 202 with a link where a person must decide first, or the answer takes
    longer than a request may stay open. The task goes on whatever happens to the request.
    """
    limits = {
        "max_output_tokens": body.output_tokens_asked,
        "temperature": body.temperature,
        "seed": body.seed,
    }
    asked = Asked(body.model, body.pointwork, limits)
    question = Question(request, caller, rules, asked, body.prompt, body.answer_schema)
    if body.stream:
        return await question.streamed(ChatEvents(question.task_id, body))
    return await question.whole(completion)


class ChatEvents(EventForm):
    """The chunks of a streamed chat completion, up to ``[DONE]``."""

    def __init__(self, task_id: str, body: ChatRequest) -> None:
        self._chunks = Chunks(task_id, int(datetime.now(UTC).timestamp()), body.model)
        self._has_usage = bool(body.stream_options and body.stream_options.include_usage)

    def opened(self) -> Iterator[str]:
        yield _event(self._chunks.first())

    def step(self, step: dict[str, Any]) -> Iterator[str]:
        yield _event(self._chunks.step(step))

    def text(self, piece: str) -> Iterator[str]:
        yield from map(_event, self._chunks.text(piece))

    def closed(self, outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> Iterator[str]:
        if answer.tool_calls:
            yield _event(self._chunks.calls(answer.tool_calls))
        yield _event(self._chunks.last(outcome))
        if self._has_usage:
            yield _event(self._chunks.usage(tokens))
        yield "data: [DONE]\n\n"

    def failed(self, problem: ProblemError) -> Iterator[str]:
        yield _event(openai_error(problem))


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, separators=(',', ':'), default=str)}\n\n"
