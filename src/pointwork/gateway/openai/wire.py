"""The requests of OpenAI's chat API, as far as Pointwork serves them.

A field that would change the answer and is not served is refused, not ignored: nothing degrades in
silence. Fields that change nothing here (``user``, ``store``, ``metadata``) may be sent.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pointwork.contract.prompt import Prompt
from pointwork.contract.task import OUTPUT_TOKENS_MAX
from pointwork.gateway.openai.messages import ChatMessage, ToolOffer, prompt_of, tool_of
from pointwork.gateway.wire_model import Items, WireModel

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


class JsonSchemaFormat(WireModel):
    name: str = ""
    schema_: dict[str, Any] = Field(alias="schema", default_factory=dict)


class ResponseFormat(WireModel):
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


class StreamOptions(WireModel):
    include_usage: bool = False


class ChatTool(WireModel):
    type: Literal["function"]
    function: ToolOffer


class ChatRequest(WireModel):
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
    tools: Items[ChatTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
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
    def answer_schema(self) -> dict[str, Any] | None:
        return self.response_format.answer_schema if self.response_format else None

    @property
    def prompt(self) -> Prompt:
        """The turns and tools as a task carries them.

        Raises:
            ProblemError: a part is of a kind that is not served, or a tool's result has no call.
        """
        choice = self.tool_choice
        if isinstance(choice, dict):
            function = choice.get("function")
            choice = {"name": function.get("name") if isinstance(function, dict) else None}
        tools = [tool_of(each.function) for each in self.tools or ()]
        return prompt_of(self.messages, tools, choice)
