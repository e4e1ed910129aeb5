"""Every call of a task has its worst case held before it: branches and adviser (reliability 19)."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.money import worst_case_nano_usd
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.ledger.content import SealedContent
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from tests.fakes.policy_facts import changed
from tests.fakes.scripted_provider import Call, Says, Script
from tests.integration.ledger.conftest import Ledger
from tests.workflows.stack import Stack, open_test_parts, running
from tests.workflows.test_codex_roles import PLAN
from workers.policy_library import with_stored_revisions

BRANCHES = (1, 2, 3, 4, 5)


def asking(bundle: PolicyBundle, branches: int) -> PolicyBundle:
    """The pack in which a high-stakes task asks so many vendors at once."""
    classes = {name: row.model_dump() for name, row in bundle.pack.classes.items()}
    classes["high_stakes_logic"] |= {
        "parallel": branches if branches > 1 else None,
        "rungs": [["gpt_class"], ["claude_class", "gemini_class", "grok_class"], ["local_open"]],
        "quality_floor": 1,
    }
    return changed(bundle, pack={"pack": f"fan-{branches}", "classes": classes})


@pytest.fixture
async def stack(
    ledger: Ledger, temporal_server: WorkflowEnvironment, library: PolicyLibrary, tmp_path: Path
) -> AsyncIterator[Stack]:
    """The whole of Pointwork on the ledger under test."""
    script = Script()
    parts = open_test_parts(tmp_path, library, script)
    parts.engine.dispose()
    fans = [asking(library.active("omega"), branches) for branches in BRANCHES]
    shipped = [library.active(name) for name in library.packs]
    parts = replace(
        parts,
        engine=ledger.engine,
        vault=ledger.vault,
        content=SealedContent(ledger.vault),
        library=with_stored_revisions(ledger.engine, PolicyLibrary([*shipped, *fans])),
    )
    async with running(temporal_server, parts, script) as started:
        yield started
    parts.threads.shutdown()


def held(ledger: Ledger, task_id: str) -> list[int]:
    query = f"SELECT amount_nano_usd FROM hold_part WHERE task_id = '{task_id}'"
    return [row["amount_nano_usd"] for row in ledger.rows(query)]


def worst_case(bundle: PolicyBundle, call: Call) -> int:
    """Of the request as it went out, at the catalogue's prices."""
    return max(
        worst_case_nano_usd(
            each.tiers,
            input_tokens_max=len(call.request.prompt.text.encode()),
            output_tokens_max=call.request.max_output_tokens,
        )
        for each in bundle.models.values()
        if (each.model.endpoint, each.model.served_as) == (call.endpoint, call.request.model)
    )


def assert_every_call_is_held(stack: Stack, ledger: Ledger, outcome: TaskOutcome) -> None:
    assert outcome.status is TaskStatus.SUCCEEDED, outcome.reason
    calls, amounts = stack.script.calls[outcome.task_id], held(ledger, outcome.task_id)
    (record,) = stack.outcomes.decisions(outcome.task_id)
    bundle = stack.parts.library.by_hash(record.plan.policy.bundle_sha256)
    worst = [worst_case(bundle, call) for call in calls]
    assert max(worst) > 0
    assert len(amounts) == len(calls)
    assert all(more >= less for more, less in zip(sorted(amounts), sorted(worst), strict=True))
    assert sum(amounts) >= sum(worst) >= outcome.cost_nano_usd > 0


@pytest.mark.req("CX-90")
async def test_each_of_one_to_five_branches_is_held_at_its_worst_case(
    stack: Stack, ledger: Ledger
) -> None:
    for branches in BRANCHES:
        declaration = stack.declare(task_class="high_stakes_logic", pack=f"fan-{branches}")
        outcome = await stack.run(declaration, "Entscheide das, bitte: ja oder nein?")
        assert len(stack.script.calls[outcome.task_id]) == branches
        assert_every_call_is_held(stack, ledger, outcome)


@pytest.mark.req("CX-90")
async def test_an_advisers_call_is_held_at_its_worst_case_too(stack: Stack, ledger: Ledger) -> None:
    marks = ("user_requested_second_opinion",)
    declaration = stack.declare(pack="codex", task_class="architect", marks=marks)
    stack.script.write(declaration.task_id, Says(json.dumps(PLAN)), Says("I would wait."))
    outcome = await stack.run(declaration, "Plan the split.")
    assert outcome.advice is not None
    assert len(stack.script.calls[outcome.task_id]) == 2
    assert_every_call_is_held(stack, ledger, outcome)
