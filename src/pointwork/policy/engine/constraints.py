"""Which of the optimiser's ten constraints a refusal comes from (SP-26)."""

from typing import Literal

from pointwork.contract.reasons import ReasonCode as R

Constraint = Literal[
    "policy",
    "privacy",
    "safety",
    "quality_floor",
    "budget_ceiling",
    "local_resource_health",
    "provider_quota",
    "provider_health",
    "latency",
    "deterministic_verification",
]

_CONSTRAINTS: dict[R, Constraint] = {
    R.PRIVACY: "privacy",
    R.PRIVACY_TIER: "privacy",
    R.RESTRICTED: "privacy",
    R.SENSITIVITY_UNDECLARED: "privacy",
    R.RESIDENCY: "privacy",
    R.EGRESS_DENIED: "privacy",
    R.DATA_BOUNDARY_MISSING: "privacy",
    R.PERSONALISATION: "privacy",
    R.SAFETY: "safety",
    R.GUARDRAIL_DENIED: "safety",
    R.QUALITY_FLOOR: "quality_floor",
    R.CAPABILITY: "quality_floor",
    R.ALREADY_FAILED: "quality_floor",
    R.BUDGET: "budget_ceiling",
    R.CEILING: "budget_ceiling",
    R.CEILING_NEAR: "budget_ceiling",
    R.PAUSED_OVER_BUDGET: "budget_ceiling",
    R.NO_PRICE: "budget_ceiling",
    R.RESOURCES: "local_resource_health",
    R.NOT_ON_HOST: "local_resource_health",
    R.QUOTA_EXHAUSTED: "provider_quota",
    R.QUOTA_UNKNOWN: "provider_quota",
    R.UNHEALTHY: "provider_health",
    R.RATE_LIMITED: "provider_health",
    R.NO_CREDENTIALS: "provider_health",
    R.OFFLINE: "provider_health",
    R.LATENCY: "latency",
    R.VERIFICATION_UNAVAILABLE: "deterministic_verification",
}


def constraint_of(code: R) -> Constraint:
    """The constraint behind ``code``; what is of no other kind is the policy's own rule."""
    return _CONSTRAINTS.get(code, "policy")
