"""The content of a task as a caller writes it, before it is sealed; it never enters a workflow."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, Field

from pointwork.contract.task import Message

MEDIA_TYPE_PROMPT = "application/vnd.pointwork.prompt+json"
MEDIA_TYPE_ANSWER = "application/vnd.pointwork.answer+json"
MEDIA_TYPE_SCHEMA = "application/schema+json"


class Speaker(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class TextPart(Message):
    kind: Literal["text"] = "text"
    text: str


class ImagePart(Message):
    """An image the model looks at; ``data`` is base64 on the wire and bytes in Python."""

    kind: Literal["image"] = "image"
    media_type: Annotated[str, Field(pattern=r"^image/(png|jpeg|webp|gif)$")]
    data: Base64Bytes


Part = Annotated[TextPart | ImagePart, Field(discriminator="kind")]


class Turn(Message):
    speaker: Speaker
    parts: Annotated[tuple[Part, ...], Field(min_length=1)]

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))


class Prompt(Message):
    """The turns a model is given."""

    turns: Annotated[tuple[Turn, ...], Field(min_length=1)]

    @classmethod
    def from_text(cls, text: str, *, system: str = "") -> "Prompt":
        turns = [Turn(speaker=Speaker.USER, parts=(TextPart(text=text),))]
        if system:
            turns.insert(0, Turn(speaker=Speaker.SYSTEM, parts=(TextPart(text=system),)))
        return cls(turns=tuple(turns))

    @property
    def text(self) -> str:
        """Every text of every turn, in order."""
        return "\n".join(turn.text for turn in self.turns if turn.text)

    @property
    def has_image(self) -> bool:
        return any(isinstance(part, ImagePart) for turn in self.turns for part in turn.parts)


class Answer(Message):
    """What the model said, as the vault keeps it."""

    text: str


AnswerSchema = dict[str, Any]
