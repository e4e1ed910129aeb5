"""The three wire formats as their vendors write them, and what each says when it refuses."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.fakes.vendor_reply import Received, Reply

INPUT_TOKENS = 40
CACHED_TOKENS = 16
OUTPUT_TOKENS = 12
REASONING_TOKENS = 5
REQUEST_ID = "req-0a1b2c"


def sse(data: object, event: str | None = None) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    name = "" if event is None else f"event: {event}\n"
    return f"{name}data: {text}\n\n".encode()


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a request said, in one form for the three formats."""

    model: str
    system: str
    roles: list[str]
    images: list[tuple[str, str]]
    """Media type and base64 data."""
    max_output_tokens: int
    answer_schema: dict[str, Any] | None


class Wire(Protocol):
    """``refusals`` maps a situation to status and body; ``echo`` stands in every error text."""

    def opening(self, model: str) -> list[bytes]: ...

    def text(self, piece: str, model: str) -> bytes: ...

    def ending(self, model: str, *, finish: str = "stop", usage: bool = True) -> list[bytes]: ...

    def stream_error(self, echo: str) -> bytes: ...

    def refusals(self, echo: str) -> Mapping[str, tuple[int, object]]: ...

    def sent(self, received: Received) -> Sent: ...

    def key(self, received: Received) -> str | None: ...

    def broken_event(self, echo: str) -> bytes: ...

    def odd_event(self) -> bytes: ...


def answer(wire: Wire, pieces: Sequence[str], model: str, **ending: Any) -> Reply:
    """A whole answer."""
    script = [*wire.opening(model), *(wire.text(piece, model) for piece in pieces)]
    script += wire.ending(model, **ending)
    return Reply(headers={"x-request-id": REQUEST_ID}, script=tuple(script))


class OpenAIWire:
    def _chunk(self, model: str, **fields: Any) -> bytes:
        chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        return sse({**chunk, "choices": [], **fields})

    def opening(self, model: str) -> list[bytes]:
        delta = {"role": "assistant", "content": None}
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        return [self._chunk(model, choices=[choice])]

    def text(self, piece: str, model: str) -> bytes:
        choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
        return self._chunk(model, choices=[choice])

    def ending(self, model: str, *, finish: str = "stop", usage: bool = True) -> list[bytes]:
        choice = {"index": 0, "delta": {}, "finish_reason": finish}
        meter = {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": OUTPUT_TOKENS,
            "total_tokens": INPUT_TOKENS + OUTPUT_TOKENS,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS},
            "completion_tokens_details": {"reasoning_tokens": REASONING_TOKENS},
        }
        metering = [self._chunk(model, usage=meter)] if usage else []
        return [self._chunk(model, choices=[choice]), *metering, sse("[DONE]")]

    def stream_error(self, echo: str) -> bytes:
        return sse({"error": {"message": echo, "type": "server_error", "code": None}})

    def broken_event(self, echo: str) -> bytes:
        return f'data: {{"choices": [{{"delta": {{"content": "{echo}\n\n'.encode()

    def odd_event(self) -> bytes:
        return sse({"model": "m", "choices": "none", "created": []})

    def refusals(self, echo: str) -> Mapping[str, tuple[int, object]]:
        def body(kind: str, code: str | None = None) -> object:
            return {"error": {"message": echo, "type": kind, "param": None, "code": code}}

        return {
            "rate limited": (429, body("requests", "rate_limit_exceeded")),
            "quota exhausted": (429, body("insufficient_quota", "insufficient_quota")),
            "overloaded": (503, body("server_error")),
            "server error": (500, body("server_error")),
            "request timeout": (408, body("timeout")),
            "invalid": (400, body("invalid_request_error")),
            "too long": (400, body("invalid_request_error", "context_length_exceeded")),
            "bad key": (401, body("invalid_request_error", "invalid_api_key")),
            "forbidden": (403, body("permission_error")),
            "no such model": (404, body("invalid_request_error", "model_not_found")),
            "filtered": (400, body("invalid_request_error", "content_policy_violation")),
        }

    def sent(self, received: Received) -> Sent:
        body = received.body
        messages = body["messages"]
        parts = [
            part
            for message in messages
            if isinstance(message["content"], list)
            for part in message["content"]
        ]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        halves = [url.removeprefix("data:").split(";base64,") for url in urls]
        response_format = body.get("response_format", {})
        return Sent(
            model=body["model"],
            system="\n\n".join(m["content"] for m in messages if m["role"] == "system"),
            roles=[m["role"] for m in messages if m["role"] != "system"],
            images=[(media_type, data) for media_type, data in halves],
            max_output_tokens=body.get("max_tokens") or body["max_completion_tokens"],
            answer_schema=response_format.get("json_schema", {}).get("schema"),
        )

    def key(self, received: Received) -> str | None:
        value = received.headers.get("authorization")
        return None if value is None else value.removeprefix("Bearer ")


