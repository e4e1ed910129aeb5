"""A class's own rule for what counts as one answer, in running tasks: near, and not near enough."""

from decimal import Decimal

import pytest

from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.comparisons import ComparisonLog
from tests.fakes.scripted_provider import Says
from tests.workflows.stack import NEAR_PACK, Stack
from tests.workflows.test_branches import side_by_side
from tests.workflows.test_choices import ANSWERS, disagree, end

LONG = "the river runs past a mill and its wheel turns in cold water"


async def near(stack: Stack, *texts: str) -> tuple[TaskStatus, str, str]:
    outcome = await side_by_side(stack, *map(Says, texts), pack=NEAR_PACK)
    compared = outcome.comparison
    assert compared is not None
    assert compared.measured is not None
    assert compared.stands == "A"
    (first,) = [each for each in outcome.branches if each.letter == "A"]
    assert (outcome.answer, outcome.served_model) == (first.answer, first.model)
    return outcome.status, stack.client.answer_text(outcome), outcome.task_id


@pytest.mark.parametrize(
    ("texts", "measure", "value"),
    [
        (("42 kg", "42.1 kg", "42.2 kg"), "number", Decimal("0.004740")),
        (('{"kg": 42}', '{"kg": 42.1}', '{"kg": 42}'), "json", Decimal("0.002376")),
        (
            (LONG, LONG.replace("cold", "clear"), LONG),
            "word_subsequence",
            Decimal("0.9230"),
        ),
    ],
    ids=["numbers", "JSON", "text"],
)
async def test_near_answers_are_one_answer_byte_for_byte_that_of_the_letter_a(
    stack: Stack, texts: tuple[str, str, str], measure: str, value: Decimal
) -> None:
    status, answer, task_id = await near(stack, *texts)
    assert status is TaskStatus.SUCCEEDED
    assert answer in texts

    (row,) = ComparisonLog(stack.parts.engine).of_task(task_id)
    assert row.measured is not None
    assert (row.measured.measure, row.measured.value) == (measure, value)
    (record,) = [
        each
        for each in AuditChain(stack.parts.engine).records(100_000)
        if each.task_id == task_id and each.kind == "comparison"
    ]
    assert record.body["measured"]["measure"] == measure
    assert Decimal(record.body["measured"]["value"]) == value


async def test_answers_that_are_not_near_go_to_a_person_with_the_measure(stack: Stack) -> None:
    request = await disagree(stack, pack=NEAR_PACK)
    compared = request.comparison
    assert compared is not None
    assert compared.measured is not None
    assert (compared.measured.measure, compared.stands) == ("word_subsequence", None)
    assert len(request.options) == len(ANSWERS)
    await end(stack, request)


async def test_one_negation_more_goes_to_a_person_however_alike_the_rest_is(stack: Stack) -> None:
    declaration = stack.declare(task_class="high_stakes_logic", pack=NEAR_PACK)
    for vendor, text in zip(ANSWERS, (LONG, f"not {LONG}", LONG), strict=True):
        stack.script.write_at(declaration.task_id, vendor, Says(text))
    await stack.client.submit(Prompt.from_text("Is it?"), declaration)
    request = await stack.open_approval(declaration.task_id)
    measured = request.comparison.measured if request.comparison else None
    assert measured is not None
    assert measured.value is not None
    assert measured.value > Decimal("0.95")
    assert measured.stopped_by == "figures_or_negation"
    await end(stack, request)
