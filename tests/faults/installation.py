"""One ledger, one namespace of a Temporal server, and the workers between them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text
from temporalio.client import Client

from pointwork.client import PointworkClient
from pointwork.contract.outcome import AttemptState, TaskOutcome
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import Sensitivity, TaskDeclaration
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.engine import open_engine
from pointwork.ledger.invariants import check
from pointwork.ledger.migrate import migrate
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.temporal import pointwork_plugin
from tests.fakes.slow_model import SlowModel
from tests.faults.processes import Worker

PROMPT = Prompt.from_text("Tidy up this line: the meeting are moved to tuesday.")


@dataclass
class Installation:
    folder: Path
    settings: dict[str, Any]
    model: SlowModel
    engine: Engine
    temporal: Client
    client: PointworkClient
    workers: list[Worker] = field(default_factory=list)
    """Every process that was started, the ended ones too."""

    def __post_init__(self) -> None:
        self.outcomes = OutcomeLog(self.engine)

    async def worker(self, what: str = "all", **settings: Any) -> Worker:
        """Start a process; ``settings`` on top of the installation's own."""
        state_dir = self.folder / f"worker-{len(self.workers)}"
        worker = Worker({**self.settings, **settings, "state_dir": state_dir}, what)
        self.workers.append(worker)
        await worker.start()
        return worker

    async def submit(self, task_id: str) -> str:
        declaration = TaskDeclaration(
            task_id=task_id,
            caller="test-service",
            task_class="summarisation_formatting",
            sensitivity=Sensitivity.PUBLIC,
        )
        return await self.client.submit(PROMPT, declaration)

    async def closed(self, task_id: str) -> TaskOutcome:
        """The outcome as Temporal has it, once the workflow has nothing left to do."""
        handle = self.temporal.get_workflow_handle(task_id, result_type=TaskOutcome)
        outcome: TaskOutcome = await handle.result()
        return outcome

    def count(self, query: str, **values: Any) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text(query), values).scalar_one())

    def faults(self) -> list[str]:
        """Broken invariants and a broken audit chain, in words."""
        broken = [f"{each.invariant}: {each.sentence}" for each in check(self.engine)]
        chain = AuditChain(self.engine).verify()
        return broken if chain.holds else [*broken, chain.reason]

    def unexplained_calls(self, task_id: str) -> int:
        """Requests the model got beyond the first that no UNKNOWN attempt accounts for."""
        attempts = self.outcomes.attempts(task_id)
        unknown = sum(each.state is AttemptState.UNKNOWN for each in attempts)
        return max(0, self.model.calls_for(task_id) - 1 - unknown)


@asynccontextmanager
async def installation(
    folder: Path,
    address: str,
    policies: Path,
    model: SlowModel,
    *,
    namespace: str = "default",
    ledger_url: str | None = None,
) -> AsyncIterator[Installation]:
    """Without workers yet; those that a test starts are killed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "temporal_address": address,
        "temporal_namespace": namespace,
        "ledger_url": ledger_url or f"sqlite:///{folder / 'ledger.db'}",
        "master_key_file": folder / "master.key",
        "policies_dir": policies,
        "threads": 16,
    }
    engine = open_engine(settings["ledger_url"])
    migrate(engine)
    vault = Vault(engine, MasterKeys.load_or_create(settings["master_key_file"]))
    temporal = await Client.connect(address, namespace=namespace, plugins=[pointwork_plugin()])
    client = PointworkClient(temporal, vault, OutcomeLog(engine))
    installed = Installation(folder, settings, model, engine, temporal, client)
    try:
        yield installed
    finally:
        for worker in installed.workers:
            await worker.kill()
        engine.dispose()
