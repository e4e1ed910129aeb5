"""``choose``: answers that differ are seen in full, and a person's choice of one is signed."""

import json
import uuid

import pytest

from pointwork.cli.errors import ExitCode
from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from tests.fakes.scripted_provider import Says
from tests.integration.cli.conftest import CallAside
from tests.workflows.stack import SIDE_BY_SIDE_PACK, Stack

TEXTS = {
    "openai": "Take Postgres.\nIt scales.",
    "anthropic": "Take SQLite.\nIt scales.",
    "google": "Take neither.\nIt scales.",
}
PLANS = {
    "openai": '{"db": "postgres", "n": 1}',
    "anthropic": '{"db": "sqlite", "n": 1}',
    "google": '{"db": "sqlite", "n": 1, "note": "small"}',
}
MODELS = ("gpt-5.1", "claude-sonnet-5", "gemini-3.1-pro")
WHY = ("--reason", "it fits what we have")


async def disagree(stack: Stack, task_id: str, answers: dict[str, str]) -> ApprovalRequest:
    declaration = stack.declare(
        task_id=task_id, task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK
    )
    for vendor, text in answers.items():
        stack.script.write_at(task_id, vendor, Says(text))
    await stack.client.submit(Prompt.from_text("Which database?"), declaration)
    return await stack.open_approval(task_id)


async def end(stack: Stack, task_id: str) -> None:
    await stack.client.cancel(task_id)
    await stack.recorded(task_id)


async def test_a_choice_is_listed_with_the_command_that_shows_it(
    stack: Stack, pointwork: CallAside
) -> None:
    await disagree(stack, "choose-1", TEXTS)
    listed = await pointwork("inbox")

    assert "choose-1" in listed.out
    assert "choice" in listed.out
    assert "answers differ" in listed.err
    assert "pointwork choose ID" in listed.err
    shown = await pointwork("show", "choose-1")
    assert "choice" in shown.out
    await end(stack, "choose-1")


async def test_every_answer_is_printed_in_full_with_its_model_its_cost_and_the_difference(
    stack: Stack, pointwork: CallAside
) -> None:
    request = await disagree(stack, "choose-2", TEXTS)
    called = await pointwork("choose", "choose-2")

    assert called.code == ExitCode.OK
    for text in TEXTS.values():
        assert text in called.out
    for option in request.options:
        assert f"=== Answer {option.letter}: {option.model}, $" in called.out
    first, second = (each.split("\n")[0] for each in ordered(request, TEXTS)[:2])
    assert f"-{first}" in called.out
    assert f"+{second}" in called.out
    assert "differs at  line 1" in called.out
    await end(stack, "choose-2")


def ordered(request: ApprovalRequest, answers: dict[str, str]) -> list[str]:
    """The answers in the order in which they are shown."""
    by_model = dict(zip(MODELS, answers.values(), strict=True))
    return [by_model[each.model] for each in request.options]


async def test_json_answers_are_told_apart_by_place_with_each_value(
    stack: Stack, pointwork: CallAside
) -> None:
    await disagree(stack, "choose-3", PLANS)
    called = await pointwork("choose", "choose-3")
    places = [line.split() for line in called.out.splitlines() if line.startswith("/")]

    assert [each[0] for each in places] == ["/db", "/note"]
    assert sorted(places[0][1:]) == ['"postgres"', '"sqlite"', '"sqlite"']
    assert sorted(places[1][1:]) == ['"small"', "(absent)", "(absent)"]
    await end(stack, "choose-3")


async def test_blind_hides_which_model_gave_which_answer_and_what_each_cost(
    stack: Stack, pointwork: CallAside
) -> None:
    request = await disagree(stack, "choose-4", TEXTS)
    plain = await pointwork("choose", "choose-4", "--blind")
    document = await pointwork("choose", "choose-4", "--blind", "--json")

    for called in (plain, document):
        assert called.code == ExitCode.OK
        assert not [model for model in MODELS if model in called.out]
    assert "=== Answer A\n" in plain.out
    answers = json.loads(document.out)["answers"]
    assert [each["answer"] for each in answers] == ordered(request, TEXTS)
    assert {*answers[0]} == {"letter", "answer"}
    await end(stack, "choose-4")


