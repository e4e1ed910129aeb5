"""A recorded outcome as an OpenAI chat completion, whole or in chunks."""

from collections.abc import Iterator, Sequence
from typing import Any

from pointwork.contract.outcome import FinishReason, TaskOutcome, TokenUsage
from pointwork.contract.prompt import Answer
from pointwork.contract.tools import ToolCall
from pointwork.gateway.answered import governance

_FINISH = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CONTENT_FILTER: "content_filter",
    FinishReason.TOOL_CALL: "tool_calls",
}
_CHUNK_CHARACTERS = 400
"""Pieces in which an answer is sent that was held back until it was whole."""


def completion(outcome: TaskOutcome, answer: Answer, tokens: TokenUsage) -> dict[str, Any]:
    """The body of an answered ``POST /v1/chat/completions``."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tool_calls:
        message |= {"content": answer.text or None, "tool_calls": tool_calls(answer.tool_calls)}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(outcome)}
    return {
        "id": completion_id(outcome.task_id),
        "object": "chat.completion",
        "created": created(outcome),
        "model": outcome.served_model,
        "choices": [choice | {"logprobs": None}],
        "usage": usage(tokens),
        "pointwork": governance(outcome),
    }


def tool_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    """The calls that the model asks its caller to make."""
    return [
        {
            "id": each.call_id,
            "type": "function",
            "function": {"name": each.name, "arguments": each.arguments},
        }
        for each in calls
    ]


def completion_id(task_id: str) -> str:
    return f"chatcmpl-{task_id}"


def created(outcome: TaskOutcome) -> int:
    return int(outcome.started_at.timestamp())


def finish_reason(outcome: TaskOutcome) -> str:
    return _FINISH[outcome.finish_reason or FinishReason.STOP]


def usage(found: TokenUsage) -> dict[str, Any]:
    return {
        "prompt_tokens": found.input_tokens,
        "completion_tokens": found.output_tokens,
        "total_tokens": found.input_tokens + found.output_tokens,
        "prompt_tokens_details": {"cached_tokens": found.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": found.reasoning_tokens},
    }


class Chunks:
    """The chunks of one streamed completion, in order."""

    def __init__(self, task_id: str, created: int, model: str) -> None:
        self._base = {
            "id": completion_id(task_id),
            "object": "chat.completion.chunk",
            "created": created,
        }
        self._model = model

    def first(self) -> dict[str, Any]:
        return self._chunk({"role": "assistant", "content": ""})

    def step(self, step: dict[str, Any]) -> dict[str, Any]:
        """No text: what happens to the task, beside what the API knows (JG-63, JG-64)."""
        return self._chunk({}) | {"pointwork": step}

    def text(self, piece: str) -> Iterator[dict[str, Any]]:
        """A piece of the answer; one that was held back, in pieces that a client can draw."""
        for start in range(0, len(piece), _CHUNK_CHARACTERS):
            yield self._chunk({"content": piece[start : start + _CHUNK_CHARACTERS]})

    def calls(self, calls: Sequence[ToolCall]) -> dict[str, Any]:
        made = tool_calls(calls)
        return self._chunk({"tool_calls": [{"index": at, **each} for at, each in enumerate(made)]})

    def last(self, outcome: TaskOutcome) -> dict[str, Any]:
        self._model = outcome.served_model or self._model
        chunk = self._chunk({}, finish_reason(outcome))
        return chunk | {"pointwork": governance(outcome)}

    def usage(self, tokens: TokenUsage) -> dict[str, Any]:
        return {**self._base, "model": self._model, "choices": [], "usage": usage(tokens)}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**self._base, "model": self._model, "choices": [choice]}
