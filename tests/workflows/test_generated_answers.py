"""Made-up answers of three vendors through a whole system: real server, ledger, vault, workers."""

import asyncio
from random import Random

import pytest

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from tests.fakes.made_up_answers import VENDORS, three_answers
from tests.fakes.scripted_provider import Fails, Says
from tests.scale import Scale
from tests.workflows.stack import NEAR_PACK, SIDE_BY_SIDE_PACK, Stack
from tests.workflows.test_branches import FAILS

TASKS_AT_ONCE, ROUNDS = 4, 12


async def one(stack: Stack, seed: int) -> str:
    """Run one task to its end; where people are asked, one chooses or rejects."""
    random = Random(seed)
    texts = three_answers(random)
    pack = random.choice((NEAR_PACK, SIDE_BY_SIDE_PACK))
    declaration = stack.declare(task_class="high_stakes_logic", pack=pack)
    steps: list[Says | Fails] = [*map(Says, texts), FAILS, FAILS]
    for vendor, step in zip(VENDORS, steps, strict=False):
        stack.script.write_at(declaration.task_id, vendor, step)
    await stack.client.submit(Prompt.from_text("Decide this."), declaration)
    recorded = asyncio.create_task(stack.recorded(declaration.task_id))
    asked = asyncio.create_task(stack.open_approval(declaration.task_id))
    done, _ = await asyncio.wait({recorded, asked}, return_when=asyncio.FIRST_COMPLETED)
    if recorded in done:
        asked.cancel()
        outcome = recorded.result()
        assert outcome.status is TaskStatus.SUCCEEDED
        assert stack.client.answer_text(outcome) in texts
        assert outcome.selection is None
        assert not outcome.approval_ids
        assert outcome.comparison is None if len(texts) == 1 else outcome.comparison is not None
        return "agreed" if outcome.comparison else "alone"
    request = asked.result()
    letter = random.choice([each.letter for each in request.options])
    is_chosen = random.random() < 0.7
    verdict = ApprovalVerdict.APPROVED if is_chosen else ApprovalVerdict.REJECTED
    signed = stack.signed(request, verdict, **({"choice": letter} if is_chosen else {}))
    await stack.client.submit_verdict(signed)
    outcome = await recorded
    assert (outcome.answer is not None) is is_chosen
    assert (outcome.selection is not None) is is_chosen
    if is_chosen:
        (option,) = [each for each in request.options if each.letter == letter]
        assert outcome.answer == option.answer
        assert stack.client.answer_text(outcome) in texts
    return "chosen" if is_chosen else "rejected"


@pytest.mark.req("OM-60", "OM-61")
async def test_people_are_asked_exactly_where_answers_differ_and_nothing_else_settles_it(
    stack: Stack, scale: Scale
) -> None:
    ends: list[str] = []
    for first in range(0, TASKS_AT_ONCE * scale.of(ROUNDS, ROUNDS * 2 // 3), TASKS_AT_ONCE):
        tasks = (one(stack, seed) for seed in range(first, first + TASKS_AT_ONCE))
        ends += await asyncio.gather(*tasks)
    assert {*ends} == {"agreed", "alone", "chosen", "rejected"}
