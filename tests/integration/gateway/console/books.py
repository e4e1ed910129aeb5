"""The console over a ledger that a test fills by hand: no task runs, and Temporal is not asked."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client

from pointwork.client import PointworkClient
from pointwork.contract.identity import Identity, IdentityKind, Role
from pointwork.contract.outcome import ReserveOutcome
from pointwork.gateway.app import Gateway
from pointwork.ledger.access_keys import AccessKeys
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.engine import open_engine
from pointwork.ledger.identities import Identities
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.engine.windows import standing_windows, subjects_of, windows_at
from tests.integration.gateway.console.visitor import Visitor
from tests.integration.gateway.house import Account
from tests.integration.ledger.conftest import MASTER_KEYS, Ledger
from tests.integration.ledger.conftest import sqlite_template as sqlite_template
from tests.integration.ledger.records import UNLIMITED, decision


@dataclass(frozen=True)
class Books:
    ledger: Ledger
    gateway: Gateway

    def person(self, *roles: Role) -> Account:
        name, now = f"person-{uuid4().hex[:8]}", datetime.now(UTC)
        identity = Identity(
            name=name, subject=name, kind=IdentityKind.PERSON, roles=roles, created_at=now
        )
        Identities(self.ledger.engine).add(identity, "owner")
        return Account(identity, AccessKeys(self.ledger.engine).create(name, "owner", now))

    async def visitor(self, *roles: Role) -> tuple[Visitor, str]:
        """Somebody with these roles who is signed in, and their name."""
        person, visitor = self.person(*roles), Visitor(self.gateway)
        await visitor.sign_in(person)
        return visitor, person.name

    def hold(self, amount_nano_usd: int, caller: str = "ada") -> ReserveOutcome:
        """Hold this much in every omega budget of the caller, today's and tomorrow's."""
        pack = self.gateway.library.active("omega").pack
        settings = BudgetSettings(self.ledger.engine).all_in_force()
        found = []
        for moment in (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1)):
            own = windows_at(pack, moment, caller=caller)
            set_ = standing_windows(pack, settings, moment, subjects_of(caller))
            windows = {each.key: each for each in (*own, *set_)}
            task_id = f"held-{uuid4().hex[:8]}"
            held = self.ledger.budgets.reserve(
                record=decision(task_id),
                part_id=f"{task_id}/1",
                task_id=task_id,
                invoke=None,
                amount_nano_usd=amount_nano_usd,
                task_ceiling_nano_usd=UNLIMITED,
                windows=list(windows.values()),
                price_version="test-1",
                expires_in_seconds=3600,
                now=moment,
            )
            found.append(held.outcome)
        return found[0]


@pytest.fixture
async def books(
    library: PolicyLibrary, sqlite_template: Path, tmp_path: Path
) -> AsyncIterator[Books]:
    path = tmp_path / "ledger.db"
    path.write_bytes(sqlite_template.read_bytes())
    ledger = Ledger(f"sqlite:///{path}", open_engine(f"sqlite:///{path}"))
    nobody = await Client.connect("127.0.0.1:1", lazy=True)
    client = PointworkClient(nobody, ledger.vault, ledger.outcomes)
    gateway = Gateway(client, ledger.engine, ledger.vault, library, lambda _: None)
    assert gateway.vault.master_keys == MASTER_KEYS
    yield Books(ledger, gateway)
    assert ledger.broken_on_purpose or ledger.violations() == []
    ledger.engine.dispose()
