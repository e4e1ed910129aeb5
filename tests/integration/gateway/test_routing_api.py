"""Milestone 6's endpoints, as an engine of its own would call them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from pointwork.contract.identity import Role
from pointwork.contract.local_run import LocalRun
from pointwork.contract.money import NANO_PER_USD
from pointwork.gateway.declaring import task_id_of
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.costs import CostBy, CostReport, Costs
from tests.fakes.scripted_provider import Says
from tests.integration.gateway.house import Account, House


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"{house.url}/api/routing", timeout=60) as client:
        yield client


async def chat(
    house: House, account: Account, says: Says | None = None, **stated: Any
) -> dict[str, Any]:
    key, task_id = house.scripted(account, says or Says("Done."))
    body = {
        "model": "juggernaut/auto",
        # No two alike: this pack answers equal requests from its cache, at no cost.
        "messages": [{"role": "user", "content": f"Look at {key}."}],
        "pointwork": {"sensitivity": "public", **stated},
    }
    async with httpx2.AsyncClient(base_url=house.url, timeout=60) as client:
        answered = await client.post(
            "/v1/chat/completions", json=body, headers=account.headers(idempotency_key=key)
        )
    answered.raise_for_status()
    await house.stack.recorded(task_id)
    found: dict[str, Any] = answered.json()
    return found


@pytest.mark.req("JG-47")
async def test_the_four_active_policies_are_listed_with_their_models_in_order(
    house: House, http: httpx2.AsyncClient
) -> None:
    listed = (await http.get("/policies", headers=house.account().headers())).json()
    assert {each["name"] for each in listed["policies"]} == {
        *("normal", "deep_research", "code", "ops")
    }
    for each in listed["policies"]:
        assert [model["priority"] for model in each["models"]] == [
            *range(1, len(each["models"]) + 1)
        ]
        assert each["max_cost_per_task"] > 0


async def test_a_pack_without_such_policies_says_so(house: House, http: httpx2.AsyncClient) -> None:
    headers = house.account().headers()
    refused = await http.get("/policies", params={"pack": "omega"}, headers=headers)
    assert (refused.status_code, refused.headers["content-type"]) == (
        400,
        "application/problem+json",
    )
    unknown = await http.get("/policies", params={"pack": "nobody"}, headers=headers)
    assert (unknown.status_code, unknown.json()["type"]) == (
        404,
        "urn:pointwork:problem:unknown_pack",
    )


@pytest.mark.req("JG-51")
async def test_a_selection_names_policy_model_provider_and_estimate_and_calls_nobody(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    asked = {"task_type": "code_analysis", "input_tokens": 1000, "max_output_tokens": 500}
    answered = await http.post(
        "/select", json=asked | {"sensitivity": "public"}, headers=account.headers()
    )
    found = answered.json()
    assert (answered.status_code, found["policy"], found["effect"]) == (200, "code", "run")
    assert found["estimated_cost"] == found["estimated_cost_nano_usd"] / NANO_PER_USD > 0
    assert found["decision_id"]
    assert found["model"] not in [each["model"] for each in found["rejected"]]
    assert found["decision_id"].split("/")[0] not in house.stack.script.calls
    listed = (await http.get("/policies", headers=account.headers())).json()["policies"]
    (code,) = [each for each in listed if each["name"] == "code"]
    assert {"provider": found["provider"], "model": found["model"]}.items() <= next(
        model for model in code["models"] if model["model"] == found["model"]
    ).items()


async def test_a_selection_that_policy_denies_names_no_model_and_why(
    house: House, http: httpx2.AsyncClient
) -> None:
    asked = {"task_type": "code_analysis", "sensitivity": "restricted"}
    found = (await http.post("/select", json=asked, headers=house.account().headers())).json()
    assert (found["model"], found["estimated_cost"]) == (None, None)
    assert found["reason"]
    assert found["rejected"]


def _stated(costs: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(each["name"], each["cost_nano_usd"]) for each in costs]


def _kept(costs: list[Costs]) -> list[tuple[str, int]]:
    return [(each.name, each.cost_nano_usd) for each in costs]


def _totals(report: CostReport) -> dict[CostBy, list[tuple[str, int]]]:
    dimensions = (
        *(CostBy.MODEL, CostBy.POLICY, CostBy.WORKER),
        *(CostBy.DAY, CostBy.WEEK, CostBy.MONTH),
    )
    return {by: _kept(report.totals(by)) for by in dimensions}


@pytest.mark.req("JG-49")
async def test_costs_by_every_dimension_are_the_ledgers(
    house: House, http: httpx2.AsyncClient
) -> None:
    account = house.account()
    done = await chat(house, account, task_type="code_analysis", worker="worker-7")
    headers = house.person(Role.AUDITOR).headers()
    report = CostReport(house.stack.parts.engine)
    async with asyncio.timeout(60):
        while True:
            kept = _totals(report)
            found = (await http.get("/costs", headers=headers)).json()
            listed = len(found["task"])
            dearest = _kept(report.dearest_tasks(limit=listed))
            # A task that another test left running may end between the two looks.
            if kept == _totals(report):
                break
    assert {by: _stated(found[by]) for by in kept} == kept
    assert listed > 0
    assert _stated(found["task"]) == dearest
    stated = done["pointwork"]
    assert stated["cost_nano_usd"] == report.of_task(stated["task_id"]).cost_nano_usd > 0
    assert "worker-7" in [each["name"] for each in found["worker"]]


@pytest.mark.req("CX-12")
async def test_metered_electricity_is_what_a_call_costs_and_is_summed_by_model(
    house: House, http: httpx2.AsyncClient
) -> None:
    account, headers = house.account(), house.person(Role.AUDITOR).headers()
    run = LocalRun(energy_millijoules=41_500, electricity_nano_usd=3_689)
    before = (await http.get("/costs", headers=headers)).json()["electricity"]
    done = await chat(house, account, Says("Done.", local_run=run), task_type="code_analysis")
    (used,) = (await http.get("/costs", headers=headers)).json()["electricity"]
    told = {"calls": 1, "energy_millijoules": 41_500, "cost_nano_usd": 3_689}
    assert before == []
    assert done["pointwork"]["cost_nano_usd"] == 3_689
    assert used.items() >= told.items()
    assert used["cost"] == "$0.000003689"


async def test_costs_and_performance_are_not_for_who_only_submits(
    house: House, http: httpx2.AsyncClient
) -> None:
    headers = house.account().headers()
    for path in ("/costs", "/performance"):
        assert (await http.get(path, headers=headers)).status_code == 403


@pytest.mark.req("JG-50")
async def test_performance_is_that_of_the_window_the_next_change_would_read(
    house: House, http: httpx2.AsyncClient
) -> None:
    done = await chat(house, house.account(), task_type="code_analysis")
    headers = house.person(Role.AUDITOR).headers()
    found = (await http.get("/performance", headers=headers)).json()
    (served,) = [e for e in found["models"] if e["model"] == done["model"]]
    assert served["requests"] >= 1
    refused = await http.get("/performance", params={"pack": "omega"}, headers=headers)
    assert (refused.status_code, refused.json()["param"]) == (400, "pack")


async def selection(
    http: httpx2.AsyncClient, engine: Account, task_type: str, worker: str
) -> dict[str, Any]:
    asked = {"task_type": task_type, "worker": worker, "sensitivity": "public"}
    # As the gateway's tasks are: easy, and with room for so long an answer.
    asked |= {"complexity": "low", "max_output_tokens": "1024"}
    answered = await http.post("/select", json=asked, headers=engine.headers())
    answered.raise_for_status()
    found: dict[str, Any] = answered.json()
    return found


@pytest.mark.req("JG-68")
async def test_an_engine_selects_for_three_tasks_and_each_runs_there_for_its_worker(
    house: House, http: httpx2.AsyncClient
) -> None:
    engine, cost_of = house.account(), {}
    for task_type in ("code_analysis", "report", "investigation"):
        worker = f"w-{uuid4().hex[:8]}"
        chosen = await selection(http, engine, task_type, worker)
        done = await chat(house, engine, task_type=task_type, worker=worker)
        assert done["pointwork"]["served_model"] == chosen["model"]
        cost_of[worker] = done["pointwork"]["cost_nano_usd"]
    headers = house.person(Role.AUDITOR).headers()
    found = (await http.get("/costs", headers=headers)).json()
    kept = dict(_stated(found["worker"]))
    assert {worker: kept[worker] for worker in cost_of} == cost_of
    assert min(cost_of.values()) > 0


@pytest.mark.req("JG-68")
async def test_an_engine_whose_worker_has_spent_its_budget_is_refused_and_calls_nobody(
    house: House, http: httpx2.AsyncClient
) -> None:
    engine, worker = house.account(), f"w-{uuid4().hex[:8]}"
    assert (await selection(http, engine, "report", worker))["effect"] == "run"
    spent = await chat(house, engine, task_type="report", worker=worker)
    BudgetSettings(house.stack.parts.engine).set(
        pack="juggernaut",
        scope="worker",
        subject=worker,
        period="day",
        limit_nano_usd=spent["pointwork"]["cost_nano_usd"],
        alert_ratio=None,
        set_by="owner",
        reason="the worker has had enough for today",
        now=datetime.now(UTC),
    )
    refused = await selection(http, engine, "report", worker)
    assert (refused["model"], refused["effect"], refused["reason"]) == (None, "deny", "budget")
    with pytest.raises(httpx2.HTTPStatusError) as failed:
        await chat(house, engine, task_type="report", worker=worker)
    assert failed.value.response.status_code == 402
    problem = failed.value.response.json()["error"]
    assert problem["code"] == "BUDGET_EXCEEDED"
    key = failed.value.request.headers["idempotency-key"]
    assert task_id_of(engine.name, key) not in house.stack.script.calls
    assert (await selection(http, engine, "report", "another"))["effect"] == "run"