async def test_json_holds_every_answer_and_the_comparison(
    stack: Stack, pointwork: CallAside
) -> None:
    request = await disagree(stack, "choose-5", TEXTS)
    document = json.loads((await pointwork("choose", "choose-5", "--json")).out)

    assert document["disagreement"] is True
    assert [each["model"] for each in document["answers"]] == [e.model for e in request.options]
    assert [each["answer"] for each in document["answers"]] == ordered(request, TEXTS)
    assert document["comparison"]["differences"] == ["line 1"]
    await end(stack, "choose-5")


@pytest.mark.req("OM-63")
async def test_a_chosen_answer_is_signed_delivered_and_shown_with_who_chose_it(
    stack: Stack, pointwork: CallAside
) -> None:
    request = await disagree(stack, "choose-6", TEXTS)
    called = await pointwork("choose", "choose-6", "b", *WHY)
    outcome = await stack.recorded("choose-6")

    assert called.code == ExitCode.OK
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.selection is not None
    assert (outcome.selection.approver, outcome.selection.choice) == ("owner", "B")
    answer = await pointwork("show", "choose-6", "--answer")
    assert answer.out.rstrip("\n") == ordered(request, TEXTS)[1]
    shown = (await pointwork("show", "choose-6")).out
    assert f"chosen: B ({request.options[1].model}) by owner, it fits what we have" in shown
    assert "choose-6" not in (await pointwork("inbox")).out


async def test_rejecting_a_choice_ends_the_task_without_an_answer(
    stack: Stack, pointwork: CallAside
) -> None:
    await disagree(stack, "choose-7", TEXTS)
    called = await pointwork("deny", "choose-7", "--reason", "none of them is right")
    outcome = await stack.recorded("choose-7")

    assert called.code == ExitCode.OK
    assert (outcome.status, outcome.answer) == (TaskStatus.DENIED, None)
    assert "differ, and no person chose one" in (await pointwork("show", "choose-7")).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("choose", "ID", "D", *WHY), "'D' is none of the answers; name one of A, B, C"),
        (("choose", "ID", "A"), "--reason is missing"),
        (("choose", "ID", *WHY), "--reason is given without an answer"),
        (("choose", "ID", "A", "--reason", "short"), "--reason has 5 characters"),
        (("choose", "nobody"), "'nobody' waits for no approval"),
        (("approve", "ID", *WHY), "see them with `pointwork choose"),
    ],
)
async def test_what_cannot_be_a_choice_is_told_in_a_sentence_and_changes_nothing(
    stack: Stack, pointwork: CallAside, arguments: tuple[str, ...], words: str
) -> None:
    task_id = f"choose-{uuid.uuid4().hex[:12]}"
    await disagree(stack, task_id, TEXTS)
    called = await pointwork(*(task_id if each == "ID" else each for each in arguments))

    assert called.code == ExitCode.BAD_INPUT
    assert words in called.error_lines[0]
    assert (await stack.client.status(task_id)).status is TaskStatus.PENDING_APPROVAL
    await end(stack, task_id)


async def test_an_approval_of_another_kind_offers_no_choice(
    stack: Stack, pointwork: CallAside
) -> None:
    declaration = stack.declare(
        task_id="choose-9", task_class="high_stakes_logic", sensitivity=None
    )
    await stack.client.submit(Prompt.from_text("Decide this."), declaration)
    await stack.open_approval("choose-9")
    called = await pointwork("choose", "choose-9")

    assert called.code == ExitCode.BAD_INPUT
    assert "waits for an approval (data classification), not for a choice" in called.err
    await end(stack, "choose-9")


async def test_escape_sequences_of_an_answer_reach_no_difference_line(
    stack: Stack, pointwork: CallAside
) -> None:
    await disagree(stack, "choose-10", TEXTS | {"openai": "Take\x1b[2J Postgres."})
    called = await pointwork("choose", "choose-10")
    marked = called.out[called.out.index("=== What differs") :]

    assert "\x1b" not in marked
    assert "Postgres." in marked
    await end(stack, "choose-10")
