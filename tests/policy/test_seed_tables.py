"""Each pack beside the tables of its source document, copied here by hand."""

import json

import pytest

from pointwork.cli.main import main
from pointwork.policy.reading.seed_table import SeedTable, seed_tables
from tests.fakes.policy_facts import POLICIES, changed, shipped

CALLED = {
    "claude-sonnet-5": "Sonnet",
    "gpt-5.1": "GPT-5.1",
    "gpt-5.1-high": "GPT-5.1 High",
    "claude-opus-5": "Claude Opus",
    "deepseek-r2": "DeepSeek R2",
    "deepseek-chat": "DeepSeek",
    "claude-haiku-4-5": "Haiku",
    "notebooklm": "NotebookLM",
    "text-embedding-3-small": "OpenAI embeddings",
    "stage0-retrieval": "deterministic",
    "qwen3-coder-30b-a3b": "local model",
    "Kimi-K2-Instruct-0905": "Kimi K2",
    "kimi-k2-thinking": "Kimi K2",
    "kimi-k2-thinking-turbo": "Kimi K2",
    "gpt-4o-mini": "GPT-4o-mini",
    "gpt-4o": "GPT-4o",
    "gpt-3.5-turbo": "GPT-3.5-turbo",
    "claude-3-5-sonnet": "Claude Sonnet",
    "claude-3-opus": "Claude Opus",
    "claude-3-haiku": "Claude Haiku",
}
"""The catalogue's ids in the words of the documents. Every local role has the host's one model."""


def in_their_words(cell: str) -> str:
    parts = [
        " / ".join(
            dict.fromkeys(CALLED.get(each, each) for each in rung.split(" (")[0].split(" / "))
        )
        + "".join(f" ({note}" for note in rung.split(" (")[1:])
        for rung in cell.split(" → ")
    ]
    return " → ".join(parts)


def tables(pack: str, host: str = "embedded") -> dict[str, SeedTable]:
    return {each.title: each for each in seed_tables(shipped(pack, host))}


OMEGA = [
    (
        "bulk generation, data generation, simulations",
        "high volume, low complexity, privacy-sensitive",
        "lowest",
        "Sufficient for bulk and repetitive tasks",
    ),
    (
        "high-stakes logic, complex planning, critical judgment",
        "deep reasoning required, multi-step logic, architecture decisions",
        "high",
        "Strong reasoning and planning",
    ),
    (
        "creative synthesis, writing, nuanced communication",
        "tone-sensitive, interpretation, sophisticated language",
        "high",
        "Strong language and interpretation",
    ),
    (
        "perception/multimodal analysis, large-context tasks",
        "vision, video, spatial reasoning, very long context",
        "highest",
        "Multimodal and large-context processing",
    ),
    (
        "red teaming/adversarial critique, trend scanning",
        "adversarial analysis, contrarian perspectives, trend analysis",
        "medium to high",
        "Adversarial thinking, real-time information",
    ),
]


def test_omegas_default_routing_table_has_the_contracts_five_rows() -> None:
    found = tables("omega")["Default routing table"]
    assert found.columns == ("Model class", "Default for", "Use when", "Cost", "Capability")
    assert [row[1:] for row in found.rows] == OMEGA
    names = ["local_open", "gpt_class", "claude_class", "gemini_class", "grok_class"]
    assert [row[0] for row in found.rows] == names


CODEX = [
    ("Architect / Planner", "Sonnet / GPT-5.1", "anthropic / openai", "cloud", "DeepSeek R2"),
    (
        *("Implementer / Rust Ace", "local model", "local", "local (attempt 1)"),
        "DeepSeek → Sonnet / GPT-5.1",
    ),
    (
        *("Librarian (long-context)", "local model", "local", "local"),
        "Kimi K2 (escalation only)",
    ),
    ("Tutor (maieutic coach)", "local model", "local", "local", "Haiku"),
    (
        *("Auditor / Final Judge", "GPT-5.1 High / Claude Opus", "openai / anthropic"),
        *("cloud only", "Sonnet → DeepSeek R2"),
    ),
    ("Stage0 Tier2 Synth", "NotebookLM", "google", "cloud", "local model"),
    ("Stage0 Retrieval", "deterministic", "local", "local", "—"),
    (
        *("ACE Reflector / Curator", "local model", "local", "local"),
        "Kimi K2 (escalation only)",
    ),
    ("Embeddings", "bge-m3", "local", "local", "OpenAI embeddings"),
    ("CV / Camera", "yolo", "local", "local", "—"),
]
CODEX_WORDS = [
    (("draft", "offline"), ("plan.json", "confidence", "cloud-first")),
    (("small-to-medium", "reflex"), ("cross-crate", "unsafe", "public API", "2 fails")),
    (("routine cleanup", "structure"), ("hard sweeps", "100k", "contradictions", "tool-heavy")),
    (("always",), ("fast", "interactive", "cheap", "sessions", "short")),
    (("never",), ("always cloud", "rare", "budget-gated", "cite evidence")),
    (("none",), ("citation-grounded", "session id")),
    (("always",), ("no language model", "explain", "lane")),
    (("routine curation",), ("interesting failures",)),
    (("always",), ("stable", "reproducible", "GPU-accelerated")),
    (("always",), ("apart",)),
]
"""What the two columns of words must say: when to use a local model, and the constraints."""


