"""Prompts that offer tools, and answers that call them, with every field set."""

from pydantic import BaseModel

from pointwork.contract import prompt, tools

CALL = tools.ToolCall(call_id="call_1", name="find_order", arguments='{"number": 4711}')
CALLED = prompt.ToolCallPart(**CALL.model_dump())
RESULT = prompt.ToolResultPart(call_id="call_1", text="sent on Monday")
TOOL = tools.ToolDefinition(
    name="find_order",
    description="Finds an order by its number.",
    parameters={"type": "object", "properties": {"number": {"type": "integer"}}},
    strict=True,
)
PROMPT = prompt.Prompt(
    turns=(
        prompt.Turn(
            speaker=prompt.Speaker.USER, parts=(prompt.TextPart(text="Where is order 4711?"),)
        ),
        prompt.Turn(speaker=prompt.Speaker.ASSISTANT, parts=(CALLED,)),
        prompt.Turn(speaker=prompt.Speaker.TOOL, parts=(RESULT,)),
    ),
    tools=(TOOL,),
    tool_choice=tools.NamedTool(name="find_order"),
)

TOOL_SAMPLES: tuple[BaseModel, ...] = (
    CALL,
    CALLED,
    RESULT,
    TOOL,
    tools.NamedTool(name="find_order"),
    PROMPT,
    prompt.Answer(text="One moment.", tool_calls=(CALL,)),
)
