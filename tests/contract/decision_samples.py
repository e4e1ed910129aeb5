"""What a decision reads and says: one message of each kind with every field set.

With ``samples`` they are the subject of the golden files.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pointwork.contract import decision, overlay, override, prompt, reasons, snapshot, task
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.money import PriceTier
from pointwork.contract.names import TaskQueue
from tests.contract.lane_samples import QUEUE

START = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)
LATER = START + timedelta(hours=1)
HASH_A, HASH_B, HASH_C = "a" * 64, "b" * 64, "c" * 64

TEXT = task.ContentRef(digest=HASH_A, bytes=400, media_type=prompt.MEDIA_TYPE_PROMPT)
SCHEMA = task.ContentRef(digest=HASH_B, bytes=90, media_type=prompt.MEDIA_TYPE_SCHEMA)
ANSWER = task.ContentRef(digest=HASH_C, bytes=70, media_type=prompt.MEDIA_TYPE_ANSWER)
MAPPING = task.ContentRef(digest=HASH_B, bytes=30, media_type="application/octet-stream")
CONSTRAINTS = task.Constraints(
    max_output_tokens=256, temperature=0.5, seed=7, deadline_seconds=3600
)
SPEC = task.SpecFacts(
    name="specs/4711.md",
    policy_version="2.0.0",
    roles=("architect", "judge"),
    local_only=True,
    high_risk=True,
    infrastructure_only=True,
)
GATE_RESULT = task.GateResult(stage="implementer", gate="constitution", passed=True)
DECLARATION = task.TaskDeclaration(
    task_id="invoice-4711",
    caller="billing",
    description="invoice 4711",
    pack="codex",
    task_type="summarize",
    marks=("bulk", "test_data"),
    item_count=3,
    sensitivity=task.Sensitivity.INTERNAL,
    data_classes=(task.DataClass.CUSTOMER, task.DataClass.PERSONAL),
    privacy_tier=task.PrivacyTier.APPROVED_PRIVATE,
    residency=("EU", "US"),
    risk=task.Risk.HIGH,
    requested_model="gpt-5.1",
    justification="The board decides on it.",
    constraints=CONSTRAINTS,
    priority=1,
    conversation="thread-9",
    complexity=task.Complexity.HIGH,
    measures={"diff_lines": Decimal("99"), "confidence": Decimal("0.75")},
    stage="planning",
    previous_lane=task.Lane.HIGH,
    escalation_reason="safety_critical",
    tools=("read", "write"),
    subject="user-7",
    spec=SPEC,
    corpus="manuals",
    sources=("s-1", "s-2"),
    reviews="invoice-4710",
    worker="night-shift",
    gate_results=(GATE_RESULT,),
)
REQUEST = task.TaskRequest(
    **(DECLARATION.model_dump() | {"task_type": None, "task_class": "high_stakes_logic"}),
    content=TEXT,
    answer_schema=SCHEMA,
    submitted_at=START,
)
FINDING = decision.FindingCount(kind="email", count=2)
CLASSIFICATION = decision.Classification(
    task_class="high_stakes_logic",
    class_source=decision.ClassSource.INFERRED,
    margin=0.25,
    suggested_class="red_team",
    detected_sensitivity=task.Sensitivity.SENSITIVE,
    detected_data_classes=(task.DataClass.PERSONAL,),
    findings=(FINDING,),
    detectors=("patterns/1",),
    scanned_bytes=400,
    input_bytes=400,
    input_tokens_max=400,
    has_image=True,
    has_tools=True,
    complexity=task.Complexity.MEDIUM,
    marks=("hr_security",),
)
POLICY = snapshot.PolicyRef(pack="omega", version="1.0", pack_sha256=HASH_A, bundle_sha256=HASH_B)
ENDPOINT = snapshot.EndpointSignal(
    endpoint="openai", has_credentials=True, is_healthy=False, rate_limited_until=LATER
)
BUDGET = snapshot.BudgetSignal(
    window="omega/pack/omega/day/2026-03-04",
    limit_nano_usd=20_000_000_000,
    committed_nano_usd=1_000_000,
    is_stopped=True,
)
WINDOW = decision.WindowSpec(
    key="omega/pack/omega/day/2026-03-04",
    scope="pack/omega",
    period="day",
    starts_at=START.replace(hour=0, minute=0, second=0, microsecond=0),
    ends_at=START.replace(day=5, hour=0, minute=0, second=0, microsecond=0),
    limit_nano_usd=20_000_000_000,
    limit_version=3,
    alert_nano_usd=16_000_000_000,
)
QUOTA = snapshot.QuotaSignal(endpoint="openai", remaining_requests=12)
RESOURCES = snapshot.ResourceSignal(free_memory_mb=6_000, load_ratio=Decimal("0.25"))
LATENCY = snapshot.LatencySignal(model="gpt-5.1", median_ms=2_100)
EVAL = snapshot.EvalSignal(
    model="gpt-5.1", task_class="high_stakes_logic", confidence=Decimal("0.9")
)
RECEIPT = snapshot.Receipt(
    kind=snapshot.ReceiptKind.LANE_ESCALATION,
    receipt_id="receipt-1",
    issuer="governance",
    task_id="invoice-4711",
    subject="user-7",
    reason="safety_critical",
    model="gpt-5.1",
    expires_at=LATER,
)
GUARDRAIL = snapshot.GuardrailSignal(verdict=snapshot.GuardrailVerdict.DENY, rule="write-gate")
OVERRIDE = override.Override(
    override_id="override-1",
    model="gpt-5.1",
    scope=override.OverrideScope.SESSION,
    task_id="invoice-4711",
    conversation="thread-9",
    starts_at=START,
    ends_at=LATER,
    duration=override.OverrideDuration.TIME_LIMITED,
    reason="The local model lost the last three invoices.",
    approver="ada",
    cost_impact_nano_usd=1_000_000,
    acknowledged_at=START,
    revoked_at=LATER,
    session_ended_at=LATER,
    used_by="invoice-4711",
)
PLACE = overlay.OverlayPlace(task_class="code", model="gpt-4o", shift=-1)
MODEL_WINDOW = overlay.ModelWindow(
    model="gpt-4o",
    starts_at=START,
    ends_at=LATER,
    requests=3,
    succeeded=2,
    failed=1,
    errors_by_kind=(overlay.ErrorCount(kind=overlay.CallFault.ANSWER_REFUSED, count=1),),
    average_ms=900,
    average_tokens=400,
    succeeded_per_1k_tokens=Decimal("1.6667"),
    cost_nano_usd=5_000_000,
    rating_average=Decimal("4.5"),
)
EVENT = overlay.OverlayEvent(
    task_class="code",
    model="gpt-4o",
    move=overlay.PriorityMove.DEMOTED,
    from_place=1,
    to_place=2,
    succeeded=2,
    requests=3,
    bound=Decimal("0.8"),
)
OVERLAY = overlay.Overlay(
    pack="juggernaut",
    version=2,
    parent=1,
    created_at=START,
    reason="gpt-4o failed a third of its calls",
    windows_sha256=overlay.windows_sha256((MODEL_WINDOW,)),
    places=(PLACE,),
)
SNAPSHOT = snapshot.Snapshot(
    taken_at=START,
    policy=POLICY,
    endpoints=(ENDPOINT,),
    budgets=(BUDGET,),
    standing=(WINDOW,),
    flags=("SPEC_KIT_CRITIC",),
    loaded_local_model="smollm2-135m",
    local_queues=(QUEUE,),
    conversation_sensitivity=task.Sensitivity.PROPRIETARY,
    overlay=OVERLAY,
    quotas=(QUOTA,),
    resources=RESOURCES,
    latencies=(LATENCY,),
    evals=(EVAL,),
    receipts=(RECEIPT,),
    overrides=(OVERRIDE,),
    guardrail=GUARDRAIL,
)
FAILED = decision.FailedAttempt(
    model="grok-4.5", kind=ProviderFailureKind.OVERLOADED, transport_retries=1
)
GRANT = decision.Grant(
    kind=decision.GrantKind.COST,
    approval_id="invoice-4711/decision/1/approval",
    approver="ada",
    ceiling_nano_usd=600_000_000,
)
GIVEN = decision.DecisionInput(
    request=REQUEST,
    classification=CLASSIFICATION,
    snapshot=SNAPSHOT,
    failed=(FAILED,),
    grants=(GRANT,),
)
TIER = PriceTier(
    from_input_tokens=200_000,
    input_per_mtok=4_000_000_000,
    output_per_mtok=18_000_000_000,
    cached_input_per_mtok=400_000_000,
    cache_write_per_mtok=5_000_000_000,
)
MOVE = decision.Move(
    kind=decision.MoveKind.FALLBACK,
    trigger=decision.Trigger.OUTAGE,
    direction=decision.Direction.SIDEWAYS,
    from_model="gpt-5.1",
    from_lane=task.Lane.HIGH,
    to_lane=task.Lane.HIGH,
    attempt=2,
    evidence=("failed_loops=2 at least 2",),
)
CANDIDATE = decision.Candidate(
    model="gemini-3.1-pro",
    served_as="gemini-3.1-pro-preview",
    vendor="google",
    endpoint="google",
    family="gemini_class",
    lane=decision.Lane.HIGH,
    site=decision.Site.PUBLIC_API,
    cost_class=decision.CostClass.HIGHEST,
    task_queue=TaskQueue.INVOKE,
    trigger=decision.Trigger.OUTAGE,
    estimate_nano_usd=10_816_000,
    ceiling_nano_usd=600_000_000,
    max_output_tokens=256,
    timeout_seconds=300,
    prices=(TIER,),
    price_version="genai-prices 0.2.3 as of 2026-11-21",
    move=MOVE,
    temperature=Decimal("0.7"),
    kind="retrieval",
    effort="high",
    likely_nano_usd=2_704_000,
    substitution="stands in for a model that is gone",
)
REJECTION = decision.Rejection(
    model="gpt-5.1", reason=reasons.ReasonCode.UNHEALTHY, detail="openai"
)
PLAN = decision.Plan(
    effect=decision.Effect.HOLD,
    reason=reasons.ReasonCode.CEILING,
    hold_for=decision.GrantKind.COST,
    task_class="high_stakes_logic",
    class_source=decision.ClassSource.DECLARED,
    sensitivity=task.Sensitivity.INTERNAL,
    data_classes=(task.DataClass.CUSTOMER,),
    candidates=(CANDIDATE,),
    rejected=(REJECTION,),
    obligations=(decision.Obligation.REDACT, decision.Obligation.VERIFY_SCHEMA),
    windows=(WINDOW,),
    task_ceiling_nano_usd=600_000_000,
    justification="The board decides on it.",
    policy=POLICY,
    factor="quality_per_minute",
    complexity=task.Complexity.MEDIUM,
    contract="plan",
    adviser=CANDIDATE,
    critic=CANDIDATE,
    judge=CANDIDATE,
    on_judged_fail="hold",
    self_critique=True,
    tokens_stream=True,
    branches=2,
    parallel_shortfall=decision.ParallelShortfall.SINGLE_VENDOR,
    batch_key="juggernaut/code/gpt-4o",
    cache_ttl_seconds=3_600,
    override_id="override-1",
    default_route="smollm2-135m",
    stopped_by=(WINDOW.key,),
)
RECORD = decision.DecisionRecord(
    decision_id="invoice-4711/decision/1",
    task_id="invoice-4711",
    input=GIVEN,
    plan=PLAN,
    decided_at=START,
    snapshot_sha256=HASH_A,
)
REDACTION = decision.RedactionSummary(
    content=TEXT,
    placeholders=MAPPING,
    counts=(FINDING,),
    rules=("email/1",),
    data_classes=(task.DataClass.PERSONAL,),
    read_bytes=412,
)
