"""Consent to personalisation is the governance ledger's: asked for through its port, never kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect

from pointwork.contract.decision import Plan
from pointwork.contract.snapshot import EvalSignal, Receipt, ReceiptKind
from pointwork.contract.task import TaskDeclaration, TaskId, TaskRequest
from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate
from pointwork.ledger.traffic import Traffic
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.decide import decide
from pointwork.policy.documents.load import load_library
from tests.fakes.policy_facts import POLICIES, Situation, chosen
from workers.governed_signals import GovernedSignals, HostRoom

PACK, OWN = "socioprophet", "llama-3.2-1b-personal"
BOTH = (ReceiptKind.PERSONALISATION_CONSENT, ReceiptKind.GOVERNANCE_CONTRACT)


@dataclass
class Neighbour:
    """The port's other side: it has what ``kinds`` say of one user, and is asked for all of it."""

    kinds: tuple[ReceiptKind, ...]
    asked: list[tuple[TaskId, str | None]] = field(default_factory=list)

    def receipts(self, task_id: TaskId, subject: str | None, now: datetime) -> Sequence[Receipt]:
        self.asked.append((task_id, subject))
        return [
            Receipt(
                kind=kind,
                receipt_id=f"urn:srcos:receipt:{kind}",
                issuer="governance",
                subject=subject,
                model=OWN if kind is ReceiptKind.GOVERNANCE_CONTRACT else None,
                expires_at=now + timedelta(hours=1),
            )
            for kind in self.kinds
        ]

    def evaluations(self) -> Sequence[EvalSignal]:
        return ()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def library() -> PolicyLibrary:
    return load_library(POLICIES, "laptop")


def planned(engine: Engine, library: PolicyLibrary, neighbour: Neighbour) -> Plan:
    """What is decided for a user when the live signals are read as workers read them."""
    signals = GovernedSignals(library, neighbour, Traffic(engine), HostRoom(), {})
    given = Situation(task_class="triage", subject="lena").facts(library.active(PACK))
    live = signals.extend(given.request, given.snapshot)
    # How much room this machine has is no part of the question.
    live = live.model_copy(update={"resources": given.snapshot.resources})
    return decide(given.model_copy(update={"snapshot": live}), library.active(PACK))


@pytest.mark.req("SP-5")
@pytest.mark.parametrize("kinds", [BOTH, BOTH[1:]])
def test_a_personal_model_serves_only_while_its_owners_port_tells_of_consent(
    engine: Engine, library: PolicyLibrary, kinds: tuple[ReceiptKind, ...]
) -> None:
    neighbour = Neighbour(kinds)
    plan = planned(engine, library, neighbour)
    assert (OWN in chosen(plan)) is (ReceiptKind.PERSONALISATION_CONSENT in kinds)
    assert [subject for _, subject in neighbour.asked] == ["lena"]
    planned(engine, library, neighbour)
    assert len(neighbour.asked) == 2, "asked anew: nothing of the first answer was kept"


@pytest.mark.req("SP-5")
def test_the_ledger_has_no_place_for_consent_and_a_task_cannot_bring_any(engine: Engine) -> None:
    found = inspect(engine)
    names = {
        name
        for table in found.get_table_names()
        for name in (table, *(each["name"] for each in found.get_columns(table)))
    }
    assert len(names) > 100
    fields = {*TaskDeclaration.model_fields, *TaskRequest.model_fields}
    assert "subject" in fields
    assert not {name for name in names | fields if "consent" in name or "receipt" in name}
