"""``show`` and ``choose``: what a critic and a judge said, and how near answers are."""

import json

from pointwork.contract.prompt import Prompt
from tests.fakes.scripted_provider import Says
from tests.integration.cli.conftest import CallAside
from tests.integration.cli.test_choose import end
from tests.workflows.stack import NEAR_PACK, VOICES_PACK, Stack
from tests.workflows.test_critic import REMARKS


async def criticised(stack: Stack, task_id: str) -> None:
    declaration = stack.declare(task_id=task_id, task_class="high_stakes_logic", pack=VOICES_PACK)
    stack.script.write_at(task_id, "openai", Says("Sell."))
    stack.script.write_at(task_id, "anthropic", Says(json.dumps(REMARKS)))
    await stack.run(declaration, "Shall we sell?")


async def test_the_four_lists_are_shown_from_the_vault(stack: Stack, pointwork: CallAside) -> None:
    await criticised(stack, "voices-1")
    shown = await pointwork("show", "voices-1")

    assert "claude-sonnet-5: 2 risks, 0 contradictions, 1 missing requirements" in shown.out
    for remarks in REMARKS.values():
        assert all(each in shown.out for each in remarks)
    document = json.loads((await pointwork("show", "voices-1", "--json")).out)
    assert ["risks", "The rates may not move."] in document["critic_said"]
    answer = await pointwork("show", "voices-1", "--answer")
    assert answer.out == "Sell.\n"


async def test_why_a_judge_was_asked_and_what_it_said_is_shown(
    stack: Stack, pointwork: CallAside
) -> None:
    declaration = stack.declare(
        task_id="voices-2", task_class="creative_synthesis", pack=VOICES_PACK
    )
    verdict = {"verdict": "pass", "reasons": ["It rhymes."]}
    stack.script.write_at("voices-2", "anthropic", Says("A poem."))
    stack.script.write_at("voices-2", "openai", Says(json.dumps(verdict)))
    await stack.run(declaration, "Write.")

    shown = await pointwork("show", "voices-2")
    assert "passed it" in shown.out
    assert "It rhymes." in shown.out
    assert "an answer that it does not pass" in (await pointwork("explain", "voices-2")).out


async def test_who_is_asked_to_let_an_answer_out_sees_it_and_what_its_judge_said(
    stack: Stack, pointwork: CallAside
) -> None:
    declaration = stack.declare(
        task_id="voices-4", task_class="creative_synthesis", pack=VOICES_PACK
    )
    verdict = {"verdict": "fail", "reasons": ["It does not rhyme."]}
    stack.script.write_at("voices-4", "anthropic", Says("A poem."))
    stack.script.write_at("voices-4", "openai", Says(json.dumps(verdict)))
    await stack.client.submit(Prompt.from_text("Write."), declaration)
    await stack.open_approval("voices-4")

    shown = await pointwork("show", "voices-4", "--answer")
    assert "A poem." in shown.out
    assert "It does not rhyme." in shown.out
    document = json.loads((await pointwork("show", "voices-4", "--answer", "--json")).out)
    assert document["said"][0]["said"] == "A poem."
    await end(stack, "voices-4")


async def test_a_choice_says_by_which_measure_the_answers_were_compared(
    stack: Stack, pointwork: CallAside
) -> None:
    declaration = stack.declare(task_id="voices-3", task_class="high_stakes_logic", pack=NEAR_PACK)
    for vendor, text in {"openai": "42 kg", "anthropic": "50 kg", "google": "42 kg"}.items():
        stack.script.write_at("voices-3", vendor, Says(text))
    await stack.client.submit(Prompt.from_text("How heavy?"), declaration)
    await stack.open_approval("voices-3")

    shown = await pointwork("choose", "voices-3")
    assert "by number: numbers 0.160000 apart, at most 0.01 of the larger, or 0" in shown.out
    document = json.loads((await pointwork("choose", "voices-3", "--json")).out)
    assert document["comparison"]["measured"]["measure"] == "number"
    await end(stack, "voices-3")
