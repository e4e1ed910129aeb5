"""One model drafts, questions its draft and answers: three calls, in this order, of one binding."""

import json

import pytest

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import AttemptState, TaskStatus
from pointwork.contract.prompt import Speaker
from tests.fakes.scripted_provider import Fails, Says
from tests.workflows.stack import SELF_CRITICAL_PACK, VOICES_PACK, Stack
from tests.workflows.test_codex_roles import PLAN
from tests.workflows.test_route_task import SCHEMA, scheduled

SAID = (Says("A draft."), Says("What does it leave out?"), Says("A final answer."))


async def test_draft_questions_and_answer_are_three_calls_of_one_model_in_this_order(
    stack: Stack,
) -> None:
    task = stack.declare(task_class="red_team", pack=VOICES_PACK)
    stack.script.write(task.task_id, *SAID)
    outcome = await stack.run(task, "Attack this plan.")
    calls = stack.script.calls[task.task_id]

    assert stack.client.answer_text(outcome) == "A final answer."
    assert [each.model for each in outcome.attempts] == ["grok-4.5"] * 3
    assert [each.state for each in outcome.attempts] == [AttemptState.DONE] * 3
    assert {each.request.model for each in calls} == {"grok-4.5"}
    assert not outcome.fallbacks
    said = [[turn.speaker for turn in each.request.prompt.turns] for each in calls]
    user, assistant = Speaker.USER, Speaker.ASSISTANT
    assert said == [[user], [user, assistant, user], [user, assistant, user, assistant, user]]
    third = calls[2].request.prompt.text
    assert third.index("Attack this plan.") < third.index("A draft.")
    assert third.index("A draft.") < third.index("What does it leave out?")


@pytest.mark.req("CX-34")
async def test_an_architects_plan_is_drafted_questioned_and_written_by_one_binding(
    stack: Stack,
) -> None:
    task = stack.declare(task_class="architect", pack=SELF_CRITICAL_PACK)
    stack.script.write(task.task_id, *SAID[:2], Says(json.dumps(PLAN)))
    outcome = await stack.run(task, "Plan the split.")

    assert outcome.status is TaskStatus.SUCCEEDED
    assert json.loads(stack.client.answer_text(outcome)) == PLAN
    assert [each.model for each in outcome.attempts] == ["claude-sonnet-5"] * 3
    asked = [each.request.answer_schema for each in stack.script.calls[task.task_id]]
    assert asked[1] is None
    assert asked[2] is not None


async def test_each_of_the_three_is_held_before_its_call(stack: Stack) -> None:
    task = stack.declare(task_class="red_team", pack=VOICES_PACK)
    stack.script.write(task.task_id, *SAID)
    outcome = await stack.run(task, "Attack this plan.")
    steps = [name for name, _ in await scheduled(stack, task.task_id)]
    charged = [name for name in steps if name in ("budget-reserve", "invoke-model")]

    assert charged == ["budget-reserve", "invoke-model"] * 3
    assert outcome.cost_nano_usd == sum(each.cost_nano_usd for each in outcome.attempts)


@pytest.mark.parametrize("place", [1, 2], ids=["the questions", "the answer"])
async def test_a_failure_in_the_middle_is_a_failed_attempt_and_another_model_begins_anew(
    stack: Stack, place: int
) -> None:
    task = stack.declare(task_class="red_team", pack=VOICES_PACK)
    begun: list[Says | Fails] = [*SAID[:place], Fails(ProviderFailureKind.OVERLOADED)]
    stack.script.write(task.task_id, *begun, *SAID)
    outcome = await stack.run(task, "Attack this plan.")

    assert outcome.status is TaskStatus.SUCCEEDED
    assert stack.client.answer_text(outcome) == "A final answer."
    models = [each.model for each in outcome.attempts]
    assert models[: place + 1] == ["grok-4.5"] * (place + 1)
    assert len({*models[place + 1 :]}) == 1
    assert models[-1] != "grok-4.5"
    assert len(outcome.fallbacks) == 1


async def test_the_final_answer_alone_must_satisfy_the_schema(stack: Stack) -> None:
    task = stack.declare(task_class="red_team", pack=VOICES_PACK)
    stack.script.write(task.task_id, *SAID[:2], Says('{"name": "Ada"}'))
    outcome = await stack.run(task, "Attack this plan.", schema=SCHEMA)

    assert outcome.status is TaskStatus.SUCCEEDED
    assert stack.client.answer_text(outcome) == '{"name": "Ada"}'
    assert stack.script.calls[task.task_id][1].request.answer_schema is None
    assert stack.script.calls[task.task_id][2].request.answer_schema is not None
