"""The requests of OpenAI's chat API, as far as Pointwork serves them.

A field that would change the answer and is not served is refused, not ignored: nothing degrades in
silence. Fields that change nothing here (``user``, ``metadata``) may be sent.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pointwork.contract.prompt import Prompt
from pointwork.contract.task import OUTPUT_TOKENS_MAX
from pointwork.gateway.openai.messages import ChatMessage, ToolOffer, prompt_of, tool_of
from pointwork.gateway.passed_over import NEUTRAL, Asking, Neutral, unserved
from pointwork.gateway.wire_model import Items, WireModel

_REASONING = "leave it out; the catalogue says how much each model reasons"


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


def one_call_at_a_time(
    parallel_tool_calls: bool | None, tools: list[Any] | None, choice: str | dict[str, Any] | None
) -> None:
    """No vendor is asked to call one tool at a time, which changes nothing where one is named.

    Raises:
        PydanticCustomError: ``parallel_tool_calls`` is false, and several calls may come.
    """
    if parallel_tool_calls is False and tools and choice != "none" and not isinstance(choice, dict):
        remedy = "leave it out, or name one tool as tool_choice"
        raise unserved("parallel_tool_calls", (True,), remedy)


class ChatRequest(Asking):
    """The body of ``POST /v1/chat/completions``."""

    passed_over: ClassVar[Neutral] = NEUTRAL | {
        "modalities": (["text"],),
        "functions": ([],),
        "function_call": ("none",),
    }
    remedies: ClassVar[Mapping[str, str]] = {
        "functions": "send them as tools",
        "function_call": "send it as tool_choice",
        "reasoning": _REASONING,
        "reasoning_effort": _REASONING,
        "thinking": _REASONING,
    }

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
    parallel_tool_calls: bool | None = None
    pointwork: dict[str, Any] = Field(default_factory=dict)
    """What the caller declares of the task; see ``pointwork.gateway.declaring``."""

    @model_validator(mode="after")
    def _calls_come_as_asked(self) -> Self:
        one_call_at_a_time(self.parallel_tool_calls, self.tools, self.tool_choice)
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
