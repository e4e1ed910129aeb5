"""Which reason is shown for a model that several rules refuse.

A person is told first what no key, money or waiting would change.
"""

from functools import lru_cache

from pointwork.contract.decision import Rejection
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.engine.filters import Refusal

_ORDER = (
    ReasonCode.RESTRICTED,
    ReasonCode.PRIVACY_TIER,
    ReasonCode.RESIDENCY,
    ReasonCode.FRONTIER_BULK,
    ReasonCode.LOCAL_REQUIRED,
    ReasonCode.LOCAL_FIRST_VOLUME,
    ReasonCode.NOT_ON_HOST,
    ReasonCode.RETIRED,
    ReasonCode.FRONTIER_PURPOSE,
    ReasonCode.LOCAL_NOT_ALLOWED,
    ReasonCode.NOT_IN_ROUTE,
    ReasonCode.ESCALATION_ONLY,
    ReasonCode.ROUTED_AWAY,
    ReasonCode.OFFLINE,
    ReasonCode.JUSTIFICATION_MISSING,
    ReasonCode.PRIVACY,
    ReasonCode.DATA_BOUNDARY_MISSING,
    ReasonCode.PERSONALISATION,
    ReasonCode.EGRESS_DENIED,
    ReasonCode.HOSTED_NOT_APPROVED,
    ReasonCode.CAPABILITY,
    ReasonCode.SAFETY,
    ReasonCode.VERIFICATION_UNAVAILABLE,
    ReasonCode.QUALITY_FLOOR,
    ReasonCode.LANE_CLOSED,
    ReasonCode.LANE_ABOVE_STAGE,
    ReasonCode.LANE_GUARD,
    ReasonCode.LANE_CONTEXT,
    ReasonCode.LANE_TOOLS,
    ReasonCode.CONTEXT,
    ReasonCode.NO_PRICE,
    ReasonCode.NO_CREDENTIALS,
    ReasonCode.ALREADY_FAILED,
    ReasonCode.UNHEALTHY,
    ReasonCode.RATE_LIMITED,
    ReasonCode.OUTAGE_ONLY,
    ReasonCode.QUOTA_EXHAUSTED,
    ReasonCode.QUOTA_UNKNOWN,
    ReasonCode.RESOURCES,
    ReasonCode.LATENCY,
    ReasonCode.SENSITIVITY_UNDECLARED,
    ReasonCode.PAUSED_OVER_BUDGET,
    ReasonCode.BUDGET,
    ReasonCode.CEILING,
)
_RANK = {code: rank for rank, code in enumerate(_ORDER)}


def first_reason(reasons: list[Refusal]) -> Refusal:
    """The reason to show."""
    # A loop, because it runs for every model of every decision and ``min`` with a key takes twice
    # as long. Of two reasons of one rank the filters' order decides.
    first, rank = reasons[0], _RANK[reasons[0][0]]
    for reason in reasons:
        if _RANK[reason[0]] < rank:
            first, rank = reason, _RANK[reason[0]]
    return first


@lru_cache(maxsize=16_384)
def rejection(model: str, code: ReasonCode, detail: str) -> Rejection:
    """Immutable, so that equal ones of many decisions are one."""
    return Rejection(model=model, reason=code, detail=detail)
