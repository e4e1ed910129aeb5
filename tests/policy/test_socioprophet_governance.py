"""The neighbours of the responsibility table: what is read from them, and what silence means."""

import base64
import inspect
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from pointwork.contract.decision import Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import (
    EvalSignal,
    GuardrailSignal,
    GuardrailVerdict,
    Receipt,
    ReceiptKind,
)
from pointwork.governance import ports
from pointwork.governance.guarded import Guarded
from pointwork.governance.ports import GuardedStep, Guardrails
from pointwork.governance.receipts import (
    EVALUATIONS_FILE,
    KEYS_FILE,
    RECEIPTS_FILE,
    FileGovernanceLedger,
    GovernanceKey,
    sign_evaluation,
    sign_receipt,
)
from pointwork.policy.decide import decide
from pointwork.policy.engine.filters import refusals
from pointwork.policy.engine.index import build_index
from pointwork.policy.engine.lanes import lane_refusals
from pointwork.policy.proving.situation import NOW
from tests.fakes.policy_facts import Situation, shipped

LAPTOP = shipped("socioprophet", "laptop")
ROOT = Path(__file__).parents[2]
KEY = Ed25519PrivateKey.generate()
STEP = GuardedStep(
    task_id="task-1",
    caller="billing",
    stage=None,
    task_class=None,
    tools=(),
    escalation_reason=None,
)


def receipt(kind: ReceiptKind = ReceiptKind.EGRESS, **fields: Any) -> Receipt:
    values: dict[str, Any] = {
        "kind": kind,
        "receipt_id": f"urn:srcos:receipt:{kind}",
        "issuer": "governance",
        "task_id": "task-1",
        "expires_at": NOW + timedelta(hours=1),
    }
    return Receipt(**(values | fields))


def write(folder: Path, *receipts: Receipt, key: Ed25519PrivateKey = KEY, **changed: Any) -> None:
    """A governance folder whose one listed key is ``KEY``; ``changed`` spoils the first entry."""
    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    listed = GovernanceKey(key_id="gov-1", issuer="governance", public_key=public)
    (folder / KEYS_FILE).write_text(json.dumps([listed.model_dump(mode="json")]))
    signed = [sign_receipt(each, key, "gov-1").model_dump(mode="json") for each in receipts]
    if changed:
        signed[0]["receipt"] |= changed
    (folder / RECEIPTS_FILE).write_text(json.dumps(signed))


def found(folder: Path, subject: str | None = None) -> set[str]:
    ledger = FileGovernanceLedger(folder)
    return {each.kind.value for each in ledger.receipts("task-1", subject, NOW)}


def test_a_receipt_signed_by_a_listed_key_counts_for_its_task_and_until_it_expires(
    tmp_path: Path,
) -> None:
    consent = receipt(ReceiptKind.PERSONALISATION_CONSENT, task_id=None, subject="lena")
    write(
        tmp_path,
        receipt(),
        consent,
        receipt(ReceiptKind.HOSTED_FALLBACK, task_id="task-2"),
        receipt(ReceiptKind.DATA_BOUNDARY, expires_at=NOW),
        receipt(ReceiptKind.LANE_ESCALATION, task_id=None),
    )
    assert found(tmp_path) == {"egress"}
    assert found(tmp_path, "lena") == {"egress", "personalisation_consent"}
    assert found(tmp_path, "ada") == {"egress"}


@pytest.mark.req("SP-47")
@pytest.mark.parametrize(
    ("key", "changed"),
    [
        (Ed25519PrivateKey.generate(), {}),
        (KEY, {"task_id": "task-1", "kind": "hosted_fallback"}),
        (KEY, {"issuer": "somebody"}),
        (KEY, {"expires_at": "2099-01-01T00:00:00Z"}),
        (KEY, {"kind": "no_such_kind"}),
    ],
)
def test_a_forged_receipt_does_not_count(
    tmp_path: Path, key: Ed25519PrivateKey, changed: dict[str, Any]
) -> None:
    write(tmp_path, receipt(), key=key, **changed)
    assert found(tmp_path) == set()


