"""An hour of tasks with faults on one ledger: do its counters still say what its rows add up to?

Four processes write 20 whole tasks a second (content, decision, hold in six hot windows, attempt,
answer, outcome), 4 % of them with a fault: the call fails, its answer is lost, every step is made
twice, the task ends unsent, or its process dies and the sweep has to free the hold. A sweep runs
every 10 s. At the end every invariant is checked; I1 to I4 add every window up again.

The last line is ``drift_nanousd=… sqlite_p99_ms=… postgres_p99_ms=…``: by how much windows differ
from the sum of their parts, and the 99th percentile of a hold (bars: 250 and 700 ms).
"""

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from tempfile import TemporaryFile
from typing import IO

from sqlalchemy import Engine, func, select

from bench.databases import DATABASES, ledger_on
from bench.ledger_rows import (
    AMOUNT_NANO_USD,
    UNLIMITED,
    accept,
    answer,
    decision,
    invoke,
    now,
    outcome,
    windows,
)
from pointwork.contract.decision import WindowSpec
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import Settlement
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine, read
from pointwork.ledger.holds import PART, PART_WINDOW
from pointwork.ledger.invariants import check
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.sweeper import expire_parts
from pointwork.ledger.tables import BudgetWindow, PartState, table_of
from pointwork.ledger.vault import Vault

MINUTES = 60.0
TASKS_PER_SECOND = 20
PROCESSES = 4
SWEEP_EVERY_SECONDS = 10
FAULT_RATIO = 0.04
FAULTS = ("fails", "answer-lost", "twice", "unsent", "dies")
RUN = "soak"
DIES_AFTER_SECONDS = 5
LEDGER_MS_MAX = {"sqlite": 250, "postgres": 700}


class Client:
    """One process: a task on every tick, and what it had to wait for the hold."""

    def __init__(self, url: str, name: str) -> None:
        self._engine = open_engine(url)
        self._vault = Vault(self._engine, MasterKeys(active="bench", keys={"bench": bytes(32)}))
        self._book = BudgetBook(self._engine)
        self._attempts = AttemptLog(self._engine, self._vault)
        self._outcomes = OutcomeLog(self._engine)
        self._name = name
        self._drawn = random.Random(name)
        self.hold_ms: list[float] = []
        self.faults: Counter[str] = Counter()

    def work(self, seconds: float, tasks_per_second: float) -> None:
        """Tasks on time, late ones at once, until the time is over."""
        began, number = time.perf_counter(), 0
        while (due := began + number / tasks_per_second) < began + seconds:
            time.sleep(max(0.0, due - time.perf_counter()))
            fault = self._drawn.choice(FAULTS) if self._drawn.random() < FAULT_RATIO else ""
            self._task(f"{RUN}-{self._name}-{number}", fault)
            self.faults[fault] += 1
            number += 1
        self._engine.dispose()

    def _task(self, task_id: str, fault: str) -> None:
        times, specs = 2 if fault == "twice" else 1, windows(RUN, UNLIMITED)
        call, part_id = invoke(task_id), f"{task_id}/1"
        for _ in range(times):
            accept(self._vault, task_id, now())
            self._hold(task_id, specs, fault == "dies")
        if fault in ("unsent", "dies"):
            if fault == "unsent":
                self._outcomes.log(outcome(task_id, now()), None, now())
            return
        self._attempts.begin(call, part_id, now())
        for _ in range(times):
            if fault == "fails":
                cost = self._drawn.choice((0, AMOUNT_NANO_USD // 2, AMOUNT_NANO_USD + 7))
                kind = ProviderFailureKind.TIMEOUT
                self._attempts.fail(part_id, kind, cost, Settlement.EXACT, 5, now())
            elif fault != "answer-lost":
                self._attempts.finish(part_id, **answer(now()))
        for _ in range(times):
            self._outcomes.log(outcome(task_id, now()), None, now())

    def _hold(self, task_id: str, specs: Sequence[WindowSpec], dies: bool) -> None:
        began = time.perf_counter()
        self._book.reserve(
            record=decision(task_id, now()),
            part_id=f"{task_id}/1",
            task_id=task_id,
            invoke=invoke(task_id),
            amount_nano_usd=AMOUNT_NANO_USD,
            task_ceiling_nano_usd=UNLIMITED,
            windows=specs,
            price_version="bench-1",
            expires_in_seconds=DIES_AFTER_SECONDS if dies else 3600,
            now=now(),
        )
        self.hold_ms.append((time.perf_counter() - began) * 1000)


def soak(database: str, minutes: float) -> tuple[int, float]:
    """Nano-USD of drift, and the 99th percentile of a hold in milliseconds."""
    # Files, not pipes: an hour's figures are more than a pipe holds, and nobody reads meanwhile.
    with ledger_on(database) as url, ExitStack() as files:
        engine = open_engine(url)
        told = [files.enter_context(TemporaryFile("w+")) for _ in range(PROCESSES)]
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "bench.soak", "--client", url, str(number), str(minutes)],
                stdout=file,
            )
            for number, file in enumerate(told)
        ]
        freed = 0
        while any(each.poll() is None for each in started):
            time.sleep(SWEEP_EVERY_SECONDS)
            freed += expire_parts(engine, now(), lambda _: False)
        done = [_told(file) for file in told]
        late = now() + timedelta(seconds=2 * DIES_AFTER_SECONDS)
        while now() < late:
            time.sleep(1)
        freed += expire_parts(engine, now(), lambda _: False)
        hold_ms = sorted(ms for hold_ms, _ in done for ms in hold_ms)
        faults = sum((Counter(each) for _, each in done), Counter[str]())
        broken, drift = check(engine), _drift(engine)
        p99 = statistics.quantiles(hold_ms, n=100)[-1]
        print(
            f"{database}: {faults.total()} tasks in {minutes:g} minutes, "
            f"{faults.total() - faults['']} with a fault ({_words(faults)}), {freed} holds swept; "
            f"hold p50 {statistics.median(hold_ms):.1f} ms, p99 {p99:.1f} ms "
            f"(bar {LEDGER_MS_MAX[database]}), longest {hold_ms[-1]:.0f} ms; "
            f"{len(broken)} violations, drift {drift} nano-USD",
            flush=True,
        )
        engine.dispose()
    if broken:
        raise RuntimeError(f"{database}: {broken[0].invariant}: {broken[0].sentence}")
    return drift, p99


