"""Live signals of the socioprophet pack, from a real ledger and this host, and its money."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from activities.signals import SignalActivities
from pointwork.contract.decision import DecisionRecord, Effect
from pointwork.contract.outcome import Invoke, ReserveOutcome
from pointwork.contract.snapshot import BudgetSignal, ReceiptKind, ResourceSignal, Snapshot
from pointwork.contract.task import ContentRef, TaskRequest
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.engine import open_engine
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.migrate import migrate
from pointwork.ledger.signals import SignalStore
from pointwork.ledger.traffic import Traffic
from pointwork.ledger.vault import Vault
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.decide import decide
from pointwork.policy.documents.load import load_library
from tests.fakes.policy_facts import POLICIES, Received, Situation, changed, shipped
from tests.integration.ledger.records import NOW as RECORDED_AT
from tests.integration.ledger.records import accept, answer, invoke, reserve
from workers.adapters import LibraryPolicy
from workers.governed_signals import HostRoom, governed_signals

LAPTOP = shipped("socioprophet", "laptop")
TASKS, TURNS_MAX = 50, 200


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate(opened)
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def library() -> PolicyLibrary:
    return load_library(POLICIES, "laptop")


def read_signals(
    engine: Engine, library: PolicyLibrary, folder: Path, pack: str, **quotas: int
) -> Snapshot:
    governed = governed_signals(library, Traffic(engine), folder, quotas)
    policy = LibraryPolicy(library)
    reading = SignalActivities(
        SignalStore(engine), BudgetSettings(engine), policy, frozenset({"local-gpu"}), governed
    )
    request = TaskRequest(
        task_id="task-1",
        caller="billing",
        pack=pack,
        content=ContentRef(digest="a" * 64, bytes=5, media_type="text/plain"),
        submitted_at=datetime.now(UTC),
    )
    found = reading.read_signals(request)
    assert found is not None
    return found


def test_a_live_reading_has_every_signal_that_the_pack_requires(
    engine: Engine, library: PolicyLibrary, tmp_path: Path
) -> None:
    snapshot = read_signals(engine, library, tmp_path, "socioprophet", openai=100)
    assert snapshot.resources is not None
    assert snapshot.resources.free_memory_mb > 0
    assert snapshot.latencies == ()
    assert snapshot.quotas is not None
    left = {each.endpoint: each.remaining_requests for each in snapshot.quotas}
    assert left["openai"] == 100
    assert left["anthropic"] is None, "nobody configured it, so it is unknown"
    asked = Situation(task_class="triage").facts(library.active("socioprophet"))
    live = snapshot.model_copy(
        update={"resources": ResourceSignal(free_memory_mb=9_000, load_ratio=Decimal(0))}
    )
    plan = decide(asked.model_copy(update={"snapshot": live}), library.active("socioprophet"))
    assert plan.effect is Effect.RUN


def test_a_pack_that_requires_no_signal_reads_none_of_them(
    engine: Engine, library: PolicyLibrary, tmp_path: Path
) -> None:
    snapshot = read_signals(engine, library, tmp_path, "omega")
    known = {"taken_at", "policy", "endpoints", "budgets"}
    known |= {"loaded_local_model", "conversation_sensitivity"}
    assert set(snapshot.model_dump(mode="json")) == known


def test_the_room_of_this_host_is_memory_and_load_over_cores() -> None:
    room = HostRoom().read()
    assert room.free_memory_mb > 0
    assert room.load_ratio == room.load_ratio.quantize(Decimal("0.01"))


def test_a_latency_is_the_median_of_the_answers_and_a_quota_counts_what_was_sent(
    engine: Engine,
) -> None:
    vault = Vault(engine, MasterKeys(active="test", keys={"test": bytes(range(32))}))
    attempts, budgets, traffic = AttemptLog(engine, vault), BudgetBook(engine), Traffic(engine)
    for number, duration_ms in enumerate((100, 300, 900)):
        accept(vault, f"t-{number}")
        reserve(budgets, f"t-{number}")
        sent = attempts.begin(invoke(f"t-{number}"), f"t-{number}/1", RECORDED_AT)
        attempts.finish(sent.attempt_id, **answer(duration_ms=duration_ms))
    accept(vault, "t-lost")
    reserve(budgets, "t-lost")
    attempts.begin(invoke("t-lost"), "t-lost/1", RECORDED_AT)
    assert traffic.median_ms(RECORDED_AT) == {"small-local": 300}
    assert traffic.calls_sent(RECORDED_AT) == {"acme-api": 4}
    later = RECORDED_AT + timedelta(microseconds=1)
    assert (traffic.median_ms(later), traffic.calls_sent(later)) == ({}, {})


def spending(bundle: PolicyBundle, budgets: BudgetBook, task_id: str) -> str:
    """One task as the workflow runs it: read, decide, reserve; decide again where refused."""
    step = Situation(
        task_class="triage",
        measures={"quality_floor": Decimal(2)},
        resources=ResourceSignal(free_memory_mb=5_999, load_ratio=Decimal("0.2")),
        receipts=(
            Received(kind=ReceiptKind.EGRESS, subject="lena"),
            Received(kind=ReceiptKind.HOSTED_FALLBACK, subject="lena"),
        ),
        subject="lena",
    )
    asked = step.facts(bundle)
    request = asked.request.model_copy(update={"task_id": task_id})
    for turn in range(TURNS_MAX):
        keys = [each.window for each in asked.snapshot.budgets]
        committed = {key: spent for key, (_, spent) in budgets.read(keys).items()}
        signals = tuple(
            BudgetSignal(
                window=each.window,
                limit_nano_usd=each.limit_nano_usd,
                committed_nano_usd=committed.get(each.window, 0),
            )
            for each in asked.snapshot.budgets
        )
        snapshot = asked.snapshot.model_copy(update={"budgets": signals})
        facts = asked.model_copy(update={"snapshot": snapshot, "request": request})
        plan = decide(facts, bundle)
        if plan.effect is not Effect.RUN:
            return "denied"
        first, now = plan.candidates[0], snapshot.taken_at
        held = budgets.reserve(
            record=DecisionRecord(
                decision_id=f"{task_id}#{turn}",
                task_id=task_id,
                input=facts,
                plan=plan,
                decided_at=now,
            ),
            part_id=f"{task_id}/{turn}",
            task_id=task_id,
            invoke=Invoke(
                task_id=task_id,
                number=turn + 1,
                candidate=first,
                content=request.content,
                temperature=0.2,
            ),
            amount_nano_usd=first.estimate_nano_usd,
            task_ceiling_nano_usd=plan.task_ceiling_nano_usd,
            windows=plan.windows,
            price_version=first.price_version,
            expires_in_seconds=3600,
            now=now,
        )
        if held.outcome is ReserveOutcome.RESERVED:
            return str(first.move.trigger) if first.move else "default"
    return "never"


@pytest.mark.req("SP-43")
@pytest.mark.parametrize("setting", ["downgrade", "deny"])
def test_fifty_tasks_at_once_never_spend_more_than_the_budget(engine: Engine, setting: str) -> None:
    """The last of the budget denies, or takes the lower lane with an event, as the setting says."""
    cheap, local = _estimates()
    limit = 10 * cheap + 5 * local
    amount = f"0.{limit:09d}"
    budget = [{"scope": "pack", "period": "day", "limit": amount}]
    bundle = changed(LAPTOP, pack={"on_budget": setting, "budgets": budget})
    together = threading.Barrier(TASKS)

    def task(number: int) -> str:
        together.wait(60)
        return spending(bundle, BudgetBook(engine), f"task-{number}")

    with ThreadPoolExecutor(TASKS) as threads:
        ended = Counter(threads.map(task, range(TASKS)))
    (window,) = Situation(task_class="triage").facts(bundle).snapshot.budgets
    stood, spent = BudgetBook(engine).read([window.window])[window.window]
    assert (stood, spent <= limit) == (limit, True)
    downgraded = {"budget_low"} if setting == "downgrade" else set()
    assert set(ended) == {"lane_up", "denied"} | downgraded
    assert ended["lane_up"] == 10
    if setting == "downgrade":
        assert ended["budget_low"] == 5
        assert spent == limit


def _estimates() -> tuple[int, int]:
    """Worst case of the step on the cheap lane and on this machine, in nano-USD."""
    found: dict[str, Any] = {each.name: each for each in LAPTOP.index.entries}
    return found["gpt-5.4-mini"].estimate(400, 512), found["llama-3.2-1b"].estimate(400, 512)