def test_codex_model_routing_table_has_the_policys_ten_roles() -> None:
    found = tables("codex", "rtx5090")["Model routing table"]
    assert len(found.columns) == 7
    shown = [
        (role, in_their_words(default), provider, site, in_their_words(fallback))
        for role, default, provider, site, _, fallback, _ in found.rows
    ]
    assert shown == CODEX
    for row, (local, constraints) in zip(found.rows, CODEX_WORDS, strict=True):
        assert [word for word in local if word not in row[4]] == []
        assert [word for word in constraints if word not in row[6]] == []


JUGGERNAUT = [
    ("Normal", "GPT-4o-mini", "Claude Sonnet", "$0.1000", "4000", "0.7"),
    ("Deep Research", "GPT-4o", "Claude Opus", "$1.0000", "8000", "0.5"),
    ("Code", "GPT-4o", "Claude Sonnet", "$0.5000", "6000", "0.2"),
    ("Ops", "GPT-3.5-turbo", "Claude Haiku", "$0.0100", "1000", "0"),
]
"""Tokens and temperature of the last three rows are the pack's own (``derived``)."""
USE_CASES = [
    "General tasks, analysis, investigation",
    "Complex analysis, strategic decisions",
    "Code analysis, debugging, fixes",
    "Simple queries, status checks, formatting",
]
TASK_TYPES = [
    ("investigate_error", "code"),
    ("deploy_code", "code"),
    ("analyze_logs", "normal"),
    ("fix_bug", "code"),
    ("simple_query", "ops"),
]


def test_juggernauts_policies_are_the_documents_four() -> None:
    found = tables("juggernaut")["Default routing policies"]
    shown = [
        (row[0].split(" (")[0], in_their_words(row[1]), in_their_words(row[2]), *row[3:6])
        for row in found.rows
    ]
    assert shown == JUGGERNAUT
    assert [row[6] for row in found.rows] == USE_CASES


def test_juggernauts_task_types_begin_with_the_documents_five() -> None:
    found = tables("juggernaut")["Task type mapping"]
    assert list(found.rows[:5]) == TASK_TYPES
    assert {policy for _, policy in found.rows} <= set(shipped("juggernaut").pack.classes)


LANES = ["no-model", "local-cheap", "cheap", "standard", "high-end", "pro"]
GRANTS = "egress receipt, policy approval"
GUARD = f"{GRANTS}, escalation reason, receipt for it, known quota"
PROFILES = [
    ("urn:srcos:model-profile:local-llama32-1b", ("router", "triage", "summarization", "default")),
    ("urn:srcos:model-profile:local-llama32-3b", ("quality fallback", "6000 MB free")),
]
OWNERS = {
    "SourceOS-Linux/sourceos-model-carry": (
        "Local model profiles, service refs, local resource posture, and evidence collectors."
    ),
    "SocioProphet/model-governance-ledger": (
        "Per-user consent, data boundary, evaluation, promotion, revocation, model-routing "
        "escalation receipts, cost-class evidence, and budget/resource audit trails."
    ),
    "SociOS-Linux/socios": "Opt-in orchestration for personalization workflows.",
    "SocioProphet/model-router": (
        "Runtime route binding, agent execution model-routing policy, budget/resource "
        "optimization, and policy-aware target selection."
    ),
    "SocioProphet/agentplane": (
        "Execution-chain evidence and run/replay artifacts for routed agent work."
    ),
    "SocioProphet/guardrail-fabric": (
        "Fail-closed policy decisions for tool hooks, model-lane escalation, budget/resource "
        "constraints, and write/network gates."
    ),
    "SocioProphet/policy-fabric": (
        "Policy packaging, inheritance, validation, release review, and budget/resource "
        "constraint governance."
    ),
}


def test_socioprophets_lanes_are_the_contracts_six_with_their_guards() -> None:
    found = tables("socioprophet", "laptop")["Lanes"]
    assert [row[0] for row in found.rows] == LANES
    opened = ["marked deterministic_solver", "open", GRANTS, GRANTS, GUARD, GUARD]
    assert [row[5] for row in found.rows] == opened
    limits = [int(row[2].split()[0]) for row in found.rows[1:]]
    assert limits == sorted(set(limits))


def test_socioprophets_local_profiles_are_the_two_and_the_smaller_is_the_default() -> None:
    found = tables("socioprophet", "laptop")["Local profiles"]
    assert len(found.rows) == len(PROFILES)
    for (urn, _, use), (wanted, words) in zip(found.rows, PROFILES, strict=True):
        assert urn == wanted
        assert [word for word in words if word not in use] == []


def test_socioprophets_responsibilities_are_the_documents_seven_rows() -> None:
    assert list(tables("socioprophet")["Responsibilities"].rows) == list(OWNERS.items())


def test_a_cell_follows_the_rules_that_decide_and_not_words_beside_them() -> None:
    bundle = shipped("juggernaut")
    classes = bundle.pack.model_dump()["classes"]
    classes["normal"] |= {"ceiling": 250_000_000, "rungs": (("claude-3-5-sonnet",),)}
    (policies, _) = seed_tables(changed(bundle, pack={"classes": classes}))
    assert policies.rows[0][1:4] == ("claude-3-5-sonnet", "—", "$0.2500")


@pytest.mark.parametrize("pack", ["omega", "codex", "juggernaut", "socioprophet"])
def test_the_command_shows_every_row(pack: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["policy", "show", pack, "--table", "--policies-dir", str(POLICIES)]
    assert main([*wanted, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["tables"]
    for title, found in tables(pack).items():
        assert [tuple(row.values()) for row in shown[title]] == list(found.rows)
    assert main(wanted) == 0
    lines = capsys.readouterr().out.splitlines()
    for found in tables(pack).values():
        for row in found.rows:
            assert any(line.startswith(row[0]) for line in lines)
