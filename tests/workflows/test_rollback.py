"""An owner goes back to an earlier version while tasks arrive without a pause (OM-85, design 8)."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from pointwork.cli.owner import ensure_owner
from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.activations import ActivationLog
from pointwork.ledger.tables import ApprovalState
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.documents.load import load_library
from tests.fakes.scripted_provider import Script
from tests.fakes.sealed_policies import seal_all
from tests.workflows.stack import Stack, open_test_parts, running
from workers.policy_library import with_stored_revisions

CLAUDE_FIRST = (
    "rungs: [[gpt_class], [claude_class, gemini_class]]",
    "rungs: [[claude_class], [gpt_class, gemini_class]]",
)
SUBMITTERS = 4
TASKS_BEFORE, TASKS_AFTER = 12, 12
COMMAND = "from pointwork.cli.main import run; run()"


@dataclass
class Deployment:
    """A running stack whose omega has two versions, and what was submitted to it, in order."""

    stack: Stack
    policies: Path
    state_dir: Path
    submitted: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def version(self, number: str) -> PolicyBundle:
        found = self.stack.parts.library.deployed("omega")
        return next(each for each in found if each.pack.version == number)

    async def submit_until(self, stopped: asyncio.Event) -> None:
        """One task after the other, each as soon as the one before it has ended."""
        while not stopped.is_set():
            task = self.stack.declare(task_class="high_stakes_logic")
            self.submitted.append(task.task_id)
            await self.stack.run(task, "Is it exact?")
            self.ended.append(task.task_id)

    async def until_ended(self, number: int) -> None:
        async with asyncio.timeout(120):
            while len(self.ended) < number:
                await asyncio.sleep(0.02)

    async def roll_back(self, to: str) -> None:
        """As a person does it: another process, which the workers know nothing of."""
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", COMMAND, "policy", "rollback", "omega", "--to", to),
            *("--by", "owner", "--reason", "Answers got worse since then."),
            *("--policies-dir", str(self.policies), "--state-dir", str(self.state_dir)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await command.communicate()
        assert command.returncode == 0, said.decode()


@pytest.fixture
async def deployment(
    own_server: WorkflowEnvironment, repository: Path, tmp_path: Path
) -> AsyncIterator[Deployment]:
    policies, state_dir = tmp_path / "policies", tmp_path / "state"
    shutil.copytree(repository / "policies", policies)
    text = (policies / "omega" / "1.0.yaml").read_text()
    for old, new in (('version: "1.0"', 'version: "1.1"'), CLAUDE_FIRST):
        assert old in text, old
        text = text.replace(old, new, 1)
    (policies / "omega" / "1.1.yaml").write_text(
        text.replace("supersedes: null", "supersedes: '1.0'")
    )
    seal_all(policies)
    state_dir.mkdir(mode=0o700)
    library, script = load_library(policies, "embedded"), Script()
    opened = open_test_parts(state_dir, library, script)
    parts = replace(opened, library=with_stored_revisions(opened.engine, library))
    ensure_owner(parts.engine, state_dir)
    async with running(own_server, parts, script) as stack:
        yield Deployment(stack, policies, state_dir)
    parts.threads.shutdown()
    parts.engine.dispose()


@pytest.mark.req("OM-85")
async def test_a_rollback_under_load_decides_what_comes_after_it_and_nothing_before(
    deployment: Deployment,
) -> None:
    stack, stopped = deployment.stack, asyncio.Event()
    old, new = deployment.version("1.0"), deployment.version("1.1")
    async with asyncio.TaskGroup() as group:
        for _ in range(SUBMITTERS):
            group.create_task(deployment.submit_until(stopped))
        await deployment.until_ended(TASKS_BEFORE)
        await deployment.roll_back("1.0")
        after = len(deployment.submitted)
        await deployment.until_ended(after + TASKS_AFTER)
        stopped.set()
    entry = ActivationLog(stack.parts.engine).latest()["omega"]
    assert (entry.policy, entry.replaced) == (old.ref, new.ref)
    by_hash = {each.sha256: each for each in (old, new)}
    served: dict[str, set[str]] = {old.sha256: set(), new.sha256: set()}
    for place, task_id in enumerate(deployment.submitted):
        outcome = stack.outcomes.find(task_id)
        assert outcome is not None
        assert outcome.status is TaskStatus.SUCCEEDED
        (decision,) = stack.outcomes.decisions(task_id)
        plan = decision.plan
        if place >= after:
            assert plan.policy == old.ref
        elif decision.input.snapshot.taken_at < entry.activated_at:
            assert plan.policy == new.ref
        assert outcome.policy == plan.policy
        assert decide(decision.input, by_hash[plan.policy.bundle_sha256]) == plan
        served[plan.policy.bundle_sha256].add(plan.candidates[0].vendor)
    assert served == {old.sha256: {"openai"}, new.sha256: {"anthropic"}}


async def test_a_task_that_waits_for_a_person_is_asked_anew_and_keeps_its_version(
    deployment: Deployment,
) -> None:
    stack = deployment.stack
    task = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await stack.client.submit(Prompt.from_text("Decide this."), task)
    first = await stack.open_approval(task.task_id)
    await deployment.roll_back("1.0")
    await stack.client.submit_verdict(stack.signed(first, ApprovalVerdict.APPROVED))
    async with asyncio.timeout(60):
        while (second := await stack.open_approval(task.task_id)).approval_id == first.approval_id:
            await asyncio.sleep(0.02)
    assert stack.approvals.state(first.approval_id) is ApprovalState.VOID
    assert second.active_policy == deployment.version("1.0").ref
    await stack.client.submit_verdict(stack.signed(second, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(task.task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert outcome.policy == deployment.version("1.1").ref
