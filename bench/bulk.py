"""A ledger of as many finished tasks as asked for, in minutes: a few of them real, the rest copies.

For each model and day one task goes the real way, from its sealed content to its outcome. Its rows
are then copied with another task id and another caller; the audit chain goes on over the copies,
windows and ``cost_day`` are brought to what they would hold. Copies have no content: they are tasks
whose content was erased when its time was over.
"""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pysqlite3.dbapi2
from sqlalchemy import BigInteger, Engine, delete, insert, literal, update
from sqlalchemy.engine import make_url

from bench.ledger_rows import (
    MODELS,
    UNLIMITED,
    accept,
    answer,
    decision,
    invoke,
    outcome,
    reserve,
)
from pointwork.contract.decision import WindowSpec
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.cost_rollup import COST_DAY, posted_days
from pointwork.ledger.engine import forget_old_pages, transact
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.tables import BudgetWindow, table_of
from pointwork.ledger.vault import Vault

CALLERS = 20
THREADS = 8
# In an order in which no row is written before the one it refers to.
COPIED = ("task", "decision", "hold_part", "hold_part_window", "attempt", "audit", "outcome")
KEYED_BY_PART = "hold_part_window"
_GENESIS_CALLER = "caller-000"
_WINDOW = table_of(BudgetWindow)


def day_windows(day: datetime) -> list[WindowSpec]:
    """The pack's day and week that ``day`` falls in, without a limit that matters."""
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=midnight.weekday())
    spans = {"day": (midnight, 1), "week": (monday, 7)}
    return [
        WindowSpec(
            key=f"bench/pack/bench/{period}/{starts_at:%Y-%m-%d}",
            scope="pack/bench",
            period=period,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(days=days),
            limit_nano_usd=UNLIMITED,
        )
        for period, (starts_at, days) in spans.items()
    ]


@dataclass(frozen=True, slots=True)
class Template:
    """The rows of one real task, as the driver reads and writes them."""

    task_id: str
    rows: dict[str, list[tuple[Any, ...]]]


