"""What a prompt with tools may say, and that a prompt without any is what it always was."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.canonical import canonical_json
from pointwork.contract.json_strings import DEPTH_MAX
from pointwork.contract.prompt import (
    Answer,
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.tools import TOOLS_MAX, NamedTool, ToolChoiceMode, ToolDefinition

ASK = Turn(speaker=Speaker.USER, parts=(TextPart(text="Where is it?"),))
FIND = ToolDefinition(name="find_order")


def calls(*call_ids: str, arguments: str = "{}") -> Turn:
    parts = [
        ToolCallPart(call_id=each, name="find_order", arguments=arguments) for each in call_ids
    ]
    return Turn(speaker=Speaker.ASSISTANT, parts=tuple(parts))


def results(*call_ids: str) -> Turn:
    parts = tuple(ToolResultPart(call_id=each, text="sent") for each in call_ids)
    return Turn(speaker=Speaker.TOOL, parts=parts)


def test_a_prompt_and_an_answer_without_tools_are_sealed_as_they_always_were() -> None:
    prompt = Prompt.from_text("Hello.", system="Be brief.")
    assert canonical_json(prompt) == (
        b'{"turns":[{"parts":[{"kind":"text","text":"Be brief."}],"speaker":"system"},'
        b'{"parts":[{"kind":"text","text":"Hello."}],"speaker":"user"}]}'
    )
    assert prompt.text == "Be brief.\nHello."
    assert canonical_json(Answer(text="Hi.")) == b'{"text":"Hi."}'


def test_the_order_of_parameters_survives_sealing() -> None:
    """A model writes arguments in the order of the schema, and canonical JSON sorts keys."""
    schema = {"type": "object", "properties": {"zeal": {}, "age": {}}}
    prompt = Prompt(turns=(ASK,), tools=(ToolDefinition(name="t", parameters=schema),))
    [tool] = Prompt.model_validate_json(canonical_json(prompt)).tools
    assert json.dumps(tool.parameters) == json.dumps(schema)


def test_all_that_is_said_of_tools_is_text_of_the_prompt() -> None:
    schema = {"properties": {"key-of-it": {"description": 'caf\u00e9 "x"', "default": 4711}}}
    tool = ToolDefinition(name="tool-name", description="what-it-does", parameters=schema)
    call = ToolCallPart(
        call_id="c-1", name="past-name", arguments='{"to": "a\\u0040b", "n": [17, {"k": "v"}]}'
    )
    answered = ToolResultPart(call_id="c-1", text="what-it-gave")
    turns = (
        ASK,
        Turn(speaker=Speaker.ASSISTANT, parts=(TextPart(text="One moment."), call)),
        Turn(speaker=Speaker.TOOL, parts=(answered,)),
    )
    text = Prompt(turns=turns, tools=(tool,)).text
    said = ("Where is it?", "One moment.", "past-name", "a@b", "17", '"k": "v"', "what-it-gave")
    offered = ("tool-name", "what-it-does", "key-of-it", 'café "x"', "4711")
    assert [each for each in (*said, *offered) if each not in text] == []


REFUSED: dict[str, dict[str, Any]] = {
    "tools.1 has the name of tools.0": {"tools": (FIND, FIND)},
    "names a tool that is not among": {"tools": (FIND,), "tool_choice": NamedTool(name="clock")},
    "required and no tool": {"tool_choice": ToolChoiceMode.REQUIRED},
    "turns.1: a tool_result answers no": {"turns": (ASK, results("c-1"))},
    "turns.2: a tool_result answers no": {"turns": (ASK, calls("c-1"), results("c-2"))},
    "turns.3: a tool_result answers no": {
        "turns": (ASK, calls("c-1"), results("c-1"), results("c-1"))
    },
    "no tool_result before turns.2; add": {"turns": (ASK, calls("c-1"), ASK)},
    "no tool_result before turns.3; add": {"turns": (ASK, calls("c-1", "c-2"), results("c-2"))},
    "turns.1: two tool_calls have one call_id": {"turns": (ASK, calls("c-1", "c-1"))},
    "at most 128": {"tools": tuple(ToolDefinition(name=f"t{n}") for n in range(TOOLS_MAX + 1))},
}


@pytest.mark.parametrize("problem", REFUSED)
def test_a_prompt_that_no_model_could_read_is_refused(problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Prompt(**({"turns": (ASK,)} | REFUSED[problem]))


def test_one_id_may_serve_again_once_it_is_answered() -> None:
    turns = (ASK, calls("c-1"), results("c-1"), calls("c-1"), results("c-1"))
    assert Prompt(turns=turns).call_ids == ("c-1", "c-1")


@pytest.mark.parametrize("speaker", [Speaker.USER, Speaker.SYSTEM, Speaker.TOOL])
def test_only_the_model_calls_tools(speaker: Speaker) -> None:
    with pytest.raises(ValidationError, match="only assistant turns may"):
        Turn(speaker=speaker, parts=calls("c-1").parts)


@pytest.mark.parametrize("speaker", [each for each in Speaker if each is not Speaker.TOOL])
def test_only_a_tool_answers_calls(speaker: Speaker) -> None:
    with pytest.raises(ValidationError, match="no other turn has any"):
        Turn(speaker=speaker, parts=results("c-1").parts)


def test_a_tool_says_nothing_but_results() -> None:
    with pytest.raises(ValidationError, match="tool_result alone"):
        Turn(speaker=Speaker.TOOL, parts=(TextPart(text="sent"),))


DEEP = '{"a": ' * (DEPTH_MAX + 1) + "1" + "}" * (DEPTH_MAX + 1)


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "canary",
        "[1]",
        '"canary"',
        '{"a": 1, "a": 2}',
        '{"b": {"a": 1, "a": 2}}',
        '{"a": NaN}',
        '{"a": "canary',
        DEEP,
        "[" * 100_000,
    ],
)
def test_arguments_that_two_readers_could_read_differently_are_refused(arguments: str) -> None:
    with pytest.raises(ValidationError, match="arguments must be the text") as refused:
        calls("c-1", arguments=arguments)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("parameters", ["canary", [], {"a": float("nan")}, json.loads(DEEP)])
def test_parameters_that_are_no_plain_object_are_refused(parameters: Any) -> None:
    with pytest.raises(ValidationError, match="parameters must be one JSON Schema object") as why:
        ToolDefinition(name="t", parameters=parameters)
    assert "canary" not in str(why.value)


@pytest.mark.parametrize("name", ["", "two words", "a.b", "x" * 65, "näme"])
def test_a_name_that_some_vendor_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ToolDefinition(name=name)


def test_an_answer_is_shown_with_its_calls() -> None:
    [part] = calls("c-1", arguments='{"number": 1}').calls
    answer = Answer(text="One moment.", tool_calls=(part,))
    assert answer.shown == 'One moment.\nfind_order({"number": 1})'
    assert Answer(text="", tool_calls=(part,)).shown == 'find_order({"number": 1})'
