"""The content of a task as a caller writes it, before it is sealed; it never enters a workflow."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import Base64Bytes, Field, model_validator

from pointwork.contract.additive import added
from pointwork.contract.task import Message
from pointwork.contract.tools import (
    TOOLS_MAX,
    CallId,
    NamedTool,
    ToolCall,
    ToolChoice,
    ToolChoiceMode,
    ToolDefinition,
)

MEDIA_TYPE_PROMPT = "application/vnd.pointwork.prompt+json"
MEDIA_TYPE_ANSWER = "application/vnd.pointwork.answer+json"
MEDIA_TYPE_SCHEMA = "application/schema+json"


class Speaker(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    """What the caller's tools answered to the assistant turn before it."""


class TextPart(Message):
    kind: Literal["text"] = "text"
    text: str


class ImagePart(Message):
    """An image the model looks at; ``data`` is base64 on the wire and bytes in Python."""

    kind: Literal["image"] = "image"
    media_type: Annotated[str, Field(pattern=r"^image/(png|jpeg|webp|gif)$")]
    data: Base64Bytes


class ToolCallPart(ToolCall):
    """A call that the model made in an earlier answer."""

    kind: Literal["tool_call"] = "tool_call"


class ToolResultPart(Message):
    """What the caller's tool answered to one call."""

    kind: Literal["tool_result"] = "tool_result"
    call_id: CallId
    text: str


Part = Annotated[TextPart | ImagePart | ToolCallPart | ToolResultPart, Field(discriminator="kind")]


class Turn(Message):
    speaker: Speaker
    parts: Annotated[tuple[Part, ...], Field(min_length=1, fail_fast=True)]

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def calls(self) -> tuple[ToolCallPart, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCallPart))

    @property
    def results(self) -> tuple[ToolResultPart, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolResultPart))

    @property
    def whole_text(self) -> str:
        """Every text of the turn, in order, that of calls and results included."""
        return "\n".join(part.text for part in self.parts if not isinstance(part, ImagePart))

    @model_validator(mode="after")
    def _parts_fit_speaker(self) -> Self:
        if self.calls and self.speaker is not Speaker.ASSISTANT:
            msg = f"a turn of the speaker {self.speaker} has a tool_call; only assistant turns may"
            raise ValueError(msg)
        if len(self.results) != (len(self.parts) if self.speaker is Speaker.TOOL else 0):
            msg = "a tool turn has parts of kind tool_result alone, and no other turn has any"
            raise ValueError(msg)
        return self


class Prompt(Message):
    """The turns a model is given, and the tools it may ask its caller to use."""

    turns: Annotated[tuple[Turn, ...], Field(min_length=1, fail_fast=True)]
    tools: tuple[ToolDefinition, ...] = added((), max_length=TOOLS_MAX)
    tool_choice: ToolChoice = added(ToolChoiceMode.AUTO)

    @model_validator(mode="after")
    def _tools_fit(self) -> Self:
        # Names of tools are content as well: places are told in their stead.
        names = [tool.name for tool in self.tools]
        for at, name in enumerate(names):
            if name in names[:at]:
                first = names.index(name)
                msg = f"tools.{at} has the name of tools.{first}; give each tool a name of its own"
                raise ValueError(msg)
        choice = self.tool_choice
        if isinstance(choice, NamedTool) and choice.name not in names:
            msg = "tool_choice names a tool that is not among the tools; offer it or name another"
            raise ValueError(msg)
        if choice is ToolChoiceMode.REQUIRED and not names:
            msg = "tool_choice is required and no tool is given; offer one or leave it out"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _results_follow_calls(self) -> Self:
        open_calls: set[str] = set()
        for at, turn in enumerate(self.turns):
            if open_calls and turn.speaker is not Speaker.TOOL:
                raise ValueError(_UNANSWERED.format(at))
            for result in turn.results:
                if result.call_id not in open_calls:
                    msg = (
                        f"turns.{at}: a tool_result answers no tool_call of the assistant turn "
                        "before it; send the call with it, under the same call_id"
                    )
                    raise ValueError(msg)
                open_calls.discard(result.call_id)
            asked = [call.call_id for call in turn.calls]
            open_calls.update(asked)
            if len({*asked}) < len(asked):
                msg = f"turns.{at}: two tool_calls have one call_id; give each its own"
                raise ValueError(msg)
        if open_calls:
            raise ValueError(_UNANSWERED.format(len(self.turns)))
        return self

    @classmethod
    def from_text(cls, text: str, *, system: str = "") -> "Prompt":
        turns = [Turn(speaker=Speaker.USER, parts=(TextPart(text=text),))]
        if system:
            turns.insert(0, Turn(speaker=Speaker.SYSTEM, parts=(TextPart(text=system),)))
        return cls(turns=tuple(turns))

    @property
    def text(self) -> str:
        """Every text of every turn and of every tool, in order: what detectors read (OM-48)."""
        return "\n".join(text for text in self._texts() if text)

    @property
    def call_ids(self) -> tuple[str, ...]:
        return tuple(call.call_id for turn in self.turns for call in turn.calls)

    @property
    def has_tools(self) -> bool:
        """Whether only a model that knows tools can read it."""
        return bool(self.tools or self.call_ids)

    @property
    def has_image(self) -> bool:
        return any(isinstance(part, ImagePart) for turn in self.turns for part in turn.parts)

    def _texts(self) -> Iterator[str]:
        for turn in self.turns:
            yield turn.whole_text
        for tool in self.tools:
            yield tool.text


_UNANSWERED = "a tool_call has no tool_result before turns.{}; add what the tool gave"


class Answer(Message):
    """What the model said, as the vault keeps it."""

    text: str
    """Empty where the model only calls tools."""
    tool_calls: tuple[ToolCall, ...] = added(())

    @property
    def shown(self) -> str:
        """All of the answer as text: calls in words after what was said."""
        return "\n".join((*filter(None, (self.text,)), *(call.shown for call in self.tool_calls)))


AnswerSchema = dict[str, Any]
