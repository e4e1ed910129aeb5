"""Tools go out and calls come back the same from every vendor, on the vendors' own SDKs."""

import json

import pytest

from activities.classify import prompt_tokens_max
from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import FinishReason
from pointwork.contract.prompt import (
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.tools import NamedTool, ToolChoice, ToolChoiceMode, ToolDefinition
from pointwork.providers.port import CompletionResponse
from pointwork.providers.tool_calls import CALLS_MAX
from tests.fakes.vendor_reply import Act, Reply, Step
from tests.fakes.vendor_tools import SentTools, ToolWire, tool_wire
from tests.providers.conftest import Bench

SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["number"],
}
FIND = ToolDefinition(name="find_order", description="Finds an order.", parameters=SCHEMA)
CLOCK = ToolDefinition(name="clock")
HELLO = Turn(speaker=Speaker.USER, parts=(TextPart(text="Where is my order?"),))
ASKED = Prompt(turns=(HELLO,), tools=(FIND, CLOCK))


def wire_of(bench: Bench) -> ToolWire:
    return tool_wire(bench.wire)


def calling(bench: Bench, *calls: tuple[str, str, list[str]], say: str = "") -> Reply:
    """An answer that says ``say`` and then makes ``calls``: id, name, pieces of arguments."""
    model = bench.flavour.model
    script: list[Step] = [*bench.wire.opening(model)]
    script += [bench.wire.text(say, model)] if say else []
    for index, (call_id, name, pieces) in enumerate(calls):
        script += wire_of(bench).call(index, call_id, name, pieces, model)
    return Reply(script=(*script, *bench.wire.ending(model, finish="tool_calls")))


async def ask(bench: Bench, prompt: Prompt = ASKED) -> CompletionResponse:
    return await bench.provider.complete(bench.request(prompt=prompt))


async def sent(bench: Bench, prompt: Prompt) -> SentTools:
    model = bench.flavour.model
    ending = [*bench.wire.opening(model), bench.wire.text("Yes.", model), *bench.wire.ending(model)]
    bench.vendor.reply = Reply(script=tuple(ending))
    await ask(bench, prompt)
    return wire_of(bench).sent(bench.vendor.received[0])


async def refused(bench: Bench, prompt: Prompt = ASKED) -> Kind:
    failure = await bench.failure(prompt=prompt)
    return failure.kind


async def test_every_vendor_is_offered_the_tools_in_its_own_form(every: Bench) -> None:
    said = await sent(every, ASKED)
    assert said.offered["find_order"] == SCHEMA
    assert said.descriptions == {"find_order": "Finds an order.", "clock": ""}
    assert said.choice == "auto"


async def test_a_prompt_without_tools_says_nothing_of_tools(every: Bench) -> None:
    await sent(every, Prompt(turns=(HELLO,)))
    assert not {"tools", "tool_choice", "toolConfig"} & {*every.vendor.received[0].body}


@pytest.mark.parametrize("mode", [ToolChoiceMode.NONE, ToolChoiceMode.AUTO])
async def test_a_choice_is_sent_in_the_vendors_own_form(every: Bench, mode: ToolChoice) -> None:
    assert (await sent(every, ASKED.model_copy(update={"tool_choice": mode}))).choice == mode


async def test_a_call_may_be_required(every: Bench) -> None:
    every.vendor.reply = calling(every, ("call_7", "clock", []))
    await ask(every, ASKED.model_copy(update={"tool_choice": ToolChoiceMode.REQUIRED}))
    assert wire_of(every).sent(every.vendor.received[0]).choice == "required"


async def test_a_named_tool_is_the_only_one_that_may_be_called(every: Bench) -> None:
    every.vendor.reply = calling(every, ("call_7", "clock", []))
    await ask(every, ASKED.model_copy(update={"tool_choice": NamedTool(name="clock")}))
    said = wire_of(every).sent(every.vendor.received[0])
    # Where an endpoint takes no name, the tool is the only one it hears of.
    assert said.choice == "clock" or (said.choice, [*said.offered]) == ("required", ["clock"])


async def test_a_streamed_call_comes_back_whole(every: Bench) -> None:
    pieces = ['{"num', 'ber": 4711, ', '"city": "Tromsø"}']
    every.vendor.reply = calling(every, ("call_7", "find_order", pieces))
    response = await ask(every)
    [call] = response.tool_calls
    assert (call.call_id, call.name) == ("call_7", "find_order")
    assert json.loads(call.arguments) == {"number": 4711, "city": "Tromsø"}
    assert response.text == ""
    assert response.finish_reason is FinishReason.TOOL_CALL


