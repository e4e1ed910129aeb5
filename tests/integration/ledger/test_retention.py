"""Content goes when its time is over; no record ever does (OM-81; reliability case 93)."""

import importlib
import pkgutil
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Delete, event

import pointwork.ledger
from pointwork.contract.task import Sensitivity
from pointwork.ledger.engine import read
from pointwork.ledger.orphans import remove_orphans
from pointwork.ledger.response_cache import ResponseCache
from pointwork.ledger.retention import (
    DAYS_DEFAULT,
    ROWS_PER_PAGE,
    TASKS_PER_ERASURE,
    KeptTask,
    Retention,
    erase_kept,
    kept_tasks,
)
from pointwork.ledger.sealed_bytes import SHARDS
from pointwork.ledger.tables import METADATA
from pointwork.ledger.vault import ContentUnavailableError
from pointwork.ledger.vault_status import contents_by_age, due, key_counts
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, decision, outcome
from tests.integration.ledger.stores import new_store, objects
from tests.integration.ledger.test_response_cache import subject

ALL = Retention(DAYS_DEFAULT)
DAY = timedelta(days=1)
CONTENT_TABLES = frozenset({"vault_content", "response_cache"})
"""All that may ever lose a row to erasure, retention or age."""
OF_THE_MOMENT = frozenset({"rate_lease", "stream_listener"})
"""What is about one second or one open request, and no record of anything."""


def ended(
    ledger: Ledger,
    task_id: str,
    *levels: Sensitivity | None,
    at: datetime = NOW,
    **fields: Any,
) -> None:
    """A finished task, decided on once for each of the sensitivities."""
    accept(ledger.vault, task_id)
    record = None
    for number, level in enumerate(levels, 1):
        record = decision(task_id, number, sensitivity=level)
        if number < len(levels):
            ledger.budgets.reserve(
                record=record,
                part_id=f"{task_id}/{number}",
                task_id=task_id,
                invoke=None,
                amount_nano_usd=0,
                task_ceiling_nano_usd=0,
                windows=[],
                price_version="1",
                expires_in_seconds=60,
                now=NOW,
            )
    ledger.outcomes.log(outcome(task_id, finished_at=at, **fields), record, at)


def kept(ledger: Ledger, retention: Retention = ALL) -> dict[str, KeptTask]:
    page = kept_tasks(ledger.engine, retention, NOW + 10_000 * DAY)
    assert page.last is None
    return {each.task_id: each for each in page.tasks}


def take(ledger: Ledger, now: datetime, retention: Retention = ALL) -> list[str]:
    """What a sweep at this moment erases of the tasks that have ended."""
    before = kept(ledger, retention)
    wanted = [
        each.task_id
        for each in before.values()
        if each.ended_at is not None and each.erase_at is not None and each.erase_at <= now
    ]
    erase_kept(ledger.engine, ledger.store, wanted, retention, now)
    return sorted(before.keys() - kept(ledger, retention).keys())


@pytest.mark.parametrize("level", list(Sensitivity))
def test_content_goes_when_the_days_of_its_sensitivity_are_over_and_not_before(
    ledger: Ledger, level: Sensitivity
) -> None:
    ended(ledger, "t-1", level)
    over = NOW + timedelta(days=DAYS_DEFAULT[level] or 0)
    assert take(ledger, over - timedelta(microseconds=1)) == []
    assert take(ledger, over) == ["t-1"]
    assert ledger.rows("SELECT * FROM vault_content") == []


def test_content_of_unknown_sensitivity_goes_with_the_restricted(ledger: Ledger) -> None:
    ended(ledger, "undeclared", None)
    ended(ledger, "undecided")
    ended(ledger, "restricted", Sensitivity.RESTRICTED)
    times = {each.erase_at for each in kept(ledger).values()}
    assert times == {NOW + timedelta(days=DAYS_DEFAULT[Sensitivity.RESTRICTED] or 0)}