def fill(engine: Engine, url: str, tasks: int, days: int) -> int:
    """Fill an empty ledger; the number of tasks it then has, ``tasks`` or a little fewer."""
    today = datetime.now(UTC)
    made = [
        (f"t{day:04d}{number}-000000", today - timedelta(days=day), model)
        for day in range(days)
        for number, model in enumerate(MODELS)
    ]
    vault = Vault(engine, MasterKeys(active="bench", keys={"bench": bytes(32)}))
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda each: _real_task(engine, vault, *each), made))
    copies = max(0, tasks // len(made) - 1)
    engine.dispose()
    if engine.dialect.name == "sqlite":
        _copy_in_sqlite(url, [task_id for task_id, _, _ in made], copies)
    else:
        _copy_in_postgres(url, [task_id for task_id, _, _ in made], copies)
    _bring_up_sums(engine, copies + 1)
    forget_old_pages(engine)
    return len(made) * (copies + 1)


def _real_task(engine: Engine, vault: Vault, task_id: str, at: datetime, model: str) -> None:
    attempts = AttemptLog(engine, vault)
    call = invoke(task_id, model)
    accept(vault, task_id, at, _GENESIS_CALLER)
    record = decision(task_id, at, _GENESIS_CALLER, [call.candidate])
    reserve(BudgetBook(engine), record, day_windows(at), call)
    start = attempts.begin(call, f"{task_id}/1", at)
    attempts.finish(start.attempt_id, **answer(at))
    OutcomeLog(engine).log(outcome(task_id, at, _GENESIS_CALLER, model), None, at)


class Chain:
    """Goes on with the audit chain where the real tasks left it."""

    def __init__(self, sequence: int, head: str) -> None:
        self._sequence = sequence
        self._head = bytes.fromhex(head)

    def link(self, record: str, replaced: str) -> tuple[int, str, str]:
        """Sequence, record and hash of the copy of a record that had the sequence ``replaced``."""
        self._sequence += 1
        body = record.replace(f'"sequence":{replaced},', f'"sequence":{self._sequence},', 1)
        self._head = hashlib.sha256(b"\x00" + self._head + body.encode()).digest()
        return self._sequence, body, self._head.hex()


class Copier:
    """Copies templates; the columns of each table are read once."""

    def __init__(self, columns: dict[str, list[str]], chain: Chain) -> None:
        self._columns = columns
        self._chain = chain

    def copies(self, template: Template, count: int) -> dict[str, list[tuple[Any, ...]]]:
        """By table, the rows of ``count`` copies."""
        found: dict[str, list[tuple[Any, ...]]] = {table: [] for table in COPIED}
        for number in range(1, count + 1):
            task_id = f"{template.task_id[:-6]}{number:06d}"
            caller = f"caller-{number % CALLERS:03d}"
            rows = {
                table: [
                    tuple(_renamed(value, template.task_id, task_id, caller) for value in row)
                    for row in template.rows[table]
                ]
                for table in COPIED
            }
            self._rechain(template, rows)
            for table in COPIED:
                found[table] += rows[table]
        return found

    def _rechain(self, template: Template, rows: dict[str, list[tuple[Any, ...]]]) -> None:
        """The audit record covers the decision's hash; the outcome names its audit record."""
        body = self._columns["decision"].index("body")
        before = _sha256(template.rows["decision"][0][body])
        after = _sha256(rows["decision"][0][body])
        record = dict(zip(self._columns["audit"], rows["audit"][0], strict=True))
        text = record["record"].replace(before, after)
        sequence, linked, head = self._chain.link(text, str(record["sequence"]))
        record |= {"sequence": sequence, "record": linked, "hash": head}
        rows["audit"] = [tuple(record.values())]
        ended = dict(zip(self._columns["outcome"], rows["outcome"][0], strict=True))
        ended["audit_sequence"] = sequence
        rows["outcome"] = [tuple(ended.values())]


def _renamed(value: Any, old_id: str, new_id: str, caller: str) -> Any:
    if isinstance(value, str):
        return value.replace(old_id, new_id).replace(_GENESIS_CALLER, caller)
    return value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _templates(connection: Any, task_ids: Iterable[str], mark: str) -> Iterator[Template]:
    """The rows of real tasks; ``mark`` is the driver's placeholder."""
    for task_id in task_ids:
        rows = {}
        for table in COPIED:
            column, value = ("task_id", task_id)
            if table == KEYED_BY_PART:
                column, value = "part_id", f"{task_id}/1"
            cursor = connection.execute(f"SELECT * FROM {table} WHERE {column} = {mark}", (value,))
            rows[table] = [tuple(row) for row in cursor.fetchall()]
        yield Template(task_id, rows)


def _copier(connection: Any) -> Copier:
    columns = {
        table: [
            each[0] for each in connection.execute(f"SELECT * FROM {table} LIMIT 0").description
        ]
        for table in COPIED
    }
    last = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1"
    return Copier(columns, Chain(*connection.execute(last).fetchone()))


def _copy_in_sqlite(url: str, task_ids: list[str], copies: int) -> None:
    path = make_url(url).database
    with closing(pysqlite3.dbapi2.connect(path, isolation_level=None)) as connection:
        # A bulk fill that a power cut ends is begun anew.
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        copier = _copier(connection)
        for template in list(_templates(connection, task_ids, "?")):
            connection.execute("BEGIN IMMEDIATE")
            for table, rows in copier.copies(template, copies).items():
                if rows:
                    marks = ", ".join("?" * len(rows[0]))
                    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
            connection.execute("COMMIT")


def _copy_in_postgres(url: str, task_ids: list[str], copies: int) -> None:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        copier = _copier(connection)
        for template in list(_templates(connection, task_ids, "%s")):
            with connection.transaction():
                for table, rows in copier.copies(template, copies).items():
                    with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                        for row in rows:
                            copy.write_row(row)
        connection.execute("ANALYZE")


def _bring_up_sums(engine: Engine, times: int) -> None:
    """Every task of a window spent the same; ``cost_day`` is summed afresh."""

    def write(connection: Any) -> None:
        spent = _WINDOW.c.spent_nano_usd * times
        connection.execute(update(_WINDOW).values(spent_nano_usd=spent))
        connection.execute(delete(COST_DAY))
        days = posted_days(literal(1, BigInteger))
        names = [each.name for each in days.selected_columns]
        connection.execute(insert(COST_DAY).from_select(names, days))

    transact(engine, write)
