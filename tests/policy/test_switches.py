"""The switches of each pack, against a copy of the table that was written by hand."""

import json

import pytest

from pointwork.cli.main import main
from pointwork.policy.reading.switches import switches
from tests.fakes.policy_facts import POLICIES, changed, shipped

PACKS = ("omega", "codex", "juggernaut", "socioprophet")
SETTING = "deny or downgrade (set to downgrade)"
TABLE: dict[str, tuple[str, str, str, str]] = {
    "rank": (
        "cheapest sufficient",
        "quality/min, quality/$, latency, volume by role table",
        "priority number + overlay",
        "cheapest safe lane for next irreversible step",
    ),
    "entry": (
        "family of the class row; marks force local",
        "role row; direct-cloud predicates",
        "policy of the task type, priority 1",
        "no-model, then local-cheap",
    ),
    "quality failure": (
        "up one rung",
        "implementer: up at 2; librarian/ace_curator: kimi by predicate",
        "down to cheaper",
        "up one lane, guard applies",
    ),
    "outage": (
        "other vendor first",
        "role's fallback column",
        "next priority",
        "next local model; hosted if approved; else deny",
    ),
    "ceiling": (
        "near: cheaper + warning; over: cheaper or approval",
        "block at cap",
        "cheaper",
        SETTING,
    ),
    "period budget": (
        "hard stop on, human resume",
        "block at cap",
        "pause expensive, alert at 0.80, cheaper continues",
        SETTING,
    ),
    "egress default": (
        "after data classification",
        "allow, unless local_only",
        "allow",
        "deny",
    ),
    "sensitive data": (
        "local / approved private; restricted never out",
        "HR flag; local_only",
        "no own rule, task tier binds",
        "egress grant + data boundary ref",
    ),
    "frontier guard": (
        "justification; never for bulk",
        "none for architect; judge budget-gated; deepseek/kimi by predicate",
        "per-task cap",
        "reason + receipt; quota known",
    ),
    "verification": (
        "none, or compare when configured",
        "tests, gates, cloud judge if HR, critic optional",
        "success flag and metrics",
        "deterministic tools",
    ),
    "parallel outputs": (
        "opt-in, human selects",
        "forbidden (advisory second opinion only)",
        "none",
        "none",
    ),
    "metrics feedback": (
        "proposal",
        "not read",
        "automatic overlay",
        "eval-confidence as input",
    ),
    "policy change": (
        "revision, rationale, rollback, owner, tests",
        "version + change log; itself High-Risk",
        "live POST, revision kept",
        "release review by policy-fabric",
    ),
    "after planning": (
        "no rule",
        "serious work stays cloud",
        "no rule",
        "drop to standard or lower",
    ),
    "missing signal": (
        "no class or data class: stop",
        "low confidence: escalate",
        "only class and budget needed",
        "deny on any required one",
    ),
    "cache / batch": ("off / local", "off / off", "on / on", "off / off"),
    "prompt evidence": (
        "identifier or redacted summary",
        "artifacts required, local store",
        "metrics only",
        "hash only",
    ),
    "review contract": (
        "loop attached",
        "loop attached",
        "loop attached (overlay exempt)",
        "loop attached, output handed to policy-fabric",
    ),
}


@pytest.mark.parametrize("pack", PACKS)
def test_the_switches_of_a_pack_are_its_column_of_the_table(pack: str) -> None:
    column = {name: row[PACKS.index(pack)] for name, row in TABLE.items()}
    assert switches(shipped(pack).pack) == column
    assert list(column) == list(switches(shipped(pack).pack))


@pytest.mark.parametrize(
    ("pack", "fields", "row", "says"),
    [
        ("omega", {"hard_stop": False}, "period budget", "hard stop off, human resume"),
        ("omega", {"local_marks": []}, "entry", "family of the class row"),
        ("omega", {"verification": ["deterministic"]}, "parallel outputs", "none"),
        ("codex", {"pipeline": None}, "verification", "deterministic tools, cloud judge if HR"),
        ("codex", {"high_risk_groups": {}}, "policy change", "version + change log"),
        ("juggernaut", {"overlay": None}, "rank", "priority number"),
        ("juggernaut", {"cache": None, "batch": None}, "cache / batch", "off / off"),
        ("juggernaut", {"on_quality_failure": "up"}, "quality failure", "up one rung"),
        ("socioprophet", {"on_budget": "deny"}, "period budget", "set to deny"),
        ("socioprophet", {"on_ceiling": "block"}, "ceiling", "set to deny"),
        ("socioprophet", {"required_signals": []}, "missing signal", "only class and budget"),
        ("socioprophet", {"stages": {}}, "after planning", "no rule"),
    ],
)
def test_a_switch_is_read_from_the_packs_fields_and_not_from_its_name(
    pack: str, fields: dict[str, object], row: str, says: str
) -> None:
    assert says in switches(changed(shipped(pack), pack=fields).pack)[row]


def test_the_command_shows_the_switches(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["policy", "show", "omega", "--switches", "--policies-dir", str(POLICIES)]
    assert main([*wanted, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["switches"]
    assert shown == switches(shipped().pack)
    assert main(wanted) == 0
    assert "cheapest sufficient" in capsys.readouterr().out
