"""`pointwork explain`: a recorded decision of any pack, whole, from the ledger alone."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.contract.overlay import Overlay, OverlayPlace, windows_sha256
from pointwork.contract.override import Override, OverrideDuration, OverrideScope
from pointwork.contract.task import Sensitivity
from pointwork.policy.proving.cases import read_cases
from tests.fakes.policy_facts import NOW, POLICIES, Situation, shipped
from tests.integration.cli.conftest import Call, Called
from tests.integration.cli.decided import log, record, remember

PACKS = ("omega", "codex", "juggernaut", "socioprophet")
PUBLIC = Sensitivity.PUBLIC
HARD = Situation(task_class="high_stakes_logic", sensitivity=PUBLIC)


@pytest.fixture
def explain(call: Call, state_dir: Path) -> Call:
    def run(*arguments: object) -> Called:
        return call("explain", *arguments, "--state-dir", state_dir)

    return run


def lines(called: Called) -> list[str]:
    return [" ".join(line.split()) for line in called.out.splitlines()]


@pytest.mark.parametrize("pack", PACKS)
def test_every_case_of_every_pack_is_explained(pack: str, explain: Call, ledger: Engine) -> None:
    cases = {p.stem: c for p, c in read_cases(POLICIES / "cases" / pack).items()}
    told = dict(list(cases.items())[:: max(1, len(cases) // 8)])
    assert told
    for name, case in told.items():
        bundle = case.world.of(shipped(pack, case.world.host))
        remember(ledger, bundle)
        decided = record(name[:60], case.given, bundle)
        log(ledger, decided)
        done = explain(name[:60])
        assert done.code == ExitCode.OK, name
        assert f"effect {decided.plan.effect}" in " ".join(done.out.split())
        for candidate in decided.plan.candidates:
            assert candidate.model in done.out
        for rejection in decided.plan.rejected:
            assert f"{rejection.model} " in done.out
        assert "would change it" in done.out


def test_a_move_after_a_failure_is_typed_with_from_to_and_attempt(
    explain: Call, ledger: Engine
) -> None:
    situation = Situation(task_class="summarisation_formatting", sensitivity=PUBLIC)
    remember(ledger, shipped())
    first = record("task-1", situation, shipped())
    second = record("task-1", situation, shipped(), failed=("smollm2-135m",))
    log(ledger, first, second)
    shown = lines(explain("task-1"))
    assert "decision 2 of 2, at 2026-03-04T05:06:08+00:00" in shown
    assert "failed smollm2-135m: answer refused" in shown
    (move,) = (line for line in shown if line.startswith("move "))
    lane = second.plan.candidates[0].lane
    assert move.startswith(
        f"move escalation up, cheaper_failed, from smollm2-135m (local) to lane {lane}, attempt 2: "
    )
    assert not any(line.startswith("move ") for line in lines(explain("task-1", "--decision", 1)))


def test_factor_rule_and_evidence_of_an_escalation_are_told(explain: Call, ledger: Engine) -> None:
    codex = shipped("codex")
    remember(ledger, codex)
    situation = Situation(
        task_class="implementer", sensitivity=PUBLIC, measures={"diff_lines": "900"}
    )
    log(ledger, record("task-1", situation, codex))
    shown = lines(explain("task-1"))
    assert "measures diff_lines=900" in shown
    assert any(line.startswith("ranked by quality per ") for line in shown)
    assert any("(diff_lines=900 above 500)" in line for line in shown)
    (rule,) = (line for line in shown if line.startswith("rule direct_scope"))
    assert rule.startswith("rule direct_scope while ")
    assert "diff_lines above 500" in rule


def test_an_overlay_is_told_with_its_version(explain: Call, ledger: Engine) -> None:
    bundle = shipped("juggernaut")
    remember(ledger, bundle)
    overlay = Overlay(
        pack="juggernaut",
        version=1,
        parent=None,
        created_at=NOW,
        reason="gpt-4o failed too often",
        windows_sha256=windows_sha256(()),
        places=(OverlayPlace(task_class="normal", model="gpt-4o", shift=-1),),
    )
    log(ledger, record("task-1", Situation(task_class="normal", overlay=overlay), bundle))
    assert "overlay version 1: gpt-4o failed too often" in lines(explain("task-1"))


def test_an_override_is_told_with_who_made_it_and_why(explain: Call, ledger: Engine) -> None:
    override = Override(
        override_id="override-7",
        model="claude-sonnet-5",
        scope=OverrideScope.PERIOD,
        starts_at=NOW - timedelta(hours=1),
        ends_at=NOW + timedelta(hours=1),
        duration=OverrideDuration.TIME_LIMITED,
        reason="An incident needs the other vendor.",
        approver="ada",
        cost_impact_nano_usd=1,
        acknowledged_at=NOW - timedelta(hours=1),
    )
    remember(ledger, shipped())
    situation = HARD.model_copy(update={"overrides": (override,)})
    log(ledger, record("task-1", situation, shipped()))
    shown = lines(explain("task-1"))
    assert "override override-7 by ada: An incident needs the other vendor." in shown
    assert any(line.startswith("without it ") for line in shown)
    assert any(line.startswith("claude-sonnet-5 high public api override ") for line in shown)


def test_rules_nobody_kept_leave_the_record_readable(explain: Call, ledger: Engine) -> None:
    log(ledger, record("task-1", Situation(task_class="high_stakes_logic"), shipped()))
    done = explain("task-1")
    assert done.code == ExitCode.OK
    assert "A person's approval (data_classification)" in done.out
    refused = explain("task-1", "--evidence")
    assert refused.code == ExitCode.BAD_INPUT
    assert "the rules that decided task task-1 are not in this ledger" in refused.err


EVIDENCE_PARTS = (
    *("route_decision", "escalation_receipts", "budget_decision", "resource_snapshot"),
    *("quota_snapshot", "candidate_set", "runtime_health", "cost_class", "context_policy"),
    *("tool_policy", "governance_references"),
)


@pytest.mark.parametrize("pack", PACKS)
def test_evidence_and_dimensions_are_one_document_each(
    pack: str, explain: Call, ledger: Engine
) -> None:
    bundle = shipped(pack)
    remember(ledger, bundle)
    name = next(iter(bundle.pack.classes))
    log(ledger, record("task-1", Situation(task_class=name, sensitivity=PUBLIC), bundle))
    evidence: dict[str, Any] = json.loads(explain("task-1", "--evidence").out)
    assert set(EVIDENCE_PARTS) <= evidence.keys()
    assert len(json.loads(explain("task-1", "--dimensions").out)) == 9


def test_only_one_projection_is_printed_at_a_time(explain: Call, ledger: Engine) -> None:
    remember(ledger, shipped())
    log(ledger, record("task-1", HARD, shipped()))
    done = explain("task-1", "--evidence", "--dimensions")
    assert done.code == ExitCode.BAD_INPUT
    assert "--evidence and --dimensions are both given" in done.err
