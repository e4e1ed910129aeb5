"""What anybody can send with Temporal's own command: only a right signature counts (61 to 63)."""

import asyncio
import base64
import hashlib
import hmac
import json
import re
import sysconfig
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict, SignedVerdict
from pointwork.contract.canonical import canonical_json
from pointwork.contract.names import SIGNAL_VERDICT, UPDATE_VERDICT
from pointwork.contract.outcome import TaskStatus
from pointwork.contract.prompt import Prompt
from pointwork.ledger.audit import AuditChain
from tests.fakes.scripted_provider import Hangs
from tests.workflows.people import signer
from tests.workflows.stack import OWNER, OWNER_KEY_ID, Stack, verdict_on

TEMPORAL = Path(sysconfig.get_path("scripts")) / "temporal"
APPROVED = ApprovalVerdict.APPROVED
REFUSED = re.compile(r"workflow: (.+) \(type: VERDICT_REFUSED")
Spoil = Callable[[Stack, ApprovalRequest], Any]


def right(stack: Stack, request: ApprovalRequest) -> dict[str, Any]:
    return stack.signed(request, APPROVED).model_dump(mode="json")


def changed(**fields: Any) -> Spoil:
    """A right signature over a right verdict, of which one field was changed afterwards."""

    def spoil(stack: Stack, request: ApprovalRequest) -> dict[str, Any]:
        document = right(stack, request)
        document["verdict"] |= fields
        return document

    return spoil


def beside(**fields: Any) -> Spoil:
    """A right signed verdict with more, or something else, around it."""
    return lambda stack, request: right(stack, request) | fields


def signed_for(**fields: Any) -> Spoil:
    """Truly signed by the owner, for something else or at another time."""
    return lambda stack, request: stack.signed(request, APPROVED, **fields).model_dump(mode="json")


def aged(**shift: float) -> Spoil:
    """Truly signed, and dated elsewhere in time."""

    def spoil(stack: Stack, request: ApprovalRequest) -> dict[str, Any]:
        at = request.opened_at + timedelta(**shift)
        dated = {"decided_at": at, "expires_at": at + timedelta(minutes=5)}
        return stack.signed(request, APPROVED, **dated).model_dump(mode="json")

    return spoil


