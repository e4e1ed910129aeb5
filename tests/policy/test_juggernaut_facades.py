"""The five components of Milestone 6, each bound to the part of the engine that does its work."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy import select as select_rows

from pointwork.contract.decision import Candidate, DecisionRecord
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import (
    FinishReason,
    Invoke,
    ReserveOutcome,
    Settlement,
    TaskStatus,
    TokenUsage,
)
from pointwork.contract.overlay import PriorityMove
from pointwork.contract.prompt import Prompt
from pointwork.juggernaut.cost_tracker import CostTracker
from pointwork.juggernaut.model_selector import select
from pointwork.juggernaut.openrouter_client import OpenRouterClient
from pointwork.juggernaut.performance_tracker import PerformanceTracker
from pointwork.juggernaut.publishing import publish_policies
from pointwork.juggernaut.routing_policies import routing_policies
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.cost_tables import ROUTING_POLICIES
from pointwork.ledger.costs import CostBy, Days
from pointwork.ledger.engine import open_engine, read
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.migrate import migrate
from pointwork.ledger.model_windows import ModelWindows
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.overlays import OverlayLog
from pointwork.ledger.vault import TaskDraft, Vault
from pointwork.policy.decide import decide
from pointwork.policy.engine.approved_routes import approved_routes
from pointwork.providers.openai import OpenAIProvider
from tests.fakes import vendor_wire as wires
from tests.fakes.policy_facts import NOW, Situation, chosen, shipped
from tests.fakes.vendor_reply import LoopbackVendor
from tests.integration.ledger import records

JUGGERNAUT = shipped("juggernaut")
DAY = timedelta(days=1)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate(engine)
    yield engine
    engine.dispose()


def decided(task_id: str, task_class: str = "code", **world: Any) -> DecisionRecord:
    given = Situation(task_class=task_class, **world).facts(JUGGERNAUT)
    request = given.request.model_copy(update={"task_id": task_id, "pack": "juggernaut"})
    given = given.model_copy(update={"request": request})
    return DecisionRecord(
        decision_id=f"{task_id}/decision/1",
        task_id=task_id,
        input=given,
        plan=decide(given, JUGGERNAUT),
        decided_at=NOW,
    )


def call_of(record: DecisionRecord, candidate: Candidate | None = None) -> Invoke:
    return Invoke(
        task_id=record.task_id,
        number=1,
        candidate=candidate or record.plan.candidates[0],
        content=record.input.request.content,
        temperature=0.2,
    )


class Tasks:
    """Puts tasks with one call each into the ledger, as the workflow does."""

    def __init__(self, engine: Engine) -> None:
        self.vault = Vault(engine, MasterKeys(active="test", keys={"test": bytes(range(32))}))
        self.attempts = AttemptLog(engine, self.vault)
        self.outcomes = OutcomeLog(engine)
        self.costs = CostTracker(engine)

    def accept(self, task_id: str) -> None:
        draft = TaskDraft(
            task_id=task_id, caller="billing", pack="juggernaut", declarations={"risk": "routine"}
        )
        self.vault.accept(draft, [("prompt", b"hello", "text/plain")], NOW)

    def run(
        self,
        task_id: str,
        task_class: str = "code",
        *,
        ok: bool = True,
        cost: int = 60,
        model: str | None = None,
    ) -> None:
        self.accept(task_id)
        record = decided(task_id, task_class)
        wanted = next((c for c in record.plan.candidates if c.model == model), None)
        call, part_id = call_of(record, wanted), f"{task_id}/1"
        self.costs.reserve(record, call, part_id=part_id, expires_in_seconds=60, now=NOW)
        attempt_id = self.attempts.begin(call, part_id, NOW).attempt_id
        kind = ProviderFailureKind.OVERLOADED
        if ok:
            usage = TokenUsage(input_tokens=10, output_tokens=20)
            self.attempts.finish(attempt_id, **records.answer(cost=cost, usage=usage))
        else:
            self.attempts.fail(attempt_id, kind, cost, Settlement.EXACT, 9, NOW)
        ended = records.outcome(
            task_id,
            TaskStatus.SUCCEEDED if ok else TaskStatus.FAILED,
            task_class=task_class,
            served_model=call.candidate.model if ok else None,
            finish_reason=FinishReason.STOP if ok else None,
            started_at=NOW,
            finished_at=NOW,
        )
        self.outcomes.log(ended, None, NOW)


@pytest.mark.req("JG-2")
def test_the_policies_and_the_selector_are_views_of_the_decision_function() -> None:
    given = Situation().facts(JUGGERNAUT)
    record = select(
        "fix_bug",
        None,
        policies=(JUGGERNAUT,),
        request=given.request,
        snapshot=given.snapshot,
        input_tokens_max=400,
    )
    assert record.decision is not None
    assert record.decision.plan == decide(record.decision.input, JUGGERNAUT)
    policy = next(each for each in routing_policies(JUGGERNAUT) if each.name == record.policy)
    assert [each.model for each in policy.models] == chosen(record.decision.plan)


@pytest.mark.req("JG-2")
def test_the_cost_tracker_reserves_under_every_window_and_the_tasks_cap(engine: Engine) -> None:
    tasks, record = Tasks(engine), decided("t-1")
    tasks.accept("t-1")
    call = call_of(record)
    held = tasks.costs.reserve(record, call, part_id="t-1/1", expires_in_seconds=60, now=NOW)
    assert held.outcome is ReserveOutcome.RESERVED
    assert held.amount_nano_usd == record.plan.candidates[0].estimate_nano_usd
    states = tasks.costs.budgets(JUGGERNAUT, caller="billing", now=NOW)
    assert {each.window for each in states} == {each.key for each in record.plan.windows}
    assert {each.committed_nano_usd for each in states} == {held.amount_nano_usd}
    plan = record.plan.model_copy(update={"task_ceiling_nano_usd": held.amount_nano_usd})
    capped = record.model_copy(update={"plan": plan, "decision_id": "t-1/decision/2"})
    again = tasks.costs.reserve(capped, call, part_id="t-1/2", expires_in_seconds=60, now=NOW)
    assert (again.outcome, again.refused_by) == (ReserveOutcome.EXCEEDS_LIMIT, "task")


@pytest.mark.req("JG-2")
def test_the_cost_tracker_sums_calls_by_task_model_and_policy(engine: Engine) -> None:
    tasks = Tasks(engine)
    tasks.run("t-1", "code", cost=100)
    tasks.run("t-2", "deep_research", cost=20)
    tasks.run("t-3", "ops", cost=3)
    tasks.run("t-4", "ops", cost=4, ok=False)
    costs, before = tasks.costs, Days(until=NOW.date() - DAY)
    assert [costs.of_task(f"t-{n}") for n in range(1, 6)] == [100, 20, 3, 4, 0]
    assert costs.totals(CostBy.MODEL) == {"gpt-4o": 120, "gpt-3.5-turbo": 7}
    assert costs.totals(CostBy.POLICY) == {"code": 100, "deep_research": 20, "ops": 7}
    assert costs.totals(CostBy.POLICY, before) == {}


@pytest.mark.req("JG-58")
@pytest.mark.parametrize(
    ("cost", "is_met"), [(49_900_000, True), (49_999_999, True), (50_000_000, False)]
)
def test_a_task_costs_less_than_five_cents_on_average(
    engine: Engine, cost: int, is_met: bool
) -> None:
    tasks = Tasks(engine)
    assert (tasks.costs.average().average_nano_usd, tasks.costs.average().is_met) == (None, True)
    tasks.run("t-1", cost=2 * cost)
    tasks.run("t-2", cost=0)
    average = tasks.costs.average()
    assert (average.tasks, average.average_nano_usd, average.is_met) == (2, cost, is_met)


@pytest.mark.req("JG-43")
def test_a_worker_publishes_the_packs_policies_in_the_seeds_structure(engine: Engine) -> None:
    publish_policies(engine, JUGGERNAUT, NOW)
    with read(engine) as connection:
        kept = connection.execute(select_rows(ROUTING_POLICIES)).all()
    assert {row.name: row.policy_config for row in kept} == {
        each.name: each.model_dump(mode="json") for each in routing_policies(JUGGERNAUT)
    }
    assert {row.updated_at for row in kept} == {NOW}


@pytest.mark.parametrize(
    ("committed", "is_near", "is_over"),
    [
        (7_999_999_999, False, False),
        (8_000_000_000, True, False),
        (9_999_999_999, True, False),
        (10_000_000_000, True, True),
    ],
)
def test_a_budget_is_near_from_four_fifths_and_over_from_its_own_amount(
    engine: Engine, committed: int, is_near: bool, is_over: bool
) -> None:
    tasks, record = Tasks(engine), decided("t-1")
    tasks.accept("t-1")
    dear = record.plan.candidates[0].model_copy(update={"estimate_nano_usd": committed})
    plan = record.plan.model_copy(update={"task_ceiling_nano_usd": committed})
    record = record.model_copy(update={"plan": plan})
    call = call_of(record, dear)
    tasks.costs.reserve(record, call, part_id="t-1/1", expires_in_seconds=60, now=NOW)
    states = tasks.costs.budgets(JUGGERNAUT, caller="billing", now=NOW)
    (day,) = [each for each in states if each.period == "day"]
    assert (day.is_near, day.is_over) == (is_near, is_over)


@pytest.mark.req("JG-2", "JG-13")
def test_a_changed_success_rate_changes_the_order_within_bounds(engine: Engine) -> None:
    tasks, tracker = Tasks(engine), PerformanceTracker(engine)
    sent = NOW + timedelta(seconds=1)
    for number in range(20):
        tasks.run(f"bad-{number}", ok=number < 17)
        tasks.run(f"good-{number}", model="claude-3-5-sonnet")
    windows = tracker.windows(JUGGERNAUT, sent)
    assert windows == ModelWindows(engine).read(sent - DAY, sent, pack="juggernaut")
    change = tracker.proposal(JUGGERNAUT, sent)
    assert change is not None
    demoted = [each for each in change.events if each.task_class == "code"]
    assert {(each.model, each.move) for each in demoted} == {
        ("gpt-4o", PriorityMove.DEMOTED),
        ("claude-3-5-sonnet", PriorityMove.PROMOTED),
    }
    assert OverlayLog(engine).current("juggernaut") is None
    assert tracker.adjust(JUGGERNAUT, sent) == change
    current = OverlayLog(engine).current("juggernaut")
    assert current == change.overlay
    before, after = decided("t-1").plan, decided("t-1", overlay=current).plan
    assert chosen(before) == ["gpt-4o", "claude-3-5-sonnet"]
    assert chosen(after) == ["claude-3-5-sonnet", "gpt-4o"]
    assert set(approved_routes(JUGGERNAUT)["code"]) == set(chosen(after))
    assert tracker.adjust(JUGGERNAUT, sent) is None


def test_a_success_rate_at_the_bound_moves_nothing(engine: Engine) -> None:
    tasks = Tasks(engine)
    for number in range(20):
        tasks.run(f"t-{number}", ok=number < 18)
    assert PerformanceTracker(engine).adjust(JUGGERNAUT, NOW + timedelta(seconds=1)) is None


def test_a_pack_without_an_overlay_is_refused_with_a_reason(engine: Engine) -> None:
    with pytest.raises(ValueError, match="pack 'omega' has no field overlay"):
        PerformanceTracker(engine).proposal(shipped("omega"), NOW)


@pytest.mark.req("JG-2", "JG-38")
@pytest.mark.parametrize(("down", "maker"), [((), "openai"), (("openrouter-openai",), "anthropic")])
async def test_the_client_calls_any_makers_model_through_one_adapter(
    down: tuple[str, ...], maker: str
) -> None:
    candidate = decided("t-1", down=down).plan.candidates[0]
    assert candidate.vendor == maker
    assert candidate.served_as.startswith(f"{maker}/")
    async with LoopbackVendor() as vendor:
        row = JUGGERNAUT.models[candidate.model].endpoint
        endpoint = row.model_copy(update={"base_url": f"{vendor.base_url}/api/v1"})
        client = OpenRouterClient(OpenAIProvider, candidate.endpoint, endpoint, "sk-test")
        vendor.reply = wires.answer(wires.OpenAIWire(), ["Fi", "xed."], candidate.served_as)
        seen: list[int] = []
        response = await client.complete(
            candidate, Prompt.from_text("Fix it."), request_id="t-1/1", on_progress=seen.append
        )
        await client.aclose()
    (sent,) = vendor.received
    assert (response.text, seen[-1]) == ("Fixed.", len("Fixed."))
    assert sent.path == "/api/v1/chat/completions"
    assert sent.body["model"] == candidate.served_as
    assert sent.body["provider"] == {"require_parameters": True, "data_collection": "deny"}
    assert (sent.body["max_tokens"], sent.body["temperature"]) == (candidate.max_output_tokens, 0.2)


def test_an_endpoint_of_another_interface_is_refused() -> None:
    endpoint = shipped("omega").models["gpt-5.1"].endpoint
    with pytest.raises(ValueError, match=r"endpoints\.openai has dialect 'openai'; take one"):
        OpenRouterClient(OpenAIProvider, "openai", endpoint, "sk-test")
