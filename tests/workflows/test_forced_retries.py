"""Each activity twice: Temporal runs it again because its first answer never arrived."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.names import SWEEP_LEDGER, WORKFLOW_QUEUE, ActivityName
from pointwork.contract.outcome import Reservation, ReserveOutcome, TaskStatus
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.policy.documents.load import load_library
from tests.fakes.lost_answers import LostAnswers, Retried
from tests.fakes.policy_facts import POLICIES
from tests.fakes.scripted_provider import Says, Script
from tests.fakes.tiny_onnx import constant_detector
from tests.integration.executors.conftest import image_prompt
from tests.unit.executors.test_vision import OUTPUT, image
from tests.workflows.bulk import Bulk
from tests.workflows.stack import VOICES_PACK, Stack, open_test_parts, running
from tests.workflows.test_critic import REMARKS
from tests.workflows.test_packs_differ import corpus_of_three

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
QUESTION = Prompt.from_text("When do brake pads wear out?")
WAITING: dict[str, Any] = {"task_class": "high_stakes_logic", "sensitivity": None}
"""What waits for a person before it may leave."""
OF_THE_MOMENT = {
    ActivityName.READ_SIGNALS,
    ActivityName.SWEEP_LEDGER,
    ActivityName.CLOSE_BULK_ITEMS,
}
"""They tell how things stand, or how much there was left to do, so a second answer may differ."""


@dataclass
class House:
    stack: Stack
    lost: LostAnswers

    async def submit(
        self, prompt: Prompt, schema: AnswerSchema | None = None, **declared: Any
    ) -> str:
        task = self.stack.declare(**declared)
        # What the client writes is not to stand beside what an activity does.
        async with self.lost.turn:
            return await self.stack.client.submit(prompt, task, schema)

    async def succeeds(self, task_id: str) -> str:
        outcome = await self.stack.recorded(task_id)
        assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
        return task_id


@asynccontextmanager
async def losing(server: WorkflowEnvironment, folder: Path) -> AsyncIterator[House]:
    """On a host that serves embeddings and vision too."""
    script = Script()
    parts = open_test_parts(folder, load_library(POLICIES, "rtx5090"), script)
    detector = folder / "detector.onnx"
    detector.write_bytes(constant_detector(OUTPUT))
    vision = {
        "vision_model": detector,
        "vision_model_sha256": hashlib.sha256(detector.read_bytes()).hexdigest(),
    }
    parts = replace(parts, settings=parts.settings.model_copy(update=vision))
    lost = LostAnswers(parts.engine)
    async with running(server, parts, script, interceptors=[lost]) as stack:
        yield House(stack, lost)
    parts.threads.shutdown()
    parts.engine.dispose()


async def approved_and_checked(house: House) -> str:
    """Waits for a person, leaves the house redacted, and owes an answer of a given form."""
    stack, task_id = house.stack, "approved-and-checked"
    stack.script.write(task_id, Says(json.dumps({"n": 3})))
    words = Prompt.from_text("How many letters has this line?")
    await house.submit(words, NUMBER, task_id=task_id, **WAITING)
    request = await stack.open_approval(task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    return await house.succeeds(task_id)


async def criticised(house: House) -> str:
    script, task_id = house.stack.script, "criticised"
    script.write_at(task_id, "openai", Says("Sell."))
    script.write_at(task_id, "anthropic", Says(json.dumps(REMARKS)))
    words = Prompt.from_text("Shall we sell?")
    await house.submit(words, task_id=task_id, pack=VOICES_PACK, task_class="high_stakes_logic")
    return await house.succeeds(task_id)


async def from_the_cache(house: House) -> list[str]:
    """The same twice: a model answers the first, and the second gets that answer."""
    declared: dict[str, Any] = {"pack": "juggernaut", "task_class": "normal"}
    return [await house.succeeds(await house.submit(QUESTION, **declared)) for _ in range(2)]


async def in_bulk(house: House) -> None:
    """Its first item is a task that somebody else started; the run is called off meanwhile."""
    stack, turn = house.stack, house.lost.turn
    bulk = Bulk(stack, count=3, in_flight=1, declared=WAITING)
    async with turn:
        await stack.client.submit(bulk.items[0].prompt, bulk.items[0].declaration)
    await stack.open_approval(bulk.task_ids[0])
    async with turn:
        await bulk.start()
    await bulk.until(in_flight=1)
    async with turn:
        await bulk.runs.cancel(bulk.run_id)
    await bulk.closed()
    assert bulk.statuses() == [TaskStatus.CANCELLED] * 3


async def without_a_model(house: House) -> None:
    corpus_of_three(house.stack, "manual")
    retrieval = {"task_class": "stage0_retrieval", "corpus": "manual"}
    steps: list[tuple[Prompt, dict[str, Any]]] = [
        (QUESTION, retrieval),
        (QUESTION, {"task_class": "embeddings"}),
        (image_prompt(image()), {"task_class": "cv"}),
    ]
    for prompt, declared in steps:
        await house.succeeds(await house.submit(prompt, pack="codex", **declared))


def says_the_same(retried: Retried) -> bool:
    """A hold that stands already is told as one that exists, and is otherwise the same."""
    first, again = retried.first, retried.again
    if isinstance(again, Reservation) and again.outcome is ReserveOutcome.EXISTS:
        again = again.model_copy(update={"outcome": ReserveOutcome.RESERVED})
    return bool(again == first)


@pytest.mark.req("DC-13")
async def test_an_activity_that_runs_again_changes_nothing_and_answers_the_same(
    own_server: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with losing(own_server, tmp_path) as house:
        equal, checked, reviewed, *_ = await asyncio.gather(
            from_the_cache(house),
            approved_and_checked(house),
            criticised(house),
            without_a_model(house),
            in_bulk(house),
        )
        await house.stack.temporal.execute_workflow(
            SWEEP_LEDGER, id="one-sweep", task_queue=WORKFLOW_QUEUE
        )

        retried = house.lost.retried
        assert {each.activity for each in retried} == set(ActivityName)
        assert {each.activity: each.written for each in retried if each.written} == {}
        for each in retried:
            assert each.activity in OF_THE_MOMENT or says_the_same(each), each.activity
        calls = house.stack.script.calls
        assert [len(calls[name]) for name in (*equal, checked, reviewed)] == [1, 0, 1, 2]