class LlamaCppWire(OpenAIWire):
    """llama.cpp's server refuses in its own words."""

    def refusals(self, echo: str) -> Mapping[str, tuple[int, object]]:
        def body(status: int, kind: str, **more: int) -> object:
            return {"error": {"code": status, "message": echo, "type": kind, **more}}

        return {
            "overloaded": (503, body(503, "unavailable_error")),
            "server error": (500, body(500, "server_error")),
            "invalid": (400, body(400, "invalid_request_error")),
            "too long": (
                400,
                body(400, "exceed_context_size_error", n_prompt_tokens=9000, n_ctx=4096),
            ),
            "bad key": (401, body(401, "authentication_error")),
        }


class AnthropicWire:
    def opening(self, model: str) -> list[bytes]:
        usage = {
            "input_tokens": INPUT_TOKENS - CACHED_TOKENS,
            "cache_read_input_tokens": CACHED_TOKENS,
            "cache_creation_input_tokens": 0,
            "output_tokens": 1,
        }
        message: dict[str, object] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "usage": usage,
        }
        block = {"type": "text", "text": ""}
        return [
            sse({"type": "message_start", "message": message}, "message_start"),
            sse(
                {"type": "content_block_start", "index": 0, "content_block": block},
                "content_block_start",
            ),
            sse({"type": "ping"}, "ping"),
        ]

    def text(self, piece: str, model: str) -> bytes:
        delta = {"type": "text_delta", "text": piece}
        event = {"type": "content_block_delta", "index": 0, "delta": delta}
        return sse(event, "content_block_delta")

    def ending(self, model: str, *, finish: str = "stop", usage: bool = True) -> list[bytes]:
        reason = {
            "stop": "end_turn",
            "length": "max_tokens",
            "content_filter": "refusal",
            "tool_calls": "tool_use",
        }[finish]
        delta = {"type": "message_delta", "delta": {"stop_reason": reason}}
        meter = {
            "output_tokens": OUTPUT_TOKENS,
            "output_tokens_details": {"thinking_tokens": REASONING_TOKENS},
        }
        unreadable = {"output_tokens": "many"}
        return [
            sse({"type": "content_block_stop", "index": 0}, "content_block_stop"),
            sse({**delta, "usage": meter if usage else unreadable}, "message_delta"),
            sse({"type": "message_stop"}, "message_stop"),
        ]

    def stream_error(self, echo: str) -> bytes:
        error = {"type": "error", "error": {"type": "overloaded_error", "message": echo}}
        return sse(error, "error")

    def broken_event(self, echo: str) -> bytes:
        return f'event: content_block_delta\ndata: {{"delta": {{"text": "{echo}\n\n'.encode()

    def odd_event(self) -> bytes:
        return sse({"type": "content_block_delta", "delta": [7]}, "content_block_delta")

    def refusals(self, echo: str) -> Mapping[str, tuple[int, object]]:
        def body(kind: str, message: str = echo) -> object:
            return {"type": "error", "error": {"type": kind, "message": message}}

        return {
            "rate limited": (429, body("rate_limit_error")),
            "quota exhausted": (
                400,
                body("invalid_request_error", f"Your credit balance is too low. {echo}"),
            ),
            "overloaded": (529, body("overloaded_error")),
            "server error": (500, body("api_error")),
            "request timeout": (504, body("timeout_error")),
            "invalid": (400, body("invalid_request_error")),
            "too long": (
                400,
                body("invalid_request_error", f"prompt is too long: 9 tokens > 8 maximum {echo}"),
            ),
            "bad key": (401, body("authentication_error")),
            "forbidden": (403, body("permission_error")),
            "no such model": (404, body("not_found_error")),
        }

    def sent(self, received: Received) -> Sent:
        body = received.body
        parts = [part for message in body["messages"] for part in message["content"]]
        images = [part["source"] for part in parts if part["type"] == "image"]
        return Sent(
            model=body["model"],
            system=body.get("system", ""),
            roles=[message["role"] for message in body["messages"]],
            images=[(source["media_type"], source["data"]) for source in images],
            max_output_tokens=body["max_tokens"],
            answer_schema=body.get("output_config", {}).get("format", {}).get("schema"),
        )

    def key(self, received: Received) -> str | None:
        return received.headers.get("x-api-key")


