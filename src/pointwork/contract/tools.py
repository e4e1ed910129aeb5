"""Tools a caller offers a model, and the calls a model makes of them. Pointwork runs none of them.

A tool is the caller's own: its definition goes to the model with the prompt, the model's call comes
back with the answer, and what the caller's tool said goes out with the next task.
"""

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema, field_serializer, field_validator

from pointwork.contract.additive import added
from pointwork.contract.json_strings import JsonObjectError, read_object, readable
from pointwork.contract.task import Message

TOOLS_MAX = 128
"""The fewest that one of the catalogue's vendors takes; the others take as many or more."""
CALL_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"

_WRITTEN = {
    "type": ["string", "object"],
    "description": "JSON Schema of the arguments, written as the text of one JSON object",
}

ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""What every vendor takes as a name."""
CallId = Annotated[str, Field(pattern=CALL_ID_PATTERN)]


class ToolChoiceMode(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"
    """The model must call a tool, whichever."""


class NamedTool(Message):
    """The model must call this tool."""

    name: ToolName


ToolChoice = ToolChoiceMode | NamedTool


class ToolDefinition(Message):
    """A tool as its caller describes it to the model."""

    name: ToolName
    description: str = added("")
    parameters: Annotated[dict[str, Any], WithJsonSchema(_WRITTEN)] = added({})
    """JSON Schema of the call's arguments; empty for a tool that takes none."""
    strict: bool | None = added(None)
    """Whether a vendor that can is to hold the model to the schema; None leaves that to it."""

    @field_validator("parameters", mode="before")
    @classmethod
    def _is_readable(cls, value: object) -> object:
        try:
            return read_object(value if isinstance(value, str) else json.dumps(value))
        except (JsonObjectError, TypeError, ValueError, RecursionError) as error:
            why = str(error) if isinstance(error, JsonObjectError) else "it is not JSON"
        msg = f"parameters must be one JSON Schema object: {why}; correct it"
        raise ValueError(msg)

    @field_serializer("parameters", when_used="json")
    def _in_the_authors_order(self, value: dict[str, Any]) -> str:
        # A model writes arguments in the order of the schema; canonical JSON sorts the keys of
        # objects, and would change what the model writes.
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @property
    def text(self) -> str:
        """All of its text, for whoever reads what is about to leave."""
        return "\n".join((self.name, self.description, readable(self.parameters)))


class ToolCall(Message):
    """A call that a model asks its caller to make."""

    call_id: CallId
    name: ToolName
    arguments: str
    """One JSON object, as the model wrote it."""

    @field_validator("arguments")
    @classmethod
    def _is_an_object(cls, value: str) -> str:
        try:
            read_object(value)
        except JsonObjectError as error:
            msg = f"arguments must be the text of one JSON object: {error}; write {{}} for none"
            raise ValueError(msg) from None
        return value

    @property
    def text(self) -> str:
        return f"{self.name}\n{readable(read_object(self.arguments))}"

    @property
    def shown(self) -> str:
        """The call in words, for a person or a model that looks at the answer."""
        return f"{self.name}({self.arguments})"


def sent_bytes(
    tools: Sequence[ToolDefinition], calls: Sequence[ToolCall], results: Sequence[str]
) -> int:
    """More bytes than any endpoint makes of them: indented, escaped JSON is the longest form."""
    whole = {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                    "strict": tool.strict,
                },
            }
            for tool in tools
        ],
        "calls": [
            {
                "id": call.call_id,
                "function": {"name": call.name, "arguments": read_object(call.arguments)},
                "written": call.arguments,
            }
            for call in calls
        ],
        "results": results,
    }
    return len(json.dumps(whole, indent=4))
