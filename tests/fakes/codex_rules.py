"""What the codex pack says of specs, High-Risk and its pipeline, as its document would hold it."""

from functools import cache
from typing import Any

from pointwork.policy.specs.high_risk import HighRiskGroup
from pointwork.policy.specs.pipeline import Pipeline
from pointwork.policy.specs.spec_block import SpecRules
from tests.fakes.codex_high_risk import HIGH_RISK_GROUPS

SPEC: dict[str, Any] = {
    "heading": "## Model & Runtime (Spec Overrides)",
    "policy_path": "docs/MODEL-POLICY.md",
    "policy_version": "2.0.0",
    "roles": [
        {"label": "Stage0 Tier2 (NotebookLM)", "role": "stage0_tier2_synth"},
        {"label": "Architect/Planner", "role": "architect"},
        {"label": "Implementer/Rust Ace", "role": "implementer"},
        {"label": "Librarian", "role": "librarian"},
        {"label": "Tutor", "role": "tutor"},
        {"label": "Auditor/Judge", "role": "judge"},
    ],
    "routing_mode": "cloud-where-quality-wins, local-where-speed-wins",
    "lanes": {
        "Architect": "Cloud-first (Sonnet/GPT)",
        "Implementer": "Local for small diffs, cloud for serious/HR work",
        "Librarian": "Local + Kimi escalation (hard sweeps)",
        "Judge": "Cloud-only (always)",
    },
    "tiers": {
        "cloud_quality": "Sonnet / GPT-5.1 (Architect, Serious Implementer)",
        "local_reflex": "Qwen3-Coder-30B-A3B MoE (Tutor, Reflex Implementer, Librarian)",
        "cloud_escalation": "DeepSeek R2 / Kimi K2 (when local fails)",
        "premium_judge": "GPT-5.1 High / Claude Opus (HR required)",
    },
    "infrastructure": {
        "statement": (
            "This spec is **infrastructure-only** and does not invoke model routing directly."
        ),
        "roles": "none (no Architect/Implementer/Librarian/Tutor/Judge).",
    },
    "guardrails": ["sandboxing", "evidence/logging", "no hallucinated citations"],
    "overrides_rare_ratio": "0.10",
    "overrides_rare_derived": (
        "The policy says that overrides must be rare and gives no figure; one spec in ten is "
        "taken as the most that is still rare."
    ),
}

PIPELINE: dict[str, Any] = {
    "stages": [
        {
            "name": "stage0",
            "kind": "stage0",
            "owner": "stage0_tier2_synth",
            "gates": ["constitution"],
            "legacy_agents": ["librarian"],
        },
        {
            "name": "architect",
            "kind": "architect",
            "owner": "architect",
            "model_inputs": ["stage0"],
            "gates": ["constitution"],
            "legacy_agents": ["judge"],
        },
        {
            "name": "implementer",
            "kind": "implementer",
            "owner": "implementer",
            "model_inputs": ["architect"],
            "gates": ["compiler_and_tests", "constitution"],
            "legacy_agents": ["architect"],
        },
        {
            "name": "judge",
            "kind": "judge",
            "owner": "judge",
            "model_inputs": ["architect", "implementer"],
            "gates": ["judge_audit"],
            "legacy_agents": ["architect"],
        },
    ],
    "sidecars": [
        {"kind": "critic", "stage": "implementer", "owner": "architect"},
        {
            "kind": "second_opinion",
            "stage": "architect",
            "owner": "judge",
            "triggers": ["confidence_below_threshold", "repeated_failures", "user_request"],
        },
        {"kind": "self_critique", "stage": "architect", "owner": "architect"},
    ],
}


@cache
def spec_rules() -> SpecRules:
    return SpecRules.model_validate(SPEC)


@cache
def high_risk_groups() -> dict[str, HighRiskGroup]:
    return {code: HighRiskGroup.model_validate(group) for code, group in HIGH_RISK_GROUPS.items()}


@cache
def pipeline() -> Pipeline:
    return Pipeline.model_validate(PIPELINE)