async def test_calls_may_stand_beside_words_and_one_another(every: Bench) -> None:
    every.vendor.reply = calling(
        every,
        ("call_1", "find_order", ['{"number": 1}']),
        ("call_2", "find_order", ['{"number": 2}']),
        ("call_3", "clock", []),
        say="Let me look.",
    )
    response = await ask(every)
    assert response.text == "Let me look."
    assert [call.call_id for call in response.tool_calls] == ["call_1", "call_2", "call_3"]
    assert [json.loads(call.arguments) for call in response.tool_calls] == [
        {"number": 1},
        {"number": 2},
        {},
    ]


async def test_calls_and_results_of_earlier_answers_are_sent(every: Bench) -> None:
    calls = tuple(
        ToolCallPart(call_id=f"call_{n}", name="find_order", arguments=f'{{"number": {n}}}')
        for n in (1, 2)
    )
    prompt = Prompt(
        turns=(
            HELLO,
            Turn(speaker=Speaker.ASSISTANT, parts=(TextPart(text=""), *calls)),
            Turn(speaker=Speaker.TOOL, parts=(ToolResultPart(call_id="call_1", text="sent"),)),
            Turn(speaker=Speaker.TOOL, parts=(ToolResultPart(call_id="call_2", text="lost"),)),
        ),
        tools=(FIND,),
    )
    said = await sent(every, prompt)
    assert said.calls == [
        ("call_1", "find_order", {"number": 1}),
        ("call_2", "find_order", {"number": 2}),
    ]
    assert said.results == [("call_1", "sent"), ("call_2", "lost")]
    wanted = {
        "anthropic": ["user", "assistant", "user"],
        "google": ["user", "model", "user"],
    }.get(every.flavour.name, ["user", "assistant", "tool", "tool"])
    assert said.roles == wanted


async def test_a_call_without_a_usable_id_gets_one_of_ours(bench: Bench) -> None:
    bench.vendor.reply = calling(bench, ("no id!", "clock", []), ("no id!", "clock", []))
    first, second = (await ask(bench)).tool_calls
    assert first.call_id.startswith("call_")
    assert first.call_id != second.call_id


async def test_a_call_of_a_tool_that_was_not_offered_is_no_answer(every: Bench) -> None:
    every.vendor.reply = calling(every, ("call_7", "delete_order", ['{"number": 1}']))
    assert await refused(every) is Kind.MALFORMED_RESPONSE


async def test_a_call_that_was_forbidden_is_no_answer(every: Bench) -> None:
    every.vendor.reply = calling(every, ("call_7", "clock", []))
    forbidden = ASKED.model_copy(update={"tool_choice": ToolChoiceMode.NONE})
    assert await refused(every, forbidden) is Kind.MALFORMED_RESPONSE


async def test_another_call_than_the_one_named_is_no_answer(every: Bench) -> None:
    every.vendor.reply = calling(every, ("call_7", "clock", []))
    named = ASKED.model_copy(update={"tool_choice": NamedTool(name="find_order")})
    assert await refused(every, named) is Kind.MALFORMED_RESPONSE


async def test_words_where_a_call_was_required_are_no_answer(every: Bench) -> None:
    model = every.flavour.model
    script = [*every.wire.opening(model), every.wire.text("No.", model), *every.wire.ending(model)]
    every.vendor.reply = Reply(script=tuple(script))
    required = ASKED.model_copy(update={"tool_choice": ToolChoiceMode.REQUIRED})
    assert await refused(every, required) is Kind.MALFORMED_RESPONSE


@pytest.mark.parametrize(
    "arguments", ["[4711]", "4711", '{"number": ', '{"a": 1, "a": 2}', '{"a": NaN}', "canary"]
)
async def test_arguments_that_are_no_plain_json_object_are_no_answer(
    bench: Bench, arguments: str
) -> None:
    if bench.flavour.name == "google":
        pytest.skip("its SDK reads the arguments itself")
    bench.vendor.reply = calling(bench, ("call_7", "find_order", [arguments]))
    assert await refused(bench) is Kind.MALFORMED_RESPONSE


async def test_an_answer_that_announces_a_call_and_makes_none_is_no_answer(bench: Bench) -> None:
    if bench.flavour.name == "google":
        pytest.skip("its answers announce no call")
    bench.vendor.reply = calling(bench, say="I will call.")
    assert await refused(bench) is Kind.MALFORMED_RESPONSE


