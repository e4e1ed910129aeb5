"""An embedded deployment on the bench's own policies, in processes that may be killed and come
back."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

from sqlalchemy import Engine

from pointwork.client import PointworkClient
from pointwork.embedded import Embedded
from pointwork.ledger.engine import open_engine
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import MasterKeys, Vault
from pointwork.policy.documents.load import load_pack
from pointwork.policy.documents.sealing import seal
from workers.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[1]
POLICIES = Path(__file__).parent / "data" / "policies"
WORKER = "all"
FAMILY = {
    "lane": "standard",
    "cost_class": "medium",
    "default_for": ["calls of the bench"],
    "use_when": ["measuring"],
    "capability": "Answers with filler words",
}
CLASS = {"covers": ["calls of the bench"], "quality_floor": 1, "ceiling": "1.00"}
ENDPOINT = {"adapter": "openai", "site": "public_api", "dialect": "deepseek"}
SHARED_ENDPOINT = "mock"
TIMEOUT_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Failing:
    """Models that have an endpoint each and fail there, and the one that is called next."""

    base_urls: Mapping[str, str]
    """By model, which is the name of its endpoint too."""
    next_model: str
    timeout_seconds: int
    """Of every model's call."""
    rows: Mapping[str, Mapping[str, Any]]
    """By pack, more fields of its classes."""


class Deployment:
    """Temporal's dev server, the SQLite ledger and one worker process for every queue."""

    def __init__(
        self,
        folder: Path,
        base_url: str,
        limits_usd: dict[str, str],
        models: Sequence[str],
        workers: tuple[str, ...] = (WORKER,),
        row: Mapping[str, Any] | None = None,
        failing: Failing | None = None,
    ) -> None:
        """``limits_usd``: by the pack's name, what each caller may spend.

        Each of ``models`` is a model of the mock upstream, and the class of that name is for it,
        with the fields of ``row`` besides. The models of ``failing`` have a class each too.
        """
        self.state_dir = folder / "state"
        self._app = folder / "app"
        self._workers = workers
        write_application(self._app, base_url, limits_usd, models, row, failing)
        settings = Settings(state_dir=self.state_dir)
        self._ledger_url = settings.ledger_address
        self._master_key = settings.master_key_path
        self._embedded = self._new()
        self.engine: Engine
        self.client: PointworkClient

    async def start(self) -> None:
        endpoints = await self._embedded.start(lambda event: None)
        self.gateway_url = endpoints.gateway_url
        self.engine = open_engine(self._ledger_url)
        vault = Vault(self.engine, MasterKeys.load_or_create(self._master_key))
        self.client = await PointworkClient.connect(
            endpoints.temporal_address, vault, OutcomeLog(self.engine)
        )

    async def stop(self) -> None:
        await self._embedded.stop()
        self.engine.dispose()

    @property
    def pids(self) -> dict[str, int]:
        return dict(self._embedded.pids)

    def kill_worker(self) -> None:
        """``kill -9``; the supervisor starts it again."""
        os.kill(self._embedded.pids[WORKER], signal.SIGKILL)

    def kill_everything(self) -> None:
        """``kill -9`` of every process; ``restart`` before it is used again."""
        for pid in self._embedded.pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def restart(self) -> None:
        """A new start on what is on disk."""
        await self.stop()
        self._embedded = self._new()
        await self.start()

    def _new(self) -> Embedded:
        return Embedded(self.state_dir, self._app, workers=self._workers)


def write_application(
    folder: Path,
    base_url: str,
    limits_usd: dict[str, str],
    models: Sequence[str],
    row: Mapping[str, Any] | None = None,
    failing: Failing | None = None,
) -> None:
    """A folder to run the workers from: this checkout's code with the bench's policies."""
    folder.mkdir()
    for name in ("workers", "workflows", "activities"):
        (folder / name).symlink_to(REPOSITORY / name, target_is_directory=True)
    policies = folder / "policies"
    (policies / "hosts").mkdir(parents=True)
    host = "hosts/embedded.yaml"
    (policies / host).write_text((POLICIES / host).read_text())
    entry = Template((POLICIES / "model.yaml").read_text())
    base_urls, rungs = {SHARED_ENDPOINT: base_url}, {model: [[model]] for model in models}
    timeout_seconds = TIMEOUT_SECONDS
    if failing is not None:
        base_urls |= failing.base_urls
        rungs |= {model: [[model], [failing.next_model]] for model in failing.base_urls}
        timeout_seconds = failing.timeout_seconds
    # JSON is YAML, in one line.
    endpoints = {name: {**ENDPOINT, "base_url": url} for name, url in base_urls.items()}
    catalogue = Template((POLICIES / "models.yaml").read_text())
    entries = (
        entry.substitute(
            model=model,
            endpoint=model if model in base_urls else SHARED_ENDPOINT,
            timeout_seconds=timeout_seconds,
        )
        for model in rungs
    )
    text = catalogue.substitute(endpoints=json.dumps(endpoints)) + "".join(entries)
    (policies / "models.yaml").write_text(text)
    document = Template((POLICIES / "pack.yaml").read_text())
    families = json.dumps({model: {**FAMILY, "models": [model]} for model in rungs})
    for pack, limit in limits_usd.items():
        path = policies / pack / "1.0.yaml"
        path.parent.mkdir()
        fields = {**CLASS, **(row or {}), **(failing.rows.get(pack, {}) if failing else {})}
        classes = {model: {**fields, "rungs": steps} for model, steps in rungs.items()}
        path.write_text(
            document.substitute(
                pack=pack, limit=limit, families=families, classes=json.dumps(classes)
            )
        )
        bundle = load_pack(path, policies, "embedded")
        seal(path.parent, bundle.pack.version, bundle.pack_sha256, "bench", datetime.now(UTC))
