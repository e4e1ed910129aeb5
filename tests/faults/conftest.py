"""A deployment of real processes on a state directory, its model a server the test holds."""

import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.client import PointworkClient
from pointwork.contract.outcome import TaskOutcome
from pointwork.contract.task import Sensitivity, TaskDeclaration
from pointwork.embedded import Embedded
from pointwork.ledger.engine import open_engine
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from tests.fakes.slow_model import SlowModel, slow_model
from workers.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Deployment:
    """Server and workers as their own processes; kill them by ``embedded.pids``."""

    embedded: Embedded
    client: PointworkClient
    engine: Engine
    outcomes: OutcomeLog
    model: SlowModel
    state_dir: Path

    def declare(self) -> TaskDeclaration:
        return TaskDeclaration(
            task_id=f"fault-{uuid.uuid4().hex[:12]}",
            caller="test-service",
            task_class="summarisation_formatting",
            sensitivity=Sensitivity.PUBLIC,
        )

    async def outcome(self, task_id: str) -> TaskOutcome:
        return await self.client.result(task_id)


def write_policies(folder: Path, model: SlowModel) -> Path:
    """The shipped policies, with the local model behind the test's own server."""
    policies = folder / "policies"
    shutil.copytree(REPOSITORY / "policies", policies)
    catalogue = policies / "models.yaml"
    local = "  local-gpu:\n    adapter: local\n    site: local\n    task_queue: gpu-5090\n"
    served = (
        f"  local-gpu:\n    adapter: openai\n    base_url: {model.base_url}\n"
        "    site: local\n    dialect: llama_cpp\n"
    )
    text = catalogue.read_text()
    assert local in text
    catalogue.write_text(text.replace(local, served))
    return policies


@asynccontextmanager
async def deploy(folder: Path, model: SlowModel) -> AsyncIterator[Deployment]:
    state_dir = folder / "state"
    embedded = Embedded(state_dir, REPOSITORY, workers=("all",))
    endpoints = await embedded.start(lambda event: None)
    settings = Settings(state_dir=state_dir)
    engine = open_engine(settings.ledger_address)
    outcomes = OutcomeLog(engine)
    vault = Vault(engine, MasterKeys.load_or_create(settings.master_key_path))
    try:
        client = await PointworkClient.connect(endpoints.temporal_address, vault, outcomes)
        yield Deployment(embedded, client, engine, outcomes, model, state_dir)
    finally:
        await embedded.stop()
        engine.dispose()


@pytest.fixture
async def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployment]:
    async with slow_model() as model:
        monkeypatch.setenv("POINTWORK_POLICIES_DIR", str(write_policies(tmp_path, model)))
        async with deploy(tmp_path, model) as started:
            yield started