def test_a_key_signs_only_for_its_own_issuer(tmp_path: Path) -> None:
    write(tmp_path, receipt(issuer="somebody"))
    assert found(tmp_path) == set()


@pytest.mark.req("SP-47")
@pytest.mark.parametrize("name", [KEYS_FILE, RECEIPTS_FILE])
@pytest.mark.parametrize("text", [None, "", "{", "{}", "[1]", '[{"key_id": "gov-1"}]', "[" * 5_000])
def test_a_missing_or_broken_file_opens_nothing(
    tmp_path: Path, name: str, text: str | None
) -> None:
    write(tmp_path, receipt())
    (tmp_path / name).unlink()
    if text is not None:
        (tmp_path / name).write_text(text)
    assert found(tmp_path) == set()


def test_taking_a_receipt_out_revokes_it_from_the_next_reading_on(tmp_path: Path) -> None:
    write(tmp_path, receipt())
    ledger = FileGovernanceLedger(tmp_path)
    assert len(ledger.receipts("task-1", None, NOW)) == 1
    write(tmp_path)
    assert ledger.receipts("task-1", None, NOW) == ()


def test_of_two_evaluations_of_one_model_the_lower_counts(tmp_path: Path) -> None:
    write(tmp_path)
    values = ["0.9", "0.4"]
    signed = [
        sign_evaluation(
            EvalSignal.model_validate({"model": "m", "task_class": "triage", "confidence": each}),
            KEY,
            "gov-1",
        )
        for each in values
    ]
    entries = [each.model_dump(mode="json") for each in signed]
    (tmp_path / EVALUATIONS_FILE).write_text(json.dumps(entries))
    (read,) = FileGovernanceLedger(tmp_path).evaluations()
    assert str(read.confidence) == "0.4"


def test_the_example_of_an_authority_signs_receipts_that_count(tmp_path: Path) -> None:
    script = [sys.executable, "examples/sign_receipt.py", tmp_path / "ledger", tmp_path / "key"]
    for kind in ("egress", "hosted_fallback"):
        command = [*map(str, script), kind, "--subject", "lena"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=60)
    ledger = FileGovernanceLedger(tmp_path / "ledger")
    read = ledger.receipts("task-1", "lena", datetime.now(UTC))
    assert [each.kind.value for each in read] == ["egress", "hosted_fallback"]
    assert ledger.receipts("task-1", "ada", datetime.now(UTC)) == ()


class Scripted:
    """A guardrail authority that allows, breaks down, or waits until it is let go."""

    def __init__(self, waits_for: threading.Event | None = None, error: type | None = None) -> None:
        self._waits_for = waits_for
        self._error = error

    def check(self, step: GuardedStep) -> GuardrailSignal:
        if self._waits_for is not None:
            self._waits_for.wait(60)
        if self._error is not None:
            raise self._error(f"{step.task_id} was too much")
        return GuardrailSignal(verdict=GuardrailVerdict.ALLOW)


@contextmanager
def hanging() -> Iterator[Guardrails]:
    let_go = threading.Event()
    yield Scripted(waits_for=let_go)
    let_go.set()


def plan_with(signal: GuardrailSignal) -> Plan:
    asked = Situation(task_class="triage").facts(LAPTOP)
    snapshot = asked.snapshot.model_copy(update={"guardrail": signal})
    return decide(asked.model_copy(update={"snapshot": snapshot}), LAPTOP)


@pytest.mark.req("SP-51")
@pytest.mark.parametrize("error", [OSError, ValueError, RuntimeError, KeyError])
def test_an_error_of_the_guardrail_authority_is_a_denial(error: type) -> None:
    signal = Guarded(Scripted(error=error)).check(STEP)
    assert (signal.verdict, signal.rule) == (GuardrailVerdict.UNAVAILABLE, error.__name__)
    plan = plan_with(signal)
    assert (plan.effect, plan.reason) == ("deny", ReasonCode.GUARDRAIL_DENIED)


