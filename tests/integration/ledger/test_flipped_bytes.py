"""A byte that a disk turned is found by the doctor, or changed nothing (case 39)."""

import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointwork.cli.checks import Verdict, check_ledger
from pointwork.cli.owner import ensure_owner
from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate
from tests.fakes.scripted_provider import Script
from tests.integration.ledger.steps import Steps

OFFSETS = 50
TASKS = 40
UNTOLD = frozenset(
    {
        "attempt.finish_reason",
        "attempt.provider_request_id",
        "attempt.served_model",
        "hold_part.expires_in_seconds",
        "hold_part.price_version",
        "hold_part.task_ceiling_nano_usd",
        "task.request_digest",
        "vault_content.sealed",
        "vault_key.master_key_id",
        "vault_key.wrapped",
    }
)
"""Columns of which there is one copy: words for people, what has a seal of its own, and what is
read only while its task runs: the time and the ceiling of a hold.

Content, its key and the request's digest are authenticated where they are opened. So are times,
whose every column ends in ``_at``, in the outcome's and the chain's own words. The name
of a master key that there is none of is told by the doctor's look at the key file (`vault_checks`).
"""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with finished tasks, whole in one file."""
    return tmp_path_factory.mktemp("sound") / "ledger.db"


async def fill(path: Path) -> None:
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine)
    ensure_owner(engine, path.parent)
    steps = Steps(engine, Script())
    for task_id in (f"t-{number}" for number in range(TASKS)):
        prompt = await steps.accept(task_id)
        await steps.reserve(task_id, prompt)
        await steps.call(task_id, prompt)
        await steps.log(task_id)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def found_by_doctor(path: Path) -> str:
    """The first check that fails; empty where none does."""
    failed = (each.name for each in check_ledger(path.parent) if each.verdict is Verdict.FAIL)
    return next(failed, "")


def rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Everything in the file, column by column, text as bytes."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.text_factory = bytes
    tables = [
        name.decode()
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"
        )
    ]
    for table in tables:
        found = connection.execute(f'SELECT * FROM "{table}" ORDER BY rowid')
        columns = [each[0] for each in found.description]
        for row in found:
            for column, value in zip(columns, row, strict=True):
                yield f"{table}.{column}", value
    connection.close()


def changed(before: Path, after: Path) -> set[str]:
    return {
        name
        for (name, value), (_, now) in zip(rows(before), rows(after), strict=True)
        if value != now
    }


async def test_a_flipped_byte_is_found_or_harmless(sound: Path, tmp_path: Path) -> None:
    await fill(sound)
    assert found_by_doctor(sound) == ""
    whole = sound.read_bytes()
    chance = random.Random(39)
    verdicts: Counter[str] = Counter()
    for number, offset in enumerate(chance.sample(range(len(whole)), OFFSETS)):
        path = tmp_path / str(number) / "ledger.db"
        path.parent.mkdir()
        flipped = whole[offset] ^ 1 << chance.randrange(8)
        path.write_bytes(whole[:offset] + bytes([flipped]) + whole[offset + 1 :])
        found = found_by_doctor(path)
        verdicts[found or "harmless"] += 1
        if not found:
            told_once = {each for each in changed(sound, path) if not each.endswith("_at")}
            assert told_once <= UNTOLD, f"offset {offset} changed {told_once} and nothing says so"
        shutil.rmtree(path.parent)
    assert verdicts.total() == OFFSETS
    assert verdicts["harmless"] < OFFSETS
