"""Why a model was refused, or a task held or denied."""

from enum import StrEnum


class ReasonCode(StrEnum):
    """Why a model was refused, or a task held or denied. Each has one sentence."""

    CLASS_UNKNOWN = "class_unknown"
    CLASS_NOT_IN_PACK = "class_not_in_pack"
    NOT_IN_ROUTE = "not_in_route"
    LOCAL_REQUIRED = "local_required"
    LOCAL_FIRST_VOLUME = "local_first_volume"
    FRONTIER_BULK = "frontier_bulk"
    FRONTIER_PURPOSE = "frontier_purpose"
    JUSTIFICATION_MISSING = "justification_missing"
    PRIVACY = "privacy"
    PRIVACY_TIER = "privacy_tier"
    RESTRICTED = "restricted"
    SENSITIVITY_UNDECLARED = "sensitivity_undeclared"
    RESIDENCY = "residency"
    CAPABILITY = "capability"
    QUALITY_FLOOR = "quality_floor"
    CONTEXT = "context"
    NO_CREDENTIALS = "no_credentials"
    UNHEALTHY = "unhealthy"
    RATE_LIMITED = "rate_limited"
    NO_PRICE = "no_price"
    NOT_ON_HOST = "not_on_host"
    ALREADY_FAILED = "already_failed"
    OVER_PROVISIONED = "over_provisioned"
    NO_PRIOR_FAILURE = "no_prior_failure"
    CEILING = "ceiling"
    CEILING_NEAR = "ceiling_near"
    BUDGET = "budget"
    NOT_REQUESTED = "not_requested"
    NO_CANDIDATE = "no_candidate"
    CANDIDATES_EXHAUSTED = "candidates_exhausted"
    FACT_UNKNOWN = "fact_unknown"
    STAGE_UNKNOWN = "stage_unknown"
    ESCALATION_REASON_UNKNOWN = "escalation_reason_unknown"
    SIGNAL_MISSING = "signal_missing"
    GUARDRAIL_DENIED = "guardrail_denied"
    SPEC_POLICY_MISSING = "spec_policy_missing"
    SPEC_INFRASTRUCTURE_ONLY = "spec_infrastructure_only"
    ROLE_NOT_IN_SPEC = "role_not_in_spec"
    GATE_FAILED = "gate_failed"
    SESSION_MISSING = "session_missing"
    SESSION_OVER = "session_over"
    UNSATISFIABLE_LOCAL_ONLY = "unsatisfiable_local_only"
    EGRESS_DENIED = "egress_denied"
    HOSTED_NOT_APPROVED = "hosted_not_approved"
    DATA_BOUNDARY_MISSING = "data_boundary_missing"
    PERSONALISATION = "personalisation"
    LOCAL_NOT_ALLOWED = "local_not_allowed"
    OFFLINE = "offline"
    LANE_CLOSED = "lane_closed"
    LANE_GUARD = "lane_guard"
    LANE_ABOVE_STAGE = "lane_above_stage"
    LANE_CONTEXT = "lane_context"
    LANE_TOOLS = "lane_tools"
    SAFETY = "safety"
    VERIFICATION_UNAVAILABLE = "verification_unavailable"
    RESOURCES = "resources"
    QUOTA_UNKNOWN = "quota_unknown"
    QUOTA_EXHAUSTED = "quota_exhausted"
    LATENCY = "latency"
    PAUSED_OVER_BUDGET = "paused_over_budget"
    HARD_STOP = "hard_stop"
    RETIRED = "retired"
    ESCALATION_ONLY = "escalation_only"
    ROUTED_AWAY = "routed_away"
    OUTAGE_ONLY = "outage_only"
    COMES_LATER = "comes_later"
    ANSWERS_DIFFER = "answers_differ"
    OVERRIDE_ASKED = "override_asked"
    NOT_PASSED = "not_passed"

    @property
    def sentence(self) -> str:
        return _REASON_SENTENCES[self]


