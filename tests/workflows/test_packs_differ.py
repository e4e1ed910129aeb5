"""What a pack's switches change in a running task: redaction, temperature, no model at all."""

import json
from pathlib import Path

import pytest

from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.executors.corpora import index_path
from pointwork.executors.corpus import Corpus
from pointwork.executors.retrieval import build_index
from tests.workflows.stack import Stack

SECRET = "sk-ant-api03-" + "Zb7" * 31 + "AA"
MAIL = "ada.lovelace@analytical-engines.example"


def sent(stack: Stack, task_id: str) -> str:
    (call,) = stack.script.calls[task_id]
    return call.request.prompt.text


async def test_a_pack_that_leaves_identifiers_alone_still_replaces_every_secret(
    stack: Stack,
) -> None:
    task = stack.declare(pack="juggernaut", task_class="code")
    outcome = await stack.run(task, f"Why does {SECRET} fail for {MAIL}?")

    assert outcome.status is TaskStatus.SUCCEEDED
    text = sent(stack, task.task_id)
    assert SECRET not in text
    assert "<SECRET_1>" in text
    assert MAIL in text


async def test_the_packs_temperature_goes_before_the_callers(stack: Stack) -> None:
    task = stack.declare(pack="juggernaut", task_class="normal")
    await stack.run(task, "Compare the two.")
    (call,) = stack.script.calls[task.task_id]

    assert task.constraints.temperature == 0.2
    assert call.request.temperature == 0.7


def corpus_of_three(stack: Stack, name: str) -> None:
    folder = Path(stack.parts.settings.corpora_path)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": "brakes", "title": "Brakes", "text": "The brake pads wear out after a while."},
        {"id": "lights", "title": "Lights", "text": "Change the bulb of the head light."},
        {"id": "tyres", "title": "Tyres", "text": "Check the pressure of each tyre."},
    ]
    source = folder / f"{name}.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    build_index(Corpus.load(source), index_path(folder, name))


@pytest.mark.req("SP-15")
async def test_a_step_a_solver_can_do_calls_no_model_and_holds_no_money(stack: Stack) -> None:
    corpus_of_three(stack, "manual")
    task = stack.declare(
        pack="socioprophet",
        task_class="routine_execution",
        marks=("deterministic_solver",),
        corpus="manual",
    )
    outcome = await stack.run(task, "When do brake pads wear out?")

    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    assert outcome.served_model == "stage0-retrieval"
    assert not stack.script.calls[task.task_id]
    assert not outcome.attempts
    assert outcome.cost_nano_usd == 0
    assert ranked(stack, outcome)[0] == "brakes"


def ranked(stack: Stack, outcome: TaskOutcome) -> list[str]:
    assert outcome.answer is not None
    passages = json.loads(stack.parts.content.answer_text(outcome.task_id, outcome.answer))
    return [each["id"].partition("#")[0] for each in passages]


async def test_an_unknown_corpus_ends_the_task_in_words_and_calls_nothing(stack: Stack) -> None:
    task = stack.declare(
        pack="socioprophet",
        task_class="routine_execution",
        marks=("deterministic_solver",),
        corpus="nowhere",
        privacy_tier="local_only",
    )
    stack.script.write(task.task_id)
    outcome = await stack.run(task, "Find it.")

    assert all(call.endpoint == "local-gpu" for call in stack.script.calls[task.task_id])
    first = outcome.fallbacks[0] if outcome.fallbacks else None
    assert first is None or first.from_model == "stage0-retrieval"
