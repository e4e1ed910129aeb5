"""The nine dimensions a route is governed over, of one decision (SP-1)."""

from typing import Any

from pointwork.contract.decision import DecisionInput, Plan
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.routes import TaskClass
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.safe_lane import eval_confidence, quality_floor

DIMENSIONS = (
    "site",
    "size",
    "cost",
    "latency",
    "quality",
    "privacy",
    "fallback",
    "personalisation",
    "eval_confidence",
)


def nine_dimensions(given: DecisionInput, plan: Plan, bundle: PolicyBundle) -> dict[str, Any]:
    """What the decision says on each of the nine, in their order; JSON, and never content.

    A field of the model that was chosen is None where none was. Money is in nano-USD, times are in
    milliseconds, ratios are strings.
    """
    first = plan.candidates[0] if plan.candidates else None
    entry = bundle.index.by_name.get(first.model) if first else None
    facts = _facts(given, plan, bundle)
    return {
        "site": entry.site.value if entry else None,
        "size": entry.priced.model.size if entry else None,
        "cost": {
            "cost_class": first.cost_class.value if first else None,
            "estimate_nano_usd": first.estimate_nano_usd if first else None,
            "ceiling_nano_usd": first.ceiling_nano_usd if first else None,
        },
        "latency": _latency(given, entry, bundle),
        "quality": {
            "grade": entry.quality if entry else None,
            "floor": quality_floor(facts) if facts else None,
        },
        "privacy": _privacy(given, plan, facts),
        "fallback": [each.model for each in plan.candidates[1:]],
        "personalisation": _personalisation(given, plan, bundle),
        "eval_confidence": _evaluated(facts, entry),
    }


def _facts(given: DecisionInput, plan: Plan, bundle: PolicyBundle) -> Facts | None:
    row: TaskClass | None = bundle.pack.classes.get(plan.task_class or "")
    return Facts(given, bundle, plan.task_class or "", row) if row else None


def _latency(given: DecisionInput, entry: Entry | None, bundle: PolicyBundle) -> dict[str, Any]:
    rule = bundle.pack.lanes.get(entry.lane) if entry else None
    asked = given.request.measures.get("latency_ms_max")
    limits = [each for each in (rule.latency_ms_max if rule else None, asked) if each is not None]
    medians = {each.model: each.median_ms for each in given.snapshot.latencies or ()}
    return {
        "median_ms": medians.get(entry.name) if entry else None,
        "limit_ms": int(min(limits)) if limits else None,
    }


def _privacy(given: DecisionInput, plan: Plan, facts: Facts | None) -> dict[str, Any]:
    egress = facts.bundle.pack.privacy.egress_default if facts else None
    return {
        "sensitivity": plan.sensitivity.value if plan.sensitivity else None,
        "tier": given.request.privacy_tier.value,
        "egress_default": egress,
        "egress_granted": bool(facts and facts.receipt(ReceiptKind.EGRESS)),
        "leaves_the_house": any(each.site.value != "local" for each in plan.candidates),
    }


def _personalisation(given: DecisionInput, plan: Plan, bundle: PolicyBundle) -> dict[str, Any]:
    """Whose artifact is used; where one is refused, what it lacks: consent or contract."""
    personal = {each.name for each in bundle.index.entries if each.is_personal}
    used = next((each.model for each in plan.candidates if each.model in personal), None)
    lacking = [each.detail for each in plan.rejected if each.reason is ReasonCode.PERSONALISATION]
    return {"subject": given.request.subject, "model": used, "lacking": lacking}


def _evaluated(facts: Facts | None, entry: Entry | None) -> dict[str, Any]:
    passed = eval_confidence(facts, entry.name) if facts and entry else None
    least = facts.row.eval_confidence_min if facts else None
    return {
        "passed": None if passed is None else str(passed),
        "least": None if least is None else str(least),
    }
