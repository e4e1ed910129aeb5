"""The JSON contracts as they ship, and ways to take them apart."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "schemas"
EXAMPLES = ROOT / "examples"

BINDINGS = "local-personal-route-binding"
POLICY = "agent-execution-model-routing-policy"
OPTIMIZER = "agent-execution-budget-resource-optimizer"
EVIDENCE = "route-evidence"
LOOP = "model-routing-loop"

SHIPPED = {
    BINDINGS: "local-personal-route-binding.llama32.json",
    POLICY: "agent-execution-model-routing-policy.default.json",
    OPTIMIZER: "agent-execution-budget-resource-optimizer.default.json",
    EVIDENCE: "route-evidence.denied.json",
    LOOP: "model-routing-loop.json",
}

Place = tuple[str | int, ...]


def schema(contract: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((SCHEMAS / f"{contract}.schema.json").read_text())
    return read


def shipped(contract: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((EXAMPLES / SHIPPED[contract]).read_text())
    return read


def is_valid(contract: str, document: Any) -> bool:
    return Draft202012Validator(schema(contract)).is_valid(document)


def evidence_of_a_guarded_run() -> dict[str, Any]:
    """A step that ran on high-end: the record with every part filled."""
    digest, taken_at = "ab" * 32, "2026-01-05T09:30:00Z"
    hosted = "urn:pointwork:route-binding:hosted-high-end"
    run: dict[str, Any] = {
        "outcome": "run",
        "lane": "high-end",
        "binding": hosted,
        "task_class": "planning",
        "chain_stage": "planning",
        "reason_code": None,
        "determining_constraints": ["quality_floor"],
    }
    receipt = {
        "receipt": "urn:srcos:escalation-receipt:example-1",
        "reason": "local_quality_insufficient",
        "from_lane": "local-cheap",
        "to_lane": "high-end",
        "expires_at": "2026-01-05T10:30:00Z",
        "verified": True,
    }
    budget = {
        "outcome": "allow",
        "worst_case_nano_usd": 40_000_000,
        "reserved_nano_usd": 40_000_000,
        "remaining_nano_usd": 900_000_000,
    }
    chosen = {
        "target": hosted,
        "lane": "high-end",
        "accepted": True,
        "refused_by": None,
        "reason_code": None,
    }
    granted = {
        "egress_grant": "urn:srcos:egress-grant:example-1",
        "policy_approval": "urn:srcos:policy-approval:example-1",
    }
    denied = shipped(EVIDENCE)
    return {
        **denied,
        "route_decision": run,
        "escalation_receipts": {"receipts": [receipt]},
        "budget_decision": budget,
        "resource_snapshot": {**denied["resource_snapshot"], "taken_at": taken_at},
        "candidate_set": {"candidates": [chosen]},
        "cost_class": {"cost_class": "high"},
        "context_policy": {"tokens_max": 200000, "tokens_needed": 9000, "action": "accepted"},
        "tool_policy": {"asked": ["read", "write"], "granted": ["read"]},
        "governance_references": {
            **denied["governance_references"],
            **granted,
            "policy_digest": digest,
        },
    }


def documents() -> dict[str, list[dict[str, Any]]]:
    """Good documents of every contract, which together use every object its schema describes."""
    good = {contract: [shipped(contract)] for contract in SHIPPED}
    good[EVIDENCE].append(evidence_of_a_guarded_run())
    return good


def walk(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every part of a JSON document with its place, the whole first."""
    yield at, value
    if isinstance(value, dict):
        for key, part in value.items():
            yield from walk(part, (*at, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from walk(part, (*at, index))


def holder(document: Any, at: Place) -> Any:
    """The object or list that holds the place."""
    for step in at[:-1]:
        document = document[step]
    return document


def without(document: Any, at: Place) -> Any:
    changed = copy.deepcopy(document)
    del holder(changed, at)[at[-1]]
    return changed


def changed_at(document: Any, at: Place, value: Any) -> Any:
    """A copy with the value at the place, which an object need not have had before."""
    changed = copy.deepcopy(document)
    holder(changed, at)[at[-1]] = value
    return changed


def subschemas(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a schema; maps from names to schemas pass for one without keywords."""
    return (part for _, part in walk(value) if isinstance(part, dict))