async def test_calls_of_an_answer_that_was_cut_are_not_handed_on(every: Bench) -> None:
    model = every.flavour.model
    call = wire_of(every).call(0, "call_7", "find_order", ['{"number": 1}'], model)
    script = [*every.wire.opening(model), *call, *every.wire.ending(model, finish="length")]
    every.vendor.reply = Reply(script=tuple(script))
    assert await refused(every) is Kind.TRUNCATED


async def test_a_call_cut_in_the_middle_may_be_charged(every: Bench) -> None:
    model = every.flavour.model
    call = wire_of(every).call(0, "call_7", "find_order", ['{"number": 1}'], model)
    every.vendor.reply = Reply(script=(*every.wire.opening(model), *call, Act.CUT))
    assert await refused(every) is Kind.STREAM_INTERRUPTED


async def test_more_calls_than_anybody_asks_for_are_no_answer(bench: Bench) -> None:
    many = [(f"call_{n}", "clock", list[str]()) for n in range(CALLS_MAX + 1)]
    bench.vendor.reply = calling(bench, *many)
    assert await refused(bench) is Kind.MALFORMED_RESPONSE


async def test_the_pieces_of_the_text_are_told_as_they_come(every: Bench) -> None:
    pieces: list[str] = []
    model = every.flavour.model
    script = [every.wire.text(piece, model) for piece in ("été ", "", " et", "\nhiver")]
    every.vendor.reply = Reply(
        script=(*every.wire.opening(model), *script, *every.wire.ending(model))
    )
    response = await every.provider.complete(every.request(on_text=pieces.append))
    assert pieces == ["été ", " et", "\nhiver"]
    assert "".join(pieces) == response.text


async def test_a_thought_and_a_call_are_no_piece_of_the_text(every: Bench) -> None:
    pieces: list[str] = []
    every.vendor.reply = calling(every, ("call_1", "clock", []), say="Wait.")
    response = await every.provider.complete(every.request(prompt=ASKED, on_text=pieces.append))
    assert "".join(pieces) == response.text == "Wait."


async def test_anthropic_is_told_of_a_tool_that_is_offered_no_more(bench: Bench) -> None:
    """It refuses earlier calls where no tool is defined; the others take them as they are."""
    call = ToolCallPart(call_id="functions.clock:0", name="clock", arguments="{}")
    result = ToolResultPart(call_id="functions.clock:0", text="noon")
    turns = (
        HELLO,
        Turn(speaker=Speaker.ASSISTANT, parts=(call,)),
        Turn(speaker=Speaker.TOOL, parts=(result,)),
        Turn(speaker=Speaker.USER, parts=(TextPart(text="Thanks."),)),
    )
    said = await sent(bench, Prompt(turns=turns))
    is_anthropic = bench.flavour.name == "anthropic"
    assert [*said.offered] == (["clock"] if is_anthropic else [])
    assert said.choice == ("none" if is_anthropic else "auto")
    [(asked, _, _)], [(answered, _)] = said.calls, said.results
    assert asked == answered


HARD = (
    '\u00e9\u6f22\u5b57\U0001f600"quoted"\\back\\slash\n\t' * 20,
    "\x00\x1f\x7f\u2028" * 50,
    "plain words " * 50,
)


@pytest.mark.parametrize("text", HARD, ids=["escapes", "controls", "words"])
async def test_no_request_has_more_bytes_than_its_bound_has_tokens(every: Bench, text: str) -> None:
    """Bytes bound tokens, so what is held before the call covers all that is sent of tools."""
    tools = tuple(
        ToolDefinition(name=f"tool_{n}", description=text, parameters={"description": text})
        for n in range(5)
    )
    arguments = json.dumps({"text": text, "deep": [{"er": [text]}]}, ensure_ascii=False)
    call = ToolCallPart(call_id="call_1", name="tool_1", arguments=arguments)
    turns = (
        HELLO,
        Turn(speaker=Speaker.ASSISTANT, parts=(call,)),
        Turn(speaker=Speaker.TOOL, parts=(ToolResultPart(call_id="call_1", text=text),)),
    )
    prompt = Prompt(turns=turns, tools=tools)
    await sent(every, prompt)
    body = json.dumps(every.vendor.received[0].body, ensure_ascii=False)
    assert len(body.encode()) <= prompt_tokens_max(prompt)
