"""The sweep erases content whose time is over, and takes away objects that nobody names."""

import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from pointwork.contract.names import ROUTE_TASK
from pointwork.contract.task import Sensitivity
from pointwork.ledger.retention import DAYS_DEFAULT, ROWS_PER_PAGE, Retention
from pointwork.ledger.sealed_bytes import SHARDS, InTable, SealedStoreError
from tests.integration.ledger.conftest import Ledger, ledger, ledger_url, s3_server, sqlite_template
from tests.integration.ledger.records import NOW, accept, decision, outcome
from tests.integration.ledger.stores import new_store, objects
from tests.integration.sweep.conftest import sweeping
from workers.settings import Settings
from workers.sweep import LedgerSweep
from workers.vault_upkeep import VaultUpkeep

__all__ = ["ledger", "ledger_url", "s3_server", "sqlite_template"]
ALL = Retention(DAYS_DEFAULT)
MONTH = timedelta(days=30)
SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


def ended(ledger: Ledger, task_id: str) -> None:
    accept(ledger.vault, task_id)
    ledger.outcomes.log(outcome(task_id), None, NOW)


def erased(ledger: Ledger) -> set[str]:
    rows = ledger.rows("SELECT task_id FROM vault_key WHERE wrapped IS NULL")
    return {row["task_id"] for row in rows}


async def nobody(task_ids: Collection[str]) -> Mapping[str, bool]:
    """Temporal knows no workflow of any task."""
    return dict.fromkeys(task_ids, False)


async def everybody(task_ids: Collection[str]) -> Mapping[str, bool]:
    return dict.fromkeys(task_ids, True)


async def test_retention_runs_within_the_sweep_and_never_takes_a_running_task(
    temporal: Client, ledger: Ledger
) -> None:
    """Ended, never started, and running far past any retention."""
    run = uuid.uuid4().hex
    names = {name: f"{run}-{name}" for name in ("ended", "unstarted", "running", "public")}
    ended(ledger, names["ended"])
    for name in ("unstarted", "running"):
        accept(ledger.vault, names[name])
    accept(ledger.vault, names["public"])
    record = decision(names["public"], sensitivity=Sensitivity.PUBLIC)
    finished = datetime.now(UTC) - timedelta(days=300)
    ledger.outcomes.log(outcome(names["public"], finished_at=finished), record, NOW)
    await temporal.start_workflow(ROUTE_TASK, id=names["running"], task_queue="nobody")
    upkeep = VaultUpkeep(ledger.engine, ledger.store, ALL)

    await LedgerSweep(temporal, ledger.engine, upkeep=upkeep).sweep()

    assert erased(ledger) == {names["ended"], names["unstarted"]}
    assert ledger.chain.verify().holds
    await temporal.get_workflow_handle(names["running"]).terminate()


@SQLITE
async def test_a_sweep_without_a_vault_to_tend_does_what_it_did(
    temporal: Client, ledger: Ledger
) -> None:
    ended(ledger, "t-1")
    async with sweeping(temporal, ledger.engine):
        await LedgerSweep(temporal, ledger.engine).sweep()
    assert erased(ledger) == set()


@SQLITE
async def test_between_two_walks_it_rests(ledger: Ledger) -> None:
    upkeep = VaultUpkeep(ledger.engine, ledger.store, ALL)
    now = NOW + MONTH
    await upkeep.run(nobody, now)
    ended(ledger, "t-1")
    await upkeep.run(nobody, now + timedelta(minutes=59))
    assert erased(ledger) == set()
    await upkeep.run(nobody, now + timedelta(minutes=60))
    assert erased(ledger) == {"t-1"}


@SQLITE
async def test_a_walk_that_runs_out_of_time_is_gone_on_with_by_the_next_sweep(
    ledger: Ledger,
) -> None:
    for number in range(ROWS_PER_PAGE):
        accept(ledger.vault, f"a-{number}")
    ended(ledger, "z-last")

    upkeep = VaultUpkeep(ledger.engine, ledger.store, ALL, walk_seconds_max=0.0)
    now = NOW + MONTH + timedelta(days=1)
    await upkeep.run(everybody, now)
    assert erased(ledger) == set()
    await upkeep.run(everybody, now)
    assert erased(ledger) == {"z-last"}


@SQLITE
async def test_where_everything_is_kept_for_ever_nothing_is_looked_at(ledger: Ledger) -> None:
    ended(ledger, "t-1")
    for_ever = Retention(dict.fromkeys(Sensitivity, None))
    await VaultUpkeep(ledger.engine, ledger.store, for_ever).run(nobody, NOW + 100 * MONTH)
    assert erased(ledger) == set()


@SQLITE
async def test_lost_objects_of_the_shard_whose_turn_it_is_go(
    ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ledger.keep_in(new_store("folder", ledger.engine, tmp_path, request))
    kept = accept(ledger.vault, "t-1").refs["prompt"]
    ledger.store.put("t-1", b"lost")
    upkeep = VaultUpkeep(ledger.engine, ledger.store, ALL, grace=timedelta(0))
    start = datetime.now(UTC) + timedelta(minutes=1)
    for minute in range(SHARDS):
        await upkeep.run(everybody, start + timedelta(minutes=minute))
    assert len(objects(ledger.store)) == 1
    assert ledger.vault.open("t-1", kept) == b"hello"


class Down(InTable):
    def listed(self, shard: int) -> Any:
        raise SealedStoreError("the vault's store s3://down did not list objects; check it")


@SQLITE
async def test_a_store_that_is_down_stops_no_sweep_and_is_told_in_the_log(
    temporal: Client, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ended(ledger, "t-1")
    upkeep = VaultUpkeep(ledger.engine, Down(), ALL)
    await LedgerSweep(temporal, ledger.engine, upkeep=upkeep).sweep()
    assert erased(ledger) == {"t-1"}
    assert "s3://down did not list objects" in caplog.text


def test_the_settings_take_days_by_sensitivity_over_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POINTWORK_CONTENT_RETENTION_DAYS", '{"public": 7, "internal": null}')
    kept = Retention.over_defaults(Settings().content_retention_days)
    assert kept.of(Sensitivity.PUBLIC) == timedelta(days=7)
    assert kept.of(Sensitivity.INTERNAL) is None
    assert kept.of(None) == MONTH


@pytest.mark.parametrize("days", ['{"publc": 7}', '{"public": 0}', '{"public": 99999}', "[]"])
def test_days_that_cannot_be_meant_stop_a_worker_at_its_start(
    monkeypatch: pytest.MonkeyPatch, days: str
) -> None:
    monkeypatch.setenv("POINTWORK_CONTENT_RETENTION_DAYS", days)
    with pytest.raises(ValueError, match="content_retention_days"):
        Settings()


def test_a_stores_options_are_not_shown_with_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTWORK_VAULT_OPTIONS", '{"secret_access_key": "hunter2"}')
    assert Settings().vault_options == {"secret_access_key": "hunter2"}
    assert "hunter2" not in repr(Settings())