def _plain_base64(data: str) -> str:
    return base64.b64encode(base64.urlsafe_b64decode(data)).decode()


class GoogleWire:
    def _chunk(self, model: str, **fields: Any) -> bytes:
        return sse({"modelVersion": model, "responseId": REQUEST_ID, **fields})

    def opening(self, model: str) -> list[bytes]:
        thought = {"parts": [{"text": "thinking aloud", "thought": True}], "role": "model"}
        return [self._chunk(model, candidates=[{"index": 0, "content": thought}])]

    def text(self, piece: str, model: str) -> bytes:
        content = {"parts": [{"text": piece}], "role": "model"}
        return self._chunk(model, candidates=[{"index": 0, "content": content}])

    def ending(self, model: str, *, finish: str = "stop", usage: bool = True) -> list[bytes]:
        reason = {
            "stop": "STOP",
            "length": "MAX_TOKENS",
            "content_filter": "SAFETY",
            # A call ends an answer of Gemini's as words do.
            "tool_calls": "STOP",
        }[finish]
        meter = {
            "promptTokenCount": INPUT_TOKENS,
            "candidatesTokenCount": OUTPUT_TOKENS - REASONING_TOKENS,
            "thoughtsTokenCount": REASONING_TOKENS,
            "cachedContentTokenCount": CACHED_TOKENS,
            "totalTokenCount": INPUT_TOKENS + OUTPUT_TOKENS,
        }
        metering = {"usageMetadata": meter} if usage else {}
        candidate = {"index": 0, "finishReason": reason}
        return [self._chunk(model, candidates=[candidate], **metering)]

    def stream_error(self, echo: str) -> bytes:
        return sse({"error": {"code": 503, "message": echo, "status": "UNAVAILABLE"}})

    def broken_event(self, echo: str) -> bytes:
        return f'data: {{"candidates": [{{"content": "{echo}\n\n'.encode()

    def odd_event(self) -> bytes:
        return sse({"candidates": [7]})

    def refusals(self, echo: str) -> Mapping[str, tuple[int, object]]:
        def body(code: int, status: str, message: str = echo, **detail: str) -> object:
            error = {"code": code, "message": message, "status": status, "details": [detail]}
            return {"error": error}

        return {
            "rate limited": (429, body(429, "RESOURCE_EXHAUSTED", retryDelay="7s")),
            "quota exhausted": (
                429,
                body(
                    429, "RESOURCE_EXHAUSTED", quotaId="GenerateRequestsPerDayPerProject-FreeTier"
                ),
            ),
            "overloaded": (503, body(503, "UNAVAILABLE")),
            "server error": (500, body(500, "INTERNAL")),
            "request timeout": (504, body(504, "DEADLINE_EXCEEDED")),
            "invalid": (400, body(400, "INVALID_ARGUMENT")),
            "too long": (
                400,
                body(
                    400,
                    "INVALID_ARGUMENT",
                    f"The input token count (9) exceeds the maximum number of tokens {echo}",
                ),
            ),
            "bad key": (400, body(400, "INVALID_ARGUMENT", reason="API_KEY_INVALID")),
            "forbidden": (403, body(403, "PERMISSION_DENIED")),
            "no such model": (404, body(404, "NOT_FOUND")),
        }

    def sent(self, received: Received) -> Sent:
        body = received.body
        parts = [part for content in body["contents"] for part in content["parts"]]
        images = [part["inlineData"] for part in parts if "inlineData" in part]
        system = body.get("systemInstruction", {}).get("parts", [])
        config = body["generationConfig"]
        return Sent(
            model=received.path.split("/models/")[1].split(":")[0],
            system="".join(part["text"] for part in system),
            roles=[c["role"].replace("model", "assistant") for c in body["contents"]],
            # The SDK writes this one name in snake case, and base64 in its URL form.
            images=[(image["mime_type"], _plain_base64(image["data"])) for image in images],
            max_output_tokens=config["maxOutputTokens"],
            answer_schema=config.get("responseJsonSchema"),
        )

    def key(self, received: Received) -> str | None:
        return received.headers.get("x-goog-api-key")