def test_the_most_careful_of_a_tasks_decisions_counts(ledger: Ledger) -> None:
    ended(ledger, "raised", Sensitivity.PUBLIC, Sensitivity.SENSITIVE)
    ended(ledger, "found-late", None, Sensitivity.INTERNAL)
    found = kept(ledger)
    assert found["raised"].erase_at == NOW + 60 * DAY
    assert found["found-late"].erase_at == NOW + 180 * DAY


def test_what_is_to_be_kept_for_ever_is_never_taken(ledger: Ledger) -> None:
    ended(ledger, "t-1", Sensitivity.PUBLIC)
    for_ever = Retention.over_defaults({Sensitivity.PUBLIC: None})
    assert take(ledger, NOW + 10_000 * DAY, for_ever) == []


def test_a_task_without_an_outcome_is_never_taken_for_an_ended_one(ledger: Ledger) -> None:
    accept(ledger.vault, "running")
    late = NOW + 10_000 * DAY
    assert erase_kept(ledger.engine, ledger.store, ["running"], ALL, late) == 0
    assert take(ledger, late) == []
    (task,) = kept(ledger).values()
    assert task.ended_at is None
    # Only who knows that nothing runs it may say so, and then only of a task without an outcome.
    ended(ledger, "ended", None)
    both = ["ended", "running"]
    assert erase_kept(ledger.engine, ledger.store, both, ALL, late, have_ended=False) == 1
    assert set(kept(ledger)) == {"ended"}


def test_a_batch_is_one_record_that_names_its_tasks_and_the_days(ledger: Ledger) -> None:
    tasks = [f"t-{number:03}" for number in range(2 * TASKS_PER_ERASURE + 5)]
    for task_id in tasks:
        ended(ledger, task_id)
    assert take(ledger, NOW + 30 * DAY) == tasks
    told = [each for each in ledger.chain.records(1000) if each.kind == "retention"]
    assert [len(each.body["tasks"]) for each in told] == [100, 100, 5]
    assert sorted(task for each in told for task in each.body["tasks"]) == tasks
    assert told[0].body["contents_erased"] == 100
    assert told[0].body["days"]["restricted"] == 30
    assert take(ledger, NOW + 30 * DAY) == []
    assert len([each for each in ledger.chain.records(1000) if each.kind == "retention"]) == 3


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_pages_go_on_where_the_last_one_stopped(ledger: Ledger) -> None:
    total = ROWS_PER_PAGE + 3
    for number in range(total):
        accept(ledger.vault, f"t-{number}")
    first = kept_tasks(ledger.engine, ALL, NOW + DAY)
    assert len(first.tasks) == ROWS_PER_PAGE
    second = kept_tasks(ledger.engine, ALL, NOW + DAY, first.last)
    assert second.last is None
    seen = [each.task_id for each in (*first.tasks, *second.tasks)]
    assert len(seen) == len(set(seen)) == total


def test_young_tasks_are_not_looked_at(ledger: Ledger) -> None:
    accept(ledger.vault, "t-1")
    assert kept_tasks(ledger.engine, ALL, NOW).tasks == ()


