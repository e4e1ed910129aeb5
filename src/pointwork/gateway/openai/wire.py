"""The requests of OpenAI's chat API, as far as Pointwork serves them.

A field that would change the answer and is not served is refused, not ignored: nothing degrades in
silence. Fields that change nothing here (``user``, ``store``, ``metadata``) may be sent.
"""

import base64
import binascii
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pointwork.contract.prompt import ImagePart, Part, Prompt, Speaker, TextPart, Turn
from pointwork.contract.task import OUTPUT_TOKENS_MAX
from pointwork.gateway.problems import bad_request

_DATA_URL = re.compile(r"^data:(image/(?:png|jpeg|webp|gif));base64,(.*)$", re.DOTALL)
_SPEAKERS = {
    "system": Speaker.SYSTEM,
    "developer": Speaker.SYSTEM,
    "user": Speaker.USER,
    "assistant": Speaker.ASSISTANT,
}
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "stop": ([],),
    "top_p": (1, 1.0),
    "presence_penalty": (0, 0.0),
    "frequency_penalty": (0, 0.0),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "web_search_options": (),
    "functions": ([],),
    "function_call": ("none",),
}
"""Fields that are refused unless they say what holds anyway."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)


class ContentPart(_Wire):
    type: str
    text: str | None = None
    image_url: dict[str, Any] | None = None


class ChatMessage(_Wire):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None


class JsonSchemaFormat(_Wire):
    name: str = ""
    schema_: dict[str, Any] = Field(alias="schema", default_factory=dict)


class ResponseFormat(_Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None

    @property
    def answer_schema(self) -> dict[str, Any] | None:
        match self.type:
            case "json_schema":
                return self.json_schema.schema_ if self.json_schema else {}
            case "json_object":
                return {"type": "object"}
            case _:
                return None


class StreamOptions(_Wire):
    include_usage: bool = False


class ChatRequest(_Wire):
    """The body of ``POST /v1/chat/completions``."""

    model: Annotated[str, Field(min_length=1, max_length=200)]
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=2000)]
    max_tokens: Annotated[int, Field(ge=1, le=OUTPUT_TOKENS_MAX)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=OUTPUT_TOKENS_MAX)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    pointwork: dict[str, Any] = Field(default_factory=dict)
    """What the caller declares of the task; see ``pointwork.gateway.declaring``."""

    @model_validator(mode="after")
    def _changes_nothing_silently(self) -> Self:
        extra = self.model_extra or {}
        for name, neutral in _NEUTRAL.items():
            value = extra.get(name)
            if value is not None and value not in neutral:
                msg = f"{name} is not served by Pointwork; leave it out"
                raise ValueError(msg)
        return self

    @property
    def output_tokens_asked(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def prompt(self) -> Prompt:
        """The turns as a task carries them.

        Raises:
            ProblemError: a part is of a kind that is not served.
        """
        turns = (_turn(f"messages.{index}", each) for index, each in enumerate(self.messages))
        return Prompt(turns=tuple(turn for turn in turns if turn is not None))


def _turn(place: str, message: ChatMessage) -> Turn | None:
    speaker = _SPEAKERS.get(message.role)
    if speaker is None:
        raise bad_request("unsupported_role", f"{place}.role: {message.role} is not served", place)
    parts = _parts(place, message.content)
    return Turn(speaker=speaker, parts=parts) if parts else None


def _parts(place: str, content: str | list[ContentPart] | None) -> tuple[Part, ...]:
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(_part(f"{place}.content.{index}", each) for index, each in enumerate(content))


def _part(place: str, part: ContentPart) -> Part:
    if part.type in ("text", "input_text", "output_text") and part.text is not None:
        return TextPart(text=part.text)
    if part.type == "image_url" and part.image_url is not None:
        return _image(place, str(part.image_url.get("url", "")))
    raise bad_request("unsupported_content", f"{place}.type: send text or image_url", place)


def _image(place: str, url: str) -> ImagePart:
    found = _DATA_URL.match(url)
    if found is None:
        raise bad_request(
            "unsupported_image",
            f"{place}.image_url.url: give the image itself as data:image/png;base64,…; nothing is "
            "fetched from an address",
            place,
        )
    try:
        base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError):
        raise bad_request(
            "invalid_image", f"{place}.image_url.url: is not base64; encode the image again", place
        ) from None
    return ImagePart(media_type=found[1], data=found[2].encode())
