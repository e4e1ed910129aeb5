"""A task waits for a person while every process is killed; weeks later one approval ends it."""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.client import Client
from temporalio.testing import TimeSkipper

from pointwork.client import PointworkClient
from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import TaskDeclaration
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.engine import open_engine
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.policy.documents.load import load_library
from pointwork.temporal import pointwork_plugin
from pointwork.verdicts import sign
from tests.fakes.policy_facts import POLICIES
from tests.fakes.scripted_provider import Script
from tests.faults.processes import temporal, until
from tests.workflows.stack import (
    OWNER,
    OWNER_KEY_ID,
    PATIENT_PACK,
    open_test_parts,
    running,
    verdict_on,
)
from workers.settings import Settings

WEEKS = timedelta(days=30)
_FORKS = multiprocessing.get_context("forkserver")


def _house(address: str, folder: str, owner_key: bytes) -> None:
    asyncio.run(_serve(address, Path(folder), Ed25519PrivateKey.from_private_bytes(owner_key)))


async def _serve(address: str, folder: Path, owner_key: Ed25519PrivateKey) -> None:
    """Every worker of the deployment, with scripted models, until the process is killed."""
    script = Script()
    parts = open_test_parts(folder, load_library(POLICIES, "embedded"), script)
    async with running(address, parts, script, owner_key=owner_key):
        (folder / f"{os.getpid()}.ready").touch()
        await asyncio.Event().wait()


@asynccontextmanager
async def house(address: str, folder: Path, owner_key: Ed25519PrivateKey) -> AsyncIterator[int]:
    """The workers as a process of their own, killed at the end; its pid."""
    arguments = (address, str(folder), owner_key.private_bytes_raw())
    process = _FORKS.Process(target=_house, args=arguments, daemon=True)
    await asyncio.to_thread(process.start)
    assert process.pid is not None
    mark = folder / f"{process.pid}.ready"
    try:
        await until(lambda: mark.exists() or not process.is_alive())
        assert process.is_alive()
        yield process.pid
    finally:
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        await asyncio.to_thread(process.join)


async def skipping(address: str) -> TimeSkipper:
    """A connection that can put a workflow's own clock forward."""
    return TimeSkipper(await Client.connect(address, plugins=[pointwork_plugin()]))


async def test_a_task_that_waits_survives_the_death_of_every_process_and_ends_weeks_later(
    tmp_path: Path,
) -> None:
    key, folder = Ed25519PrivateKey.generate(), tmp_path / "house"
    folder.mkdir()
    options = ("--dynamic-config-value", "frontend.WorkflowTimeSkippingEnabled=true")
    async with temporal(tmp_path / "temporal", options=options) as server:
        async with house(server.address, folder, key):
            settings = Settings(state_dir=folder)
            engine = open_engine(settings.ledger_address)
            vault = Vault(engine, MasterKeys.load_or_create(settings.master_key_path))
            outcomes, book = OutcomeLog(engine), ApprovalBook(engine)
            skipper = TimeSkipper(
                await Client.connect(server.address, plugins=[pointwork_plugin()])
            )
            client = PointworkClient(skipper.client, vault, outcomes)
            task = TaskDeclaration(
                task_id="waits-for-weeks",
                caller="test-service",
                task_class="high_stakes_logic",
                pack=PATIENT_PACK,
            )
            with skipper.with_time_skipping_disabled():
                await client.submit(Prompt.from_text("Decide this."), task)
            await until(lambda: bool(book.waiting()))
        await server.kill()
        engine.dispose()

        await server.start()
        async with house(server.address, folder, key):
            skipper = TimeSkipper(
                await Client.connect(server.address, plugins=[pointwork_plugin()])
            )
            client = PointworkClient(skipper.client, vault, outcomes)
            await skipper.fast_forward(skipper.client.get_workflow_handle(task.task_id), WEEKS)
            [request] = book.waiting()
            assert (await client.status(task.task_id)).status is TaskStatus.PENDING_APPROVAL
            then = request.opened_at + WEEKS
            verdict = verdict_on(
                request,
                ApprovalVerdict.APPROVED,
                approver=OWNER,
                decided_at=then,
                expires_at=then + timedelta(hours=1),
            )
            await client.submit_verdict(sign(verdict, key, OWNER_KEY_ID))
            outcome = await client.result(task.task_id)
            assert outcome.status is TaskStatus.SUCCEEDED
            assert outcome.approval_ids == (request.approval_id,)
            await until(lambda: outcomes.find(task.task_id) is not None)
        engine.dispose()
