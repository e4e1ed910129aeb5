"""A prompt as the stretches of text that may be replaced in it, and those that must stay.

What is read stands as one text, so that a value is found by what stands before it, such as its key
in a call's arguments. Names of tools and of parameters must stay: the caller's code knows them.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from pointwork.contract.json_strings import (
    JsonString,
    Place,
    around,
    read_object,
    with_strings,
)
from pointwork.contract.prompt import (
    ImagePart,
    Part,
    Prompt,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from pointwork.contract.tools import ToolDefinition

_BREAK = "\n"
_STRUCTURE = frozenset(
    {
        *("$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "$schema"),
        *("contentEncoding", "contentMediaType", "format", "pattern", "required", "type"),
    }
)
"""Keywords of JSON Schema whose values no placeholder may take: the schema would mean another."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the text that is read; a fixed one is read and never replaced."""

    text: str = field(repr=False)
    is_fixed: bool = False


class _Visit(Protocol):
    """What is done with each stretch in turn."""

    def open(self, text: str) -> str: ...
    def fixed(self, text: str) -> None: ...


def pieces_of(prompt: Prompt) -> list[Piece]:
    reading = _Reading()
    _walk(prompt, reading)
    # The last break stands between nothing.
    return reading.pieces[:-1]


def with_texts(prompt: Prompt, texts: Iterable[str]) -> Prompt:
    """``prompt`` with the pieces that are not fixed, in order, as ``texts`` has them.

    Calls are numbered anew: their ids are the caller's or a vendor's, and mean nothing to another.

    Raises:
        JsonObjectError: two keys of a call's arguments became equal.
    """
    return _walk(prompt, _Writing(iter(texts)))


class _Reading:
    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    def open(self, text: str) -> str:
        self.pieces.append(Piece(text))
        return text

    def fixed(self, text: str) -> None:
        self.pieces.append(Piece(text, is_fixed=True))


class _Writing:
    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts

    def open(self, text: str) -> str:
        return next(self._texts)

    def fixed(self, text: str) -> None:
        return None


class _CallNumbers:
    """Ids of our own for the calls of one prompt, the same for a call and its result."""

    def __init__(self) -> None:
        self._last = 0
        self._given: dict[str, str] = {}

    def of_call(self, call_id: str) -> str:
        self._last += 1
        self._given[call_id] = f"call_{self._last}"
        return self._given[call_id]

    def of_result(self, call_id: str) -> str:
        return self._given[call_id]


def _walk(prompt: Prompt, visit: _Visit) -> Prompt:
    numbers = _CallNumbers()
    turns = tuple(
        turn.model_copy(
            update={"parts": tuple([_part(part, visit, numbers) for part in turn.parts])}
        )
        for turn in prompt.turns
    )
    tools = tuple([_tool(tool, visit) for tool in prompt.tools])
    return Prompt(turns=turns, tools=tools, tool_choice=prompt.tool_choice)


def _part(part: Part, visit: _Visit, numbers: _CallNumbers) -> Part:
    match part:
        case ImagePart():
            return part
        case TextPart():
            written: Part = TextPart(text=visit.open(part.text))
        case ToolCallPart():
            visit.fixed(f"{part.name}{_BREAK}")
            arguments = _arguments(part.arguments, visit)
            written = ToolCallPart(
                call_id=numbers.of_call(part.call_id), name=part.name, arguments=arguments
            )
        case ToolResultPart():
            written = ToolResultPart(
                call_id=numbers.of_result(part.call_id), text=visit.open(part.text)
            )
    visit.fixed(_BREAK)
    return written


def _arguments(arguments: str, visit: _Visit) -> str:
    """Keys and numbers may be replaced as well: all of it is the model's own writing."""
    given = read_object(arguments)

    def asked(each: JsonString) -> str:
        before, after = around(each)
        visit.fixed(before)
        changed = visit.open(each.text)
        visit.fixed(after)
        return changed

    changed = with_strings(given, asked)
    return arguments if changed == given else json.dumps(changed, ensure_ascii=False)


def _tool(tool: ToolDefinition, visit: _Visit) -> ToolDefinition:
    visit.fixed(f"{tool.name}{_BREAK}")
    description = visit.open(tool.description)
    visit.fixed(_BREAK)

    def asked(each: JsonString) -> str:
        before, after = around(each)
        if each.place is not Place.TEXT or each.key in _STRUCTURE:
            visit.fixed(f"{before}{each.text}{after}")
            return each.text
        visit.fixed(before)
        changed = visit.open(each.text)
        visit.fixed(after)
        return changed

    parameters = with_strings(tool.parameters, asked)
    visit.fixed(_BREAK)
    return tool.model_copy(update={"description": description, "parameters": parameters})
