"""Tools, calls and results as the three wire formats write them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.fakes.vendor_reply import Received
from tests.fakes.vendor_wire import AnthropicWire, GoogleWire, Wire, sse


@dataclass(frozen=True, kw_only=True)
class SentTools:
    """What a request said of tools, in one form for the three formats."""

    offered: dict[str, Any]
    """Schema of the parameters by name."""
    descriptions: dict[str, str]
    choice: str
    """auto, none, required or a tool's name."""
    calls: list[tuple[str, str, Any]]
    """Id, name and arguments."""
    results: list[tuple[str, str]]
    """Id and text."""
    roles: list[str]


class ToolWire(Protocol):
    def call(
        self, index: int, call_id: str, name: str, pieces: Sequence[str], model: str
    ) -> list[bytes]:
        """A call whose arguments come in ``pieces``."""
        ...

    def sent(self, received: Received) -> SentTools: ...


def tool_wire(wire: Wire) -> ToolWire:
    match wire:
        case AnthropicWire():
            return _Anthropic()
        case GoogleWire():
            return _Google()
        case _:
            return _OpenAI()


class _OpenAI:
    def call(
        self, index: int, call_id: str, name: str, pieces: Sequence[str], model: str
    ) -> list[bytes]:
        first = {"id": call_id, "type": "function", "function": {"name": name, "arguments": ""}}
        more = [{"function": {"arguments": piece}} for piece in pieces]
        script: list[dict[str, Any]] = [first, *more]
        return [self._chunk({"index": index, **each}, model) for each in script]

    def _chunk(self, call: dict[str, Any], model: str) -> bytes:
        choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
        chunk = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        return sse({**chunk, "choices": [choice]})

    def sent(self, received: Received) -> SentTools:
        body = received.body
        functions = [tool["function"] for tool in body.get("tools", [])]
        choice = body.get("tool_choice", "auto")
        messages = body["messages"]
        calls = [call for message in messages for call in message.get("tool_calls", [])]
        return SentTools(
            offered={each["name"]: each["parameters"] for each in functions},
            descriptions={each["name"]: each.get("description", "") for each in functions},
            choice=choice if isinstance(choice, str) else choice["function"]["name"],
            calls=[
                (each["id"], each["function"]["name"], json.loads(each["function"]["arguments"]))
                for each in calls
            ],
            results=[
                (each["tool_call_id"], each["content"])
                for each in messages
                if each["role"] == "tool"
            ],
            roles=[each["role"] for each in messages],
        )


class _Anthropic:
    def call(
        self, index: int, call_id: str, name: str, pieces: Sequence[str], model: str
    ) -> list[bytes]:
        at = index + 1
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        start = {"type": "content_block_start", "index": at, "content_block": block}
        deltas = [
            {
                "type": "content_block_delta",
                "index": at,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in ("", *pieces)
        ]
        stop = {"type": "content_block_stop", "index": at}
        return [sse(each, str(each["type"])) for each in (start, *deltas, stop)]

    def sent(self, received: Received) -> SentTools:
        body = received.body
        choice = body.get("tool_choice", {"type": "auto"})
        kind = {"any": "required", "tool": choice.get("name", "")}.get(
            choice["type"], choice["type"]
        )
        parts = [part for message in body["messages"] for part in message["content"]]
        return SentTools(
            offered={each["name"]: each["input_schema"] for each in body.get("tools", [])},
            descriptions={
                each["name"]: each.get("description", "") for each in body.get("tools", [])
            },
            choice=kind,
            calls=[(p["id"], p["name"], p["input"]) for p in parts if p["type"] == "tool_use"],
            results=[(p["tool_use_id"], p["content"]) for p in parts if p["type"] == "tool_result"],
            roles=[message["role"] for message in body["messages"]],
        )


class _Google:
    def call(
        self, index: int, call_id: str, name: str, pieces: Sequence[str], model: str
    ) -> list[bytes]:
        call = {"id": call_id, "name": name, "args": json.loads("".join(pieces) or "{}")}
        part = {"functionCall": call, "thoughtSignature": "c2lnbmVk"}
        content = {"parts": [part], "role": "model"}
        candidate = {"index": 0, "content": content}
        return [sse({"modelVersion": model, "candidates": [candidate]})]

    def sent(self, received: Received) -> SentTools:
        body = received.body
        declared = [each for tool in body.get("tools", []) for each in tool["functionDeclarations"]]
        config = body.get("toolConfig", {}).get("functionCallingConfig", {"mode": "AUTO"})
        [named] = config.get("allowedFunctionNames", [""])
        mode = named or {"ANY": "required"}.get(config["mode"], config["mode"].lower())
        parts = [part for content in body["contents"] for part in content["parts"]]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        results = [part["functionResponse"] for part in parts if "functionResponse" in part]
        assert all(part.get("thoughtSignature") for part in parts if "functionCall" in part)
        return SentTools(
            # The SDK writes this one name as the API's own definition has it.
            offered={each["name"]: each.get("parameters_json_schema", {}) for each in declared},
            descriptions={each["name"]: each.get("description", "") for each in declared},
            choice=mode,
            calls=[(each["id"], each["name"], each["args"]) for each in calls],
            results=[(each["id"], each["response"]["result"]) for each in results],
            roles=[content["role"] for content in body["contents"]],
        )
