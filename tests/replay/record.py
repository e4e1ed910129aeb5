"""Records one history for each way a task can go; run by ``make record-histories``.

Given names, such as ``branches-agree``, it records those alone and leaves the others as they are.

The histories come from the workflow tests' own running system. They hold references and facts only,
so they can stand in the repository. Each pins its policy bundle by hash; the bundles lie beside.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.canonical import canonical_json
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass
from pointwork.leaving import leave
from pointwork.policy.documents.load import load_library
from tests.conftest import REPOSITORY
from tests.fakes.scripted_provider import Fails, Hangs, Says, Script
from tests.temporal_server import dev_server
from tests.workflows.bulk import Bulk
from tests.workflows.stack import (
    QUICK_PACK,
    SIDE_BY_SIDE_PACK,
    VOICES_PACK,
    Stack,
    open_test_parts,
    running,
)

FOLDER = Path(__file__).parent
SCHEMA = {"type": "object", "required": ["name"]}
OVERLOADED = Fails(ProviderFailureKind.OVERLOADED)
INVALID = Fails(ProviderFailureKind.INVALID_REQUEST)

Scenario = Callable[[Stack], Awaitable[str]]


async def success(stack: Stack) -> str:
    return (await stack.run(stack.declare())).task_id


async def success_inferred(stack: Stack) -> str:
    text = "class:bulk_generation make rows"
    return (await stack.run(stack.declare(task_class=None), text)).task_id


async def fallback(stack: Stack) -> str:
    declaration = stack.declare(task_class="high_stakes_logic")
    stack.script.write(declaration.task_id, OVERLOADED, Says("Decided."))
    return (await stack.run(declaration)).task_id


async def transport_retry(stack: Stack) -> str:
    declaration = stack.declare(task_class="bulk_generation")
    stack.script.write(declaration.task_id, Fails(ProviderFailureKind.RATE_LIMITED, 1), Says())
    return (await stack.run(declaration)).task_id


async def verification_fails_once(stack: Stack) -> str:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Says("no json"), Says('{"name": "Ada"}'))
    return (await stack.run(declaration, schema=SCHEMA)).task_id


async def denial(stack: Stack) -> str:
    return (await stack.run(stack.declare(task_class="no_such_class"))).task_id


async def denial_unknown_class(stack: Stack) -> str:
    return (await stack.run(stack.declare(task_class=None), "hm")).task_id


async def failure(stack: Stack) -> str:
    declaration = stack.declare(task_class="bulk_generation")
    stack.script.write(declaration.task_id, INVALID)
    return (await stack.run(declaration)).task_id


async def cancel(stack: Stack) -> str:
    declaration = stack.declare()
    stack.script.write(declaration.task_id, Hangs())
    await stack.client.submit(Prompt.from_text("tidy up"), declaration)
    await stack.script.called(declaration.task_id)
    await stack.client.cancel(declaration.task_id)
    return (await stack.recorded(declaration.task_id)).task_id


async def deadline(stack: Stack) -> str:
    declaration = stack.declare(constraints={"deadline_seconds": 1})
    stack.script.write(declaration.task_id, Hangs())
    return (await stack.run(declaration)).task_id


async def approved_and_redacted(stack: Stack) -> str:
    declaration = stack.declare(
        task_class="creative_synthesis", sensitivity=None, data_classes=(DataClass.PERSONAL,)
    )
    stack.script.write(declaration.task_id, INVALID, Says("Sent to <EMAIL_1>."))
    await stack.client.submit(
        Prompt.from_text("Write a kind line to ann.lee@example.com."), declaration
    )
    request = await stack.open_approval(declaration.task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.APPROVED))
    return (await stack.recorded(declaration.task_id)).task_id


async def approval_rejected(stack: Stack) -> str:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await stack.client.submit(Prompt.from_text("Decide this."), declaration)
    request = await stack.open_approval(declaration.task_id)
    await stack.client.submit_verdict(stack.signed(request, ApprovalVerdict.REJECTED))
    return (await stack.recorded(declaration.task_id)).task_id


async def approval_expired(stack: Stack) -> str:
    declaration = stack.declare(task_class="high_stakes_logic", sensitivity=None, pack=QUICK_PACK)
    return (await stack.run(declaration)).task_id


async def caller_waits(stack: Stack) -> str:
    declaration = stack.declare()
    await stack.client.run(Prompt.from_text("tidy up"), declaration)
    return (await stack.recorded(declaration.task_id)).task_id


async def branches_agree(stack: Stack) -> str:
    declaration = stack.declare(task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK)
    for vendor, text in (("openai", '{"go": 1}'), ("anthropic", '{ "go": 1.0 }')):
        stack.script.write_at(declaration.task_id, vendor, Says(text))
    stack.script.write_at(declaration.task_id, "google", INVALID)
    return (await stack.run(declaration, "Decide this.")).task_id


async def branches_choice(stack: Stack) -> str:
    declaration = stack.declare(task_class="high_stakes_logic", pack=SIDE_BY_SIDE_PACK)
    for vendor in ("openai", "anthropic", "google"):
        stack.script.write_at(declaration.task_id, vendor, Says(f"As {vendor} sees it."))
    await stack.client.submit(Prompt.from_text("Decide this."), declaration)
    request = await stack.open_approval(declaration.task_id)
    signed = stack.signed(request, ApprovalVerdict.APPROVED, choice="B")
    await stack.client.submit_verdict(signed)
    return (await stack.recorded(declaration.task_id)).task_id


async def criticised(stack: Stack) -> str:
    lists = ("risks", "contradictions", "missing_requirements", "guardrail_conflicts")
    declaration = stack.declare(task_class="high_stakes_logic", pack=VOICES_PACK)
    stack.script.write(
        declaration.task_id, Says("Sell."), Says(json.dumps({each: ["One."] for each in lists}))
    )
    return (await stack.run(declaration)).task_id


async def judged(stack: Stack) -> str:
    verdict = {"verdict": "pass", "reasons": ["It does what is asked."]}
    declaration = stack.declare(task_class="creative_synthesis", pack=VOICES_PACK)
    stack.script.write(declaration.task_id, Says("A poem."), Says(json.dumps(verdict)))
    return (await stack.run(declaration)).task_id


async def self_criticised(stack: Stack) -> str:
    declaration = stack.declare(task_class="red_team", pack=VOICES_PACK)
    stack.script.write(declaration.task_id, Says("A draft."), Says("Why?"), Says("An answer."))
    return (await stack.run(declaration)).task_id


async def bulk_run(stack: Stack) -> str:
    """The last history of a run that continued as new, with a failed item in it."""
    bulk = Bulk(stack, 7, in_flight=2, declared={"task_class": "bulk_generation"})
    stack.script.write(bulk.task_ids[5], INVALID)
    await bulk.start(page_items=2, items_per_history=4)
    await bulk.closed()
    return bulk.handle.id


async def bulk_run_continued(stack: Stack) -> str:
    """The first history of such a run."""
    bulk = Bulk(stack, 5, in_flight=2)
    await bulk.start(page_items=2, items_per_history=2)
    first = (await bulk.handle.describe()).run_id
    await bulk.closed()
    return f"{bulk.handle.id}#{first}"


async def bulk_run_cancelled(stack: Stack) -> str:
    bulk = Bulk(stack, 4, in_flight=1)
    stack.script.write(bulk.task_ids[1], Hangs())
    await bulk.start()
    await stack.script.called(bulk.task_ids[1])
    await bulk.runs.pause(bulk.run_id)
    await bulk.runs.resume(bulk.run_id)
    await bulk.runs.cancel(bulk.run_id)
    await bulk.closed()
    return bulk.handle.id


SCENARIOS: tuple[Scenario, ...] = (
    success,
    success_inferred,
    caller_waits,
    fallback,
    transport_retry,
    verification_fails_once,
    denial,
    denial_unknown_class,
    failure,
    cancel,
    deadline,
    approved_and_redacted,
    approval_rejected,
    approval_expired,
    branches_agree,
    branches_choice,
    criticised,
    judged,
    self_criticised,
    bulk_run,
    bulk_run_continued,
    bulk_run_cancelled,
)


def without_machine(value: Any) -> Any:
    """The history without what tells of the machine it was recorded on; replay reads none of it."""
    if isinstance(value, dict):
        return {
            key: without_machine(each)
            for key, each in value.items()
            if key not in ("stackTrace", "identity")
        }
    return [without_machine(each) for each in value] if isinstance(value, list) else value


async def record(scenarios: Sequence[Scenario]) -> None:
    """Record the histories, and the bundles that they pin."""
    library = load_library(REPOSITORY / "policies", "embedded")
    with tempfile.TemporaryDirectory() as folder:
        script = Script()
        parts = open_test_parts(Path(folder), library, script)
        async with dev_server() as server, running(server, parts, script) as stack:
            for scenario in scenarios:
                task_id = await scenario(stack)
                workflow_id, _, run_id = task_id.partition("#")
                handle = stack.temporal.get_workflow_handle(workflow_id, run_id=run_id or None)
                history = await handle.fetch_history()
                raw = json.dumps(without_machine(json.loads(history.to_json())), indent=1)
                (FOLDER / "histories" / f"{name_of(scenario)}.json").write_text(raw + "\n")
                keep_bundles(stack, task_id)
                sys.stdout.write(f"{name_of(scenario)}: {len(history.events)} events\n")


def keep_bundles(stack: Stack, task_id: str) -> None:
    pinned = {each.plan.policy.bundle_sha256 for each in stack.outcomes.decisions(task_id)}
    for bundle in stack.parts.library.all():
        if bundle.sha256 in pinned:
            path = FOLDER / "bundles" / f"{bundle.sha256}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(canonical_json(bundle))


def name_of(scenario: Scenario) -> str:
    return scenario.__name__.replace("_", "-")


if __name__ == "__main__":
    wanted = sys.argv[1:]
    asyncio.run(record([each for each in SCENARIOS if not wanted or name_of(each) in wanted]))
    leave(0)
