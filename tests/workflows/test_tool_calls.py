"""Tools pass through a task: offered, called, answered; what is private in them stays at home."""

import json

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.failures import FailureType, TaskRefusedError
from pointwork.contract.outcome import FinishReason, TaskOutcome, TaskStatus
from pointwork.contract.prompt import (
    Answer,
    Prompt,
    Speaker,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Turn,
)
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import DataClass, PrivacyTier, TaskDeclaration
from pointwork.contract.tools import ToolCall, ToolDefinition
from tests.fakes.scripted_provider import Says
from tests.workflows.stack import NEAR_PACK, SIDE_BY_SIDE_PACK, VOICES_PACK, Stack
from tests.workflows.test_canary import database_bytes, strings
from tests.workflows.test_judge import PASS
from tests.workflows.test_route_task import SCHEMA

CLOUD_CLASS = "creative_synthesis"
MAIL, KEPT = "heron.keeper@example.com", "grebe.keeper@example.com"
FIND = ToolDefinition(
    name="find_nest",
    description=f"Finds a nest; ask {KEPT} for more.",
    parameters={"type": "object", "properties": {"keeper": {"type": "string"}}},
)
HELLO = Turn(speaker=Speaker.USER, parts=(TextPart(text="Where does it nest?"),))
ASKED = Prompt(turns=(HELLO,), tools=(FIND,))


def calls(**arguments: object) -> Says:
    call = ToolCall(call_id="call_9", name="find_nest", arguments=json.dumps(arguments))
    return Says("", tool_calls=(call,))


async def run(stack: Stack, prompt: Prompt, declaration: TaskDeclaration) -> TaskOutcome:
    await stack.client.submit(prompt, declaration)
    return await stack.recorded(declaration.task_id)