@pytest.mark.req("SP-51")
def test_a_guardrail_authority_that_does_not_answer_in_time_denies() -> None:
    with hanging() as guardrails:
        guarded = Guarded(guardrails, timeout_seconds=0.01, threads=1)
        for _ in range(3):
            signal = guarded.check(STEP)
            assert (signal.verdict, signal.rule) == (GuardrailVerdict.UNAVAILABLE, "timeout")
    assert plan_with(signal).reason is ReasonCode.GUARDRAIL_DENIED
    allowed = Guarded(Scripted()).check(STEP)
    assert plan_with(allowed).effect == "run"
    denied = GuardrailSignal(verdict=GuardrailVerdict.DENY, rule="write-gate")
    assert plan_with(denied).reason is ReasonCode.GUARDRAIL_DENIED


@pytest.mark.req("SP-4")
def test_a_local_profile_is_imported_read_only_and_a_write_raises() -> None:
    model = LAPTOP.models["llama-3.2-1b"].model
    for document, field in ((model, "profile"), (LAPTOP.host, "local_models"), (LAPTOP, "host")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(document, field, None)
    profile = ports.LocalProfile(urn="urn:a:b", service="llama", laptop_safe=True)
    with pytest.raises(ValidationError, match="frozen"):
        profile.__setattr__("urn", "urn:a:c")


@pytest.mark.req("SP-4")
def test_no_port_to_a_neighbour_offers_to_write_what_the_neighbour_owns() -> None:
    offered = {
        (name, verb)
        for name, port in inspect.getmembers(ports, inspect.isclass)
        if getattr(port, "_is_protocol", False) and port.__module__ == ports.__name__
        for verb in vars(port)
        if not verb.startswith("_")
    }
    assert offered == {
        ("ModelCarry", "profile"),
        ("GovernanceLedger", "receipts"),
        ("GovernanceLedger", "evaluations"),
        ("AuditReceiver", "taken_until"),
        ("AuditReceiver", "take"),
        ("Guardrails", "check"),
        ("Agentplane", "hand_over"),
        ("PolicyFabric", "public_key"),
    }


_NO_EFFECTS = """
import sys
from pointwork.policy.decide import decide
from pointwork.policy.proving.situation import Situation
from tests.fakes.policy_facts import shipped

bundle = shipped("socioprophet", "laptop")
kept = [Situation(task_class=name).facts(bundle) for name in bundle.pack.classes]
decide(kept[0], bundle)
EFFECTS = ("open", "socket.", "subprocess.", "os.", "sqlite3.", "ctypes.", "shutil.")

def refuse(event, _arguments):
    if event.startswith(EFFECTS):
        raise PermissionError(event)

sys.addaudithook(refuse)
targets = [plan.candidates[0].model for each in kept if (plan := decide(each, bundle)).candidates]
sys.stdout.write(" ".join(targets))
"""


@pytest.mark.req("SP-2")
def test_deciding_names_a_target_and_loads_starts_and_writes_nothing() -> None:
    """Every class, in a process that refuses to open, connect, start or write anything."""
    done = subprocess.run(
        [sys.executable, "-c", _NO_EFFECTS], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    one, three = "llama-3.2-1b", "llama-3.2-3b"
    assert done.stdout.split() == [one, one, three, three, one, three]


@pytest.mark.req("SP-49")
@pytest.mark.parametrize(
    ("what", "operation"),
    [
        ("Runtime route binding", build_index),
        ("Agent execution model-routing policy", lane_refusals),
        ("Budget and resource optimisation", refusals),
        ("Policy-aware target selection", decide),
    ],
)
def test_an_operation_in_scope_exists_and_is_documented_as_owned(
    what: str, operation: Callable[..., Any]
) -> None:
    section = (ROOT / "docs/architecture.md").read_text().split("## SocioProphet's four operations")
    rows = [row for row in section[1].split("\n## ")[0].splitlines() if row.startswith("| ")]
    assert len(rows) == 1 + 4, "a heading and the four, and nothing else"
    (row,) = [each for each in rows if each.startswith(f"| {what} |")]
    module = operation.__module__.removeprefix("pointwork.").replace(".", "/")
    assert f"`{module}.py`" in row
