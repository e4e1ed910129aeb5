"""One client process of ``bench.budget``: does what each line on stdin asks, and tells how it went.

``python -m bench.racer URL NAME THREADS``. A line is a JSON object with ``work`` (one of ``WORK``),
``run`` (told apart from other runs), ``count`` for each thread, ``limit`` in nano-USD and, for
spread rows, ``spread``; the answer is a list of what every piece of work came to, and how long it
took in milliseconds.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    MetaData,
    String,
    Table,
    bindparam,
    select,
    update,
)

from bench.ledger_rows import (
    AMOUNT_NANO_USD,
    accept,
    answer,
    decision,
    invoke,
    now,
    outcome,
    reserve,
    windows,
)
from pointwork.contract.decision import WindowSpec
from pointwork.contract.outcome import ReserveOutcome, Settlement
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine, read, transact
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.settling import Posting, Settled, settle_parts
from pointwork.ledger.tables import PartState
from pointwork.ledger.vault import Vault

NAIVE = Table(
    "naive_window",
    MetaData(),
    Column("window_key", String, primary_key=True),
    Column("limit_nano_usd", BigInteger),
    Column("spent_nano_usd", BigInteger),
)
_NAIVE_READ = select(NAIVE.c.spent_nano_usd, NAIVE.c.limit_nano_usd).where(
    NAIVE.c.window_key.in_(bindparam("of_windows", expanding=True))
)
_NAIVE_SPEND = (
    update(NAIVE)
    .where(NAIVE.c.window_key == bindparam("of_window"))
    .values(spent_nano_usd=NAIVE.c.spent_nano_usd + AMOUNT_NANO_USD)
)


@dataclass(frozen=True)
class Client:
    """What one thread works on."""

    engine: Engine
    book: BudgetBook
    attempts: AttemptLog
    outcomes: OutcomeLog
    vault: Vault


Piece = Callable[[Client, str, Sequence[WindowSpec]], bool]


def race(client: Client, task_id: str, specs: Sequence[WindowSpec]) -> bool:
    """A hold in six windows, or in none."""
    return reserve(client.book, decision(task_id, now()), specs) is ReserveOutcome.RESERVED


def naive(client: Client, task_id: str, specs: Sequence[WindowSpec]) -> bool:
    """Check, then act: what a gateway does that reads a counter and adds to it afterwards."""
    keys = sorted(spec.key for spec in specs)
    with read(client.engine) as connection:
        rows = connection.execute(_NAIVE_READ, {"of_windows": keys}).all()
    if any(row.spent_nano_usd + AMOUNT_NANO_USD > row.limit_nano_usd for row in rows):
        return False
    spends = [{"of_window": key} for key in keys]
    transact(client.engine, lambda connection: connection.execute(_NAIVE_SPEND, spends).rowcount)
    return True


def pair(client: Client, task_id: str, specs: Sequence[WindowSpec]) -> bool:
    """A hold, and its settlement at the price that was held."""
    admitted = race(client, task_id, specs)
    posting = Posting(
        state=PartState.POSTED, posted_nano_usd=AMOUNT_NANO_USD, settlement=Settlement.EXACT
    )
    part = Settled(
        part_id=f"{task_id}/1",
        task_id=task_id,
        model="",
        amount_nano_usd=AMOUNT_NANO_USD,
        posting=posting,
    )
    transact(client.engine, lambda connection: settle_parts(connection, [part], now()))
    return admitted


def task(client: Client, task_id: str, specs: Sequence[WindowSpec]) -> bool:
    """All a task writes: content, hold, sent, answer, outcome with settlement and audit."""
    call = invoke(task_id)
    accept(client.vault, task_id, now())
    admitted = reserve(client.book, decision(task_id, now()), specs, call)
    start = client.attempts.begin(call, f"{task_id}/1", now())
    client.attempts.finish(start.attempt_id, **answer(now()))
    client.outcomes.log(outcome(task_id, now()), None, now())
    return admitted is ReserveOutcome.RESERVED


WORK: dict[str, Piece] = {"race": race, "naive": naive, "pair": pair, "task": task}


def serve(url: str, name: str, threads: int) -> None:
    engine = open_engine(url)
    vault = Vault(engine, MasterKeys(active="bench", keys={"bench": bytes(32)}))
    book, attempts, outcomes = BudgetBook(engine), AttemptLog(engine, vault), OutcomeLog(engine)
    client = Client(engine, book, attempts, outcomes, vault)
    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            order = json.loads(line)

            def thread(number: int, order: dict[str, object] = order) -> list[tuple[bool, float]]:
                return obey(client, f"{name}.{number}", order)

            done = [each for part in pool.map(thread, range(threads)) for each in part]
            sys.stdout.write(json.dumps(done) + "\n")
            sys.stdout.flush()


def obey(client: Client, name: str, order: dict[str, object]) -> list[tuple[bool, float]]:
    """(admitted, milliseconds) of each piece of work."""
    work, run = WORK[str(order["work"])], order["run"]
    rows = f"{run}/{name}" if order.get("spread") else str(run)
    specs = windows(rows, int(str(order["limit"])))
    done = []
    for number in range(int(str(order["count"]))):
        began = time.perf_counter()
        admitted = work(client, f"{run}-{name}-{number}", specs)
        done.append((admitted, (time.perf_counter() - began) * 1000))
    return done


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
