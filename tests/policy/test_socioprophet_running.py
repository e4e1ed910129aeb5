"""The socioprophet pack on a running system: real Temporal, ledger, signals and signed receipts."""

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from temporalio.testing import WorkflowEnvironment

from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.snapshot import Receipt, ReceiptKind
from pointwork.governance.receipts import KEYS_FILE, RECEIPTS_FILE, GovernanceKey, sign_receipt
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.scripted_provider import Script
from tests.workflows.stack import Stack, open_test_parts, running
from workers.governed_signals import GOVERNANCE_FOLDER

KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
async def stack(
    temporal_server: WorkflowEnvironment,
    library: PolicyLibrary,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Stack]:
    script = Script()
    parts = open_test_parts(tmp_path_factory.mktemp("governed"), library, script)
    folder = parts.settings.state_dir / GOVERNANCE_FOLDER
    folder.mkdir()
    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    listed = GovernanceKey(key_id="gov-1", issuer="governance", public_key=public)
    (folder / KEYS_FILE).write_text(json.dumps([listed.model_dump(mode="json")]))
    async with running(temporal_server, parts, script) as started:
        yield started
    parts.threads.shutdown()
    parts.engine.dispose()


def receipts_file(stack: Stack) -> Path:
    return stack.parts.settings.state_dir / GOVERNANCE_FOLDER / RECEIPTS_FILE


def permit(stack: Stack, subject: str, *kinds: ReceiptKind) -> None:
    """Put signed receipts of ``subject`` where the governance ledger is read."""
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    signed = [
        sign_receipt(
            Receipt(
                kind=kind,
                receipt_id=f"urn:srcos:receipt:{kind}",
                issuer="governance",
                subject=subject,
                expires_at=expires_at,
            ),
            KEY,
            "gov-1",
        )
        for kind in kinds
    ]
    text = json.dumps([each.model_dump(mode="json") for each in signed])
    receipts_file(stack).write_text(text)


async def routed(stack: Stack, *marks: str) -> tuple[TaskOutcome, list[str]]:
    """How a task of one user ended, and which endpoints were called for it."""
    declaration = stack.declare(
        pack="socioprophet", task_class="triage", subject="lena", marks=marks
    )
    outcome = await stack.run(declaration)
    return outcome, [each.endpoint for each in stack.script.calls[declaration.task_id]]


@pytest.mark.req("SP-33")
async def test_a_task_without_hints_is_answered_by_this_machine(stack: Stack) -> None:
    outcome, called = await routed(stack)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert called == ["local-gpu"]


@pytest.mark.req("SP-34")
async def test_a_prompt_leaves_only_while_a_grant_and_an_approval_are_on_record(
    stack: Stack,
) -> None:
    receipts_file(stack).unlink(missing_ok=True)
    outcome, called = await routed(stack, "irreversible")
    assert (outcome.status, called) == (TaskStatus.DENIED, [])

    permit(stack, "lena", ReceiptKind.EGRESS, ReceiptKind.HOSTED_FALLBACK)
    outcome, called = await routed(stack, "irreversible")
    assert (outcome.status, called) == (TaskStatus.SUCCEEDED, ["deepseek"])
    assert outcome.served_model == "deepseek-chat"

    permit(stack, "lena", ReceiptKind.HOSTED_FALLBACK)
    outcome, called = await routed(stack, "irreversible")
    assert (outcome.status, called) == (TaskStatus.DENIED, [])