def with_the_public_key_as_secret(stack: Stack, request: ApprovalRequest) -> dict[str, Any]:
    """As a verifier that lets the message name the algorithm would take it (HS for RS)."""
    verdict = verdict_on(request, APPROVED, OWNER)
    public = stack.owner_key.public_key().public_bytes_raw()
    digest = hmac.new(public, canonical_json(verdict), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    unsound = SignedVerdict(verdict=verdict, key_id=OWNER_KEY_ID, signature=signature)
    return unsound.model_dump(mode="json")


def by_a_stranger(stack: Stack, request: ApprovalRequest) -> dict[str, Any]:
    """Signed well by a key of another house under the owner's name."""
    stranger = signer(stack)
    return stranger.signed(request, APPROVED, approver=OWNER).model_dump(mode="json")


def twice_signed(stack: Stack, request: ApprovalRequest) -> dict[str, Any]:
    document = right(stack, request)
    return document | {"signature": [document["signature"], document["signature"]]}


INERT: dict[str, Spoil] = {
    "nothing": lambda stack, request: {},
    "a word": lambda stack, request: "approved",
    "a list": lambda stack, request: [right(stack, request)],
    "null": lambda stack, request: None,
    "a bare verdict": lambda stack, request: right(stack, request)["verdict"],
    "no signature": beside(signature=""),
    "algorithm none": beside(alg="none", signature=""),
    "a key of its own": beside(jwk={"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
    "a path as key": beside(key_id="../../keys/owner.key"),
    "a key nobody knows": beside(key_id="owner-9"),
    "two signatures": twice_signed,
    "the public key as secret": with_the_public_key_as_secret,
    "a stranger's key": by_a_stranger,
    "a higher ceiling": changed(ceiling_nano_usd=10**15),
    "another person": changed(approver="mallory"),
    "a longer life": changed(expires_at="2999-01-01T00:00:00Z"),
    "another task": signed_for(task_id="task-of-another", approval_id="task-of-another/approval"),
    "another decision": signed_for(approval_id="task-x/decision/9/approval"),
    "another policy": signed_for(policy_sha256="0" * 64),
    "an edited request": signed_for(request_sha256="0" * 64),
    "a lower ceiling": signed_for(ceiling_nano_usd=0),
    "expired": aged(minutes=-1.5, seconds=-300),
    "from the future": aged(minutes=30),
    "no reason": signed_for(reason=" " * 12),
}


async def temporal(stack: Stack, *words: str) -> tuple[int, str]:
    """The ``temporal`` command; its exit code and what it printed."""
    address = stack.temporal.service_client.config.target_host
    process = await asyncio.create_subprocess_exec(
        str(TEMPORAL),
        *words,
        "--address",
        address,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def signal(stack: Stack, task_id: str, document: Any) -> None:
    code, printed = await temporal(
        stack,
        *("workflow", "signal", "--workflow-id", task_id, "--name", SIGNAL_VERDICT),
        *("--input", json.dumps(document)),
    )
    assert code == 0, printed


async def update(stack: Stack, task_id: str, document: Any) -> tuple[int, str]:
    return await temporal(
        stack,
        *("workflow", "update", "execute", "--workflow-id", task_id, "--name", UPDATE_VERDICT),
        *("--input", json.dumps(document)),
    )


async def held(stack: Stack) -> ApprovalRequest:
    task = stack.declare(task_class="high_stakes_logic", sensitivity=None)
    await stack.client.submit(Prompt.from_text("Decide this."), task)
    return await stack.open_approval(task.task_id)


async def refusals(stack: Stack, task_id: str, count: int) -> list[dict[str, Any]]:
    """The refusals on the audit chain, once there are as many; they are written aside."""
    chain = AuditChain(stack.parts.engine)
    async with asyncio.timeout(60):
        while True:
            found = [
                each.body
                for each in chain.records(1_000_000)
                if each.kind == "approval_refused" and each.task_id == task_id
            ]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.02)


async def test_no_unsigned_or_altered_signal_or_update_changes_anything_and_each_is_on_record(
    stack: Stack,
) -> None:
    request = await held(stack)
    accepted, faults = [], Counter[str]()
    for name, spoil in INERT.items():
        document = spoil(stack, request)
        await signal(stack, request.task_id, document)
        code, printed = await update(stack, request.task_id, document)
        refused = REFUSED.search(printed)
        if refused is None or (await stack.client.status(request.task_id)).approval_id is None:
            accepted.append((name, code, printed))
        else:
            faults[refused[1]] += 2
    assert accepted == []
    assert (await stack.client.status(request.task_id)).status is TaskStatus.PENDING_APPROVAL
    found = await refusals(stack, request.task_id, 2 * len(INERT))
    # As signal and as update; a workflow task that is done once more notes once more.
    noted = Counter(each["fault"] for each in found)
    assert noted.keys() == faults.keys()
    assert noted >= faults
    assert stack.approvals.verdicts(request.approval_id) == []
    await stack.client.cancel(request.task_id)
    await stack.recorded(request.task_id)


async def test_the_same_verdict_sent_again_changes_nothing_and_is_on_record(stack: Stack) -> None:
    request = await held(stack)
    stack.script.write(request.task_id, Hangs())
    document = right(stack, request)
    code, printed = await update(stack, request.task_id, document)
    assert code == 0, printed
    await signal(stack, request.task_id, document)
    # A new update: the server answers one of the same id by what it said before.
    code, _ = await update(stack, request.task_id, document)
    assert code != 0
    found = await refusals(stack, request.task_id, 2)
    assert {each["fault"] for each in found} <= {
        "no approval is open for this task",
        "another verdict is being recorded; see how it ends",
    }
    assert len(stack.approvals.verdicts(request.approval_id)) == 1
    await stack.client.cancel(request.task_id)
    await stack.recorded(request.task_id)


@pytest.mark.req("DC-24")
@pytest.mark.parametrize("as_text", [False, True], ids=["as an object", "as pasted text"])
async def test_a_right_signature_is_accepted_as_a_signal(stack: Stack, *, as_text: bool) -> None:
    request = await held(stack)
    document = right(stack, request)
    await signal(stack, request.task_id, json.dumps(document) if as_text else document)
    assert (await stack.recorded(request.task_id)).status is TaskStatus.SUCCEEDED


async def test_a_right_signature_is_accepted_as_an_update(stack: Stack) -> None:
    request = await held(stack)
    code, printed = await update(stack, request.task_id, right(stack, request))
    assert code == 0, printed
    assert (await stack.recorded(request.task_id)).status is TaskStatus.SUCCEEDED