def _told(file: IO[str]) -> tuple[list[float], dict[str, int]]:
    file.seek(0)
    hold_ms, faults = json.load(file)
    return hold_ms, faults


def _drift(engine: Engine) -> int:
    """By how much all windows differ from their parts, spent and reserved."""
    window, joined = table_of(BudgetWindow), PART.c.part_id == PART_WINDOW.c.part_id
    held = (
        select(PART_WINDOW.c.window_key, func.sum(PART.c.amount_nano_usd))
        .join(PART, joined)
        .where(PART.c.state == PartState.RESERVED)
        .group_by(PART_WINDOW.c.window_key)
    )
    posted = (
        select(PART_WINDOW.c.window_key, func.sum(PART.c.posted_nano_usd))
        .join(PART, joined)
        .group_by(PART_WINDOW.c.window_key)
    )
    with read(engine) as connection:
        reserved_by, posted_by = (
            {key: int(amount) for key, amount in connection.execute(query)}
            for query in (held, posted)
        )
        rows = connection.execute(select(window)).all()
    return sum(
        abs(row.reserved_nano_usd - reserved_by.get(row.window_key, 0))
        + abs(row.spent_nano_usd - posted_by.get(row.window_key, 0))
        for row in rows
    )


def _words(faults: Counter[str]) -> str:
    return ", ".join(f"{name} {faults[name]}" for name in FAULTS)


def main(minutes: float, names: tuple[str, ...]) -> None:
    found = {name: soak(name, minutes) for name in names}
    drift = sum(each for each, _ in found.values())
    figures = " ".join(f"{name}_p99_ms={p99:.1f}" for name, (_, p99) in found.items())
    print(f"drift_nanousd={drift} {figures}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--database", action="append", default=[], choices=DATABASES)
    parser.add_argument("--client", nargs=3, metavar=("URL", "NAME", "MINUTES"))
    return parser.parse_args()


if __name__ == "__main__":
    arguments = parse()
    if arguments.client:
        url, name, minutes = arguments.client
        client = Client(url, name)
        client.work(float(minutes) * 60, TASKS_PER_SECOND / PROCESSES)
        sys.stdout.write(json.dumps([client.hold_ms, client.faults]))
    else:
        # A bench that is stopped early still stops its servers.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        main(arguments.minutes, tuple(arguments.database) or DATABASES)