def test_the_content_of_a_task_that_was_taken_is_erased_like_any_other(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1").refs["prompt"]
    ledger.outcomes.log(outcome("t-1"), None, NOW)
    take(ledger, NOW + 30 * DAY)
    with pytest.raises(ContentUnavailableError, match="was erased"):
        ledger.another_vault().open("t-1", ref)
    assert key_counts(ledger.engine).erased == 1


def all_rows(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    return {
        name: sorted(ledger.rows(f"SELECT * FROM {name}"), key=str)
        for name in METADATA.tables
        if name not in CONTENT_TABLES
    }


@pytest.mark.req("OM-81")
def test_no_job_deletes_a_record_at_two_years_or_at_ten(
    ledger: Ledger, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A day less than 730 days, the day itself, a leap year's day more, and ten years."""
    ledger.keep_in(new_store("folder", ledger.engine, tmp_path, request))
    for number, level in enumerate(Sensitivity):
        ended(ledger, f"t-{number}", level)
    before = all_rows(ledger)
    for days in (729, 730, 731, 3653):
        now = NOW + timedelta(days=days)
        take(ledger, now)
        for shard in range(SHARDS):
            remove_orphans(ledger.engine, ledger.store, now, shard=shard)
        after = all_rows(ledger)
        for table, rows in before.items():
            if table == "vault_key":
                assert len(after[table]) == len(rows)
            elif table == "audit":
                assert [each for each in after[table] if each in rows] == rows
            else:
                assert after[table] == rows, table
    assert ledger.rows("SELECT * FROM vault_content") == []
    assert objects(ledger.store) == []
    assert ledger.chain.verify().holds


@pytest.mark.req("OM-81")
def test_no_statement_of_the_code_deletes_a_record(repository: Path) -> None:
    """All there are, as they are built; and none is written as text."""
    found = set()
    for module in pkgutil.iter_modules(pointwork.ledger.__path__, "pointwork.ledger."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, Delete):
                found.add(each.table.name)  # type: ignore[union-attr]
    assert found == CONTENT_TABLES | OF_THE_MOMENT | {"superseded_master_key"}
    written = re.compile(r"DELETE +FROM|TRUNCATE\s+TABLE|DROP\s+TABLE|REPLACE\s+INTO", re.I)
    sources = [
        path
        for root in ("src", "workers", "activities", "workflows", "tools")
        for path in (repository / root).rglob("*.py")
        if "migrations" not in path.parts
    ]
    assert len(sources) > 100
    assert [path.name for path in sources if written.search(path.read_text())] == []


def test_erasing_and_retention_send_no_other_deletion_to_the_database(ledger: Ledger) -> None:
    sent: list[str] = []

    def watch(*arguments: Any) -> None:
        statement = str(arguments[2])
        if statement.upper().startswith("DELETE"):
            sent.append(statement.split()[2])

    event.listen(ledger.engine, "before_cursor_execute", watch)
    ended(ledger, "t-1")
    cache = ResponseCache(ledger.engine, ledger.vault)
    assert cache.key(subject()) is not None
    take(ledger, NOW + 30 * DAY)
    ended(ledger, "t-2")
    ledger.vault.destroy_key("t-2", NOW)
    assert set(sent) == {"vault_content"}


def test_the_status_counts_contents_by_age_and_what_retention_takes_next(ledger: Ledger) -> None:
    now = NOW + 29 * DAY
    ended(ledger, "soon", None)
    ended(ledger, "later", Sensitivity.PUBLIC)
    accept(ledger.vault, "running")
    ledger.vault.seal("running", b"another", "text/plain", now - timedelta(hours=1))
    ended(ledger, "gone", None)
    ledger.vault.destroy_key("gone", NOW)
    ages = contents_by_age(ledger.engine, now)
    assert [(x.days_max, x.contents, x.bytes_count) for x in ages] == [(1, 1, 7), (30, 3, 15)]
    coming = due(ledger.engine, ALL, now, (timedelta(0), DAY, 7 * DAY))
    assert [count for _, count in coming.within] == [0, 1, 1]
    assert (coming.kept, coming.unended) == (1, 1)
    counts = key_counts(ledger.engine)
    assert (counts.live, counts.erased) == (3, 1)


def test_a_walk_over_live_keys_meets_no_erased_one(ledger: Ledger) -> None:
    """Its order is that of an index which holds the live ones alone."""
    walk = (
        "SELECT task_id FROM vault_key WHERE wrapped IS NOT NULL "
        "AND created_at < '2026-01-01' ORDER BY created_at, task_id LIMIT 10"
    )
    with read(ledger.engine) as connection:
        explain = "EXPLAIN QUERY PLAN"
        if ledger.engine.dialect.name == "postgresql":
            explain = "EXPLAIN"
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = str(connection.exec_driver_sql(f"{explain} {walk}").all())
    assert "ix_vault_key_created_at_task_id" in plan