async def run_approved(stack: Stack, prompt: Prompt, *answers: Says) -> tuple[TaskOutcome, Prompt]:
    """The outcome of a task that a person lets out of the house, and the prompt that left."""
    declaration = stack.declare(
        task_class=CLOUD_CLASS, sensitivity=None, data_classes=(DataClass.PERSONAL,)
    )
    stack.script.write(declaration.task_id, *answers)
    await stack.client.submit(prompt, declaration)
    request = await stack.open_approval(declaration.task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(declaration.task_id)
    [call] = stack.script.calls[declaration.task_id]
    return outcome, call.request.prompt


async def test_a_task_offers_its_tools_and_ends_in_the_models_calls(stack: Stack) -> None:
    declaration = stack.declare(task_class=CLOUD_CLASS)
    plain = FIND.model_copy(update={"description": "Finds a nest."})
    stack.script.write(declaration.task_id, calls(keeper="the miller"))
    outcome = await run(stack, Prompt(turns=(HELLO,), tools=(plain,)), declaration)
    [called] = stack.script.calls[declaration.task_id]

    assert called.request.prompt.tools == (plain,)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.finish_reason is FinishReason.TOOL_CALL
    answer = stack.client.answer(outcome)
    assert answer.text == stack.client.answer_text(outcome) == ""
    [call] = answer.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("find_nest", {"keeper": "the miller"})


async def test_what_is_private_in_tools_and_results_leaves_redacted_and_comes_back(
    stack: Stack,
) -> None:
    called = ToolCallPart(
        call_id="call_1", name="find_nest", arguments=json.dumps({"keeper": MAIL})
    )
    answered = ToolResultPart(call_id="call_1", text=f'{{"keeper": "{MAIL}", "key": "AKIA"}}')
    turns = (
        HELLO,
        Turn(speaker=Speaker.ASSISTANT, parts=(called,)),
        Turn(speaker=Speaker.TOOL, parts=(answered,)),
    )
    outcome, left = await run_approved(
        stack, Prompt(turns=turns, tools=(FIND,)), calls(keeper="<EMAIL_1>", note='say "hi"')
    )
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    for private in (MAIL, KEPT):
        assert private not in left.model_dump_json()
    assert json.loads(left.turns[1].calls[0].arguments) == {"keeper": "<EMAIL_1>"}
    assert left.turns[2].results[0].text == '{"keeper": "<EMAIL_1>", "key": "AKIA"}'
    assert left.tools[0].description == "Finds a nest; ask <EMAIL_2> for more."
    [call] = stack.client.answer(outcome).tool_calls
    assert json.loads(call.arguments) == {"keeper": MAIL, "note": 'say "hi"'}

    history = await stack.temporal.get_workflow_handle(outcome.task_id).fetch_history()
    recorded = "\n".join(strings(json.loads(history.to_json())))
    for private in (MAIL, KEPT, "find_nest", 'say "hi"'):
        assert private not in recorded
        assert private not in database_bytes(stack)


async def test_tools_go_to_a_model_that_knows_tools_or_nowhere(stack: Stack) -> None:
    declaration = stack.declare(privacy_tier=PrivacyTier.LOCAL_ONLY)
    outcome = await run(stack, ASKED, declaration)

    assert outcome.status is TaskStatus.DENIED
    assert not stack.script.calls[declaration.task_id]
    record = stack.outcomes.latest_decision(declaration.task_id)
    assert record is not None
    assert record.input.classification.has_tools
    reasons = {each.model: each.reason for each in record.plan.rejected}
    assert reasons["smollm2-135m"] is ReasonCode.CAPABILITY


async def test_an_answer_that_calls_tools_passes_no_check_of_its_text(stack: Stack) -> None:
    """A schema says what the text must be, and nothing of what the caller would run."""
    declaration = stack.declare(task_class=CLOUD_CLASS)
    stack.script.write(declaration.task_id, calls(), Says('{"name": "Ada"}'))
    plain = Prompt(turns=(HELLO,), tools=(ToolDefinition(name="find_nest"),))
    await stack.client.submit(plain, declaration, SCHEMA)
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert stack.client.answer(outcome) == Answer(text='{"name": "Ada"}')
    assert [each.cause.partition(":")[0] for each in outcome.fallbacks] == ["tool_calls"]


async def test_a_judge_looks_at_the_calls_and_at_what_was_offered(stack: Stack) -> None:
    declaration = stack.declare(task_class=CLOUD_CLASS, pack=VOICES_PACK)
    stack.script.write_at(declaration.task_id, "anthropic", calls(keeper="the miller"))
    stack.script.write_at(declaration.task_id, "openai", PASS)
    plain = FIND.model_copy(update={"description": "Finds a nest."})
    outcome = await run(stack, Prompt(turns=(HELLO,), tools=(plain,)), declaration)
    [judged] = [
        each.request.prompt
        for each in stack.script.calls[declaration.task_id]
        if each.endpoint == "openai"
    ]

    assert outcome.status is TaskStatus.SUCCEEDED
    assert 'find_nest({"keeper": "the miller"})' in judged.text
    assert "Finds a nest." in judged.text
    assert not judged.has_tools


async def side_by_side(stack: Stack, pack: str, *keepers: str) -> TaskDeclaration:
    declaration = stack.declare(task_class="high_stakes_logic", pack=pack)
    for vendor, keeper in zip(("openai", "anthropic", "google"), keepers, strict=True):
        stack.script.write_at(declaration.task_id, vendor, calls(keeper=keeper))
    plain = FIND.model_copy(update={"description": "Finds a nest."})
    await stack.client.submit(Prompt(turns=(HELLO,), tools=(plain,)), declaration)
    return declaration


async def test_equal_calls_are_one_answer(stack: Stack) -> None:
    declaration = await side_by_side(stack, SIDE_BY_SIDE_PACK, *["the miller"] * 3)
    outcome = await stack.recorded(declaration.task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert len(stack.client.answer(outcome).tool_calls) == 1


@pytest.mark.parametrize("pack", [SIDE_BY_SIDE_PACK, NEAR_PACK])
async def test_calls_that_differ_at_all_go_to_a_person_who_sees_them(
    stack: Stack, pack: str
) -> None:
    words = "the keeper of the old mill by the long pond in the north"
    declaration = await side_by_side(stack, pack, words, words, f"{words} please")
    request = await stack.open_approval(declaration.task_id)
    shown = [
        stack.parts.content.answer_text(request.task_id, each.answer) for each in request.options
    ]
    assert sum(words in each for each in shown) == 3
    await stack.client.cancel(declaration.task_id)
    outcome = await stack.recorded(declaration.task_id)
    assert outcome.status is TaskStatus.CANCELLED


async def test_parameters_that_are_no_schema_are_refused_before_anything_is_kept(
    stack: Stack,
) -> None:
    tool = ToolDefinition(name="find_nest", parameters={"type": "canary"})
    with pytest.raises(TaskRefusedError, match=r"tools\.0\.parameters is no JSON") as refused:
        await stack.client.submit(Prompt(turns=(HELLO,), tools=(tool,)), stack.declare())
    assert "canary" not in str(refused.value)


async def test_a_call_whose_arguments_cannot_be_restored_is_no_answer(stack: Stack) -> None:
    """Two keys of one object would both be the same address."""
    prompt = Prompt(
        turns=(Turn(speaker=Speaker.USER, parts=(TextPart(text=f"Ask {MAIL}."),)),), tools=(FIND,)
    )
    declaration = stack.declare(
        task_class=CLOUD_CLASS, sensitivity=None, data_classes=(DataClass.PERSONAL,)
    )
    unusable = calls(**{"<EMAIL_1>": 1, MAIL: 2})
    stack.script.write(declaration.task_id, *[unusable] * 20)
    await stack.client.submit(prompt, declaration)
    request = await stack.open_approval(declaration.task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(declaration.task_id)

    assert outcome.failure is FailureType.PROVIDERS_EXHAUSTED
    assert outcome.answer is None
    assert {each.failure for each in outcome.attempts} == {"MALFORMED_RESPONSE"}


def cached_class(stack: Stack) -> TaskDeclaration:
    return stack.declare(pack="juggernaut", task_class="normal")


async def test_an_answer_serves_no_task_that_offers_other_tools(stack: Stack) -> None:
    declarations = [cached_class(stack) for _ in range(3)]
    plain = ToolDefinition(name="find_nest")
    prompts = [
        Prompt(turns=(HELLO,), tools=tools)
        for tools in ((plain,), (plain, ToolDefinition(name="clock")), (plain,))
    ]
    outcomes = [
        await run(stack, prompt, declaration)
        for prompt, declaration in zip(prompts, declarations, strict=True)
    ]
    assert [each.is_cached for each in outcomes] == [False, False, True]


async def test_a_call_is_never_served_again(stack: Stack) -> None:
    """What its caller would run was asked for once, and for then."""
    prompt = Prompt.from_text("Look once more.").model_copy(
        update={"tools": (ToolDefinition(name="find_nest"),)}
    )
    for declaration in (cached_class(stack), cached_class(stack)):
        stack.script.write(declaration.task_id, calls(keeper="the heron"))
        outcome = await run(stack, prompt, declaration)
        assert not outcome.is_cached
        assert stack.client.answer(outcome).tool_calls