_REASON_SENTENCES: dict[ReasonCode, str] = {
    ReasonCode.CLASS_UNKNOWN: "The task's class is unknown, and no model runs without one.",
    ReasonCode.CLASS_NOT_IN_PACK: "The declared class is not one of this pack's classes.",
    ReasonCode.NOT_IN_ROUTE: "The pack's route for this class does not name this model's family.",
    ReasonCode.LOCAL_REQUIRED: "A mark on the task requires a local model.",
    ReasonCode.LOCAL_FIRST_VOLUME: "At this volume the pack requires a local model.",
    ReasonCode.FRONTIER_BULK: "A frontier model is never used for bulk work.",
    ReasonCode.FRONTIER_PURPOSE: "The class is none of the purposes frontier models are kept for.",
    ReasonCode.JUSTIFICATION_MISSING: "A frontier model needs a justification and none was given.",
    ReasonCode.PRIVACY: "The content's data class may not leave the house to this model.",
    ReasonCode.PRIVACY_TIER: "The task's privacy tier does not reach this model's site.",
    ReasonCode.RESTRICTED: "Restricted content makes no external call, with or without approval.",
    ReasonCode.SENSITIVITY_UNDECLARED: "Nobody confirmed the data class, so content stays local.",
    ReasonCode.RESIDENCY: "The model is not processed in a region the task allows.",
    ReasonCode.CAPABILITY: "The model lacks a capability the task needs.",
    ReasonCode.QUALITY_FLOOR: "The model is below the quality the class asks for.",
    ReasonCode.CONTEXT: "The text and the answer together exceed the model's context.",
    ReasonCode.NO_CREDENTIALS: "No key for this endpoint is configured.",
    ReasonCode.UNHEALTHY: "The endpoint is not answering.",
    ReasonCode.RATE_LIMITED: "The endpoint asked callers to wait.",
    ReasonCode.NO_PRICE: "The model has no price, so its cost cannot be bounded.",
    ReasonCode.NOT_ON_HOST: "The model is not served by this host.",
    ReasonCode.ALREADY_FAILED: "The model was already tried in this task.",
    ReasonCode.OVER_PROVISIONED: "A cheaper sufficient model is available.",
    ReasonCode.NO_PRIOR_FAILURE: "A dearer model needs a recorded failure of a cheaper one.",
    ReasonCode.CEILING: "The worst-case cost exceeds the class's ceiling for this family.",
    ReasonCode.CEILING_NEAR: "The worst-case cost is near the ceiling and a cheaper model exists.",
    ReasonCode.BUDGET: "What is left of a budget does not cover the worst-case cost.",
    ReasonCode.NOT_REQUESTED: "The task asked for another model.",
    ReasonCode.NO_CANDIDATE: "No model of the catalogue is permitted for this task.",
    ReasonCode.CANDIDATES_EXHAUSTED: "Every permitted model was tried and failed.",
    ReasonCode.FACT_UNKNOWN: "The pack declares its facts, and this mark, measure or gate is none.",
    ReasonCode.GATE_FAILED: "A gate of an earlier stage did not pass, so the next does not begin.",
    ReasonCode.STAGE_UNKNOWN: "The pack's chain stages do not include the task's stage.",
    ReasonCode.ESCALATION_REASON_UNKNOWN: "The escalation reason is not on the pack's list.",
    ReasonCode.SIGNAL_MISSING: "A signal the pack requires is missing, so nothing runs.",
    ReasonCode.GUARDRAIL_DENIED: "The guardrail authority denied the step or did not answer.",
    ReasonCode.SPEC_POLICY_MISSING: "The spec does not cite this pack's policy and version.",
    ReasonCode.SPEC_INFRASTRUCTURE_ONLY: "The spec says that it invokes no model.",
    ReasonCode.ROLE_NOT_IN_SPEC: "The spec says NO to this role.",
    ReasonCode.SESSION_MISSING: "The role works in sessions, and the task names no conversation.",
    ReasonCode.SESSION_OVER: "The session is over the pack's cap of turns or minutes.",
    ReasonCode.UNSATISFIABLE_LOCAL_ONLY: "The work needs a cloud model and may only run locally.",
    ReasonCode.EGRESS_DENIED: "Prompts stay in the house unless a receipt lets this one out.",
    ReasonCode.HOSTED_NOT_APPROVED: "A hosted model needs a policy approval on record.",
    ReasonCode.DATA_BOUNDARY_MISSING: "Sensitive content needs a data boundary reference to leave.",
    ReasonCode.PERSONALISATION: "A personal model needs its user's consent and a contract.",
    ReasonCode.LOCAL_NOT_ALLOWED: "This work is never done by a local model.",
    ReasonCode.OFFLINE: "The task runs offline, and this model is outside the house.",
    ReasonCode.LANE_CLOSED: "Nothing about the task opens this lane.",
    ReasonCode.LANE_GUARD: "The lane needs an escalation reason on the list and a receipt for it.",
    ReasonCode.LANE_ABOVE_STAGE: "The lane is above what the task's stage may use.",
    ReasonCode.LANE_CONTEXT: "The text exceeds what the lane takes.",
    ReasonCode.LANE_TOOLS: "The lane gives no right to a tool the task wants.",
    ReasonCode.SAFETY: "The lane is too low for what the step may break.",
    ReasonCode.VERIFICATION_UNAVAILABLE: "No deterministic check would catch this lane's mistakes.",
    ReasonCode.RESOURCES: "The host has no room for the model now.",
    ReasonCode.QUOTA_UNKNOWN: "The vendor's quota is unknown, and this lane needs to know it.",
    ReasonCode.QUOTA_EXHAUSTED: "The vendor's quota is used up.",
    ReasonCode.LATENCY: "The model answers more slowly than the lane or the task allows.",
    ReasonCode.PAUSED_OVER_BUDGET: "Expensive models pause while the period is over its budget.",
    ReasonCode.HARD_STOP: "A budget was exceeded; its hard stop waits for a person to resume.",
    ReasonCode.RETIRED: "The vendor no longer serves this model.",
    ReasonCode.ESCALATION_ONLY: "The role uses this model only when an escalation rule holds.",
    ReasonCode.ROUTED_AWAY: "A rule of the role took the task to other models than this default.",
    ReasonCode.OUTAGE_ONLY: "The role uses this model only while its own models are out.",
    ReasonCode.COMES_LATER: "The role's table names another model before this one.",
    ReasonCode.ANSWERS_DIFFER: "The models' answers differ, and a person chooses between them.",
    ReasonCode.NOT_PASSED: "No judge passed the answer; a person may release it.",
    ReasonCode.OVERRIDE_ASKED: "Somebody asks for an exception to the route, at a stated cost.",
}
