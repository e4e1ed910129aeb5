"""Messages of OpenAI's APIs as the turns and tools of a prompt."""

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ValidationError, field_validator

from pointwork.contract.prompt import (
    ImagePart,
    Part,
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.tools import ToolDefinition
from pointwork.gateway.problems import ProblemError, bad_request
from pointwork.gateway.wire_model import Items, WireModel

_DATA_URL = re.compile(r"^data:(image/(?:png|jpeg|webp|gif));base64,(.*)$", re.DOTALL)
_SPEAKERS = {
    "system": Speaker.SYSTEM,
    "developer": Speaker.SYSTEM,
    "user": Speaker.USER,
    "assistant": Speaker.ASSISTANT,
}


class ContentPart(WireModel):
    type: str
    text: str | None = None
    image_url: dict[str, Any] | str | None = None


class CalledFunction(WireModel):
    name: str
    arguments: str = "{}"

    @field_validator("arguments")
    @classmethod
    def _empty_is_none(cls, value: str) -> str:
        # Some clients write a call without arguments so.
        return value or "{}"


class MadeCall(WireModel):
    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatMessage(WireModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Items[ContentPart] | None = None
    tool_calls: Items[MadeCall] | None = None
    tool_call_id: str | None = None


class ToolOffer(WireModel):
    """One function as a caller describes it."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


def message_of(place: str, fields: dict[str, Any]) -> ChatMessage:
    """A message of another form of request, which stands there at ``place``.

    Raises:
        ProblemError: it is none.
    """
    try:
        return ChatMessage.model_validate(fields)
    except ValidationError as error:
        raise _invalid(place, error) from None


def tool_of(offer: ToolOffer) -> ToolDefinition:
    """The tool as a prompt carries it.

    Raises:
        ProblemError: its name or its parameters are not what a vendor takes.
    """
    fields: dict[str, Any] = {"name": offer.name, "strict": offer.strict}
    fields |= {"description": offer.description or "", "parameters": offer.parameters or {}}
    try:
        return ToolDefinition(**fields)
    except ValidationError as error:
        raise _invalid("tools", error) from None


def prompt_of(
    messages: Sequence[ChatMessage],
    tools: Sequence[ToolDefinition] = (),
    choice: str | dict[str, Any] | None = None,
) -> Prompt:
    """The prompt of a conversation. Results that follow one another are one turn.

    Raises:
        ProblemError: it holds what is not served, or a tool's result without its call.
    """
    turns: list[tuple[Speaker, tuple[Part, ...]]] = []
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        if message.role == "tool":
            part = _result(place, message)
            if turns and turns[-1][0] is Speaker.TOOL:
                turns[-1] = (Speaker.TOOL, (*turns[-1][1], part))
            else:
                turns.append((Speaker.TOOL, (part,)))
        elif parts := _said(place, message):
            turns.append((_SPEAKERS[message.role], parts))
    try:
        made = tuple(Turn(speaker=speaker, parts=parts) for speaker, parts in turns)
        fields: dict[str, Any] = {"turns": made, "tools": tuple(tools)}
        return Prompt(**fields, **({"tool_choice": choice} if choice is not None else {}))
    except ValidationError as error:
        raise _invalid("messages", error) from None


def _said(place: str, message: ChatMessage) -> tuple[Part, ...]:
    calls = message.tool_calls or ()
    try:
        made = tuple(
            ToolCallPart(
                call_id=each.id, name=each.function.name, arguments=each.function.arguments
            )
            for each in calls
        )
    except ValidationError as error:
        raise _invalid(f"{place}.tool_calls", error) from None
    return (*_parts(place, message.content), *made)


def _result(place: str, message: ChatMessage) -> ToolResultPart:
    if message.tool_call_id is None:
        detail = f"{place}.tool_call_id: is missing; name the call that this answers"
        raise bad_request("invalid_request", detail, place)
    parts = _parts(place, message.content)
    text = "\n".join(each.text for each in parts if isinstance(each, TextPart))
    try:
        return ToolResultPart(call_id=message.tool_call_id, text=text)
    except ValidationError as error:
        raise _invalid(place, error) from None


def _parts(place: str, content: str | list[ContentPart] | None) -> tuple[Part, ...]:
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(_part(f"{place}.content.{index}", each) for index, each in enumerate(content))


def _part(place: str, part: ContentPart) -> Part:
    if part.type in ("text", "input_text", "output_text") and part.text is not None:
        return TextPart(text=part.text)
    if part.type in ("image_url", "input_image") and part.image_url is not None:
        named = part.image_url
        return _image(place, named if isinstance(named, str) else str(named.get("url", "")))
    detail = f"{place}.type: only text and image_url are served; send the content as text"
    raise bad_request("unsupported_content", detail, place)


def _image(place: str, url: str) -> ImagePart:
    found = _DATA_URL.match(url)
    if found is None:
        raise bad_request(
            "unsupported_image",
            f"{place}.image_url: give the image itself as data:image/png;base64,…; nothing is "
            "fetched from an address",
            place,
        )
    try:
        base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError):
        detail = f"{place}.image_url: is not base64; encode the image again"
        raise bad_request("invalid_image", detail, place) from None
    return ImagePart(media_type=found[1], data=found[2].encode())


def _invalid(place: str, error: ValidationError) -> ProblemError:
    first = error.errors(include_url=False, include_input=False)[0]
    said = str(first["msg"]).removeprefix("Value error, ")
    inner = ".".join(str(each) for each in first["loc"])
    where = f"{place}.{inner}" if inner else place
    return bad_request("invalid_request", f"{where}: {said}", where)
