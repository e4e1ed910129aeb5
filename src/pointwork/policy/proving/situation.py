"""A task and the world around it in short form, for cases and for `pointwork decide`."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from pointwork.contract.decision import (
    Classification,
    ClassSource,
    DecisionInput,
    FailedAttempt,
    Grant,
    GrantKind,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.overlay import Overlay
from pointwork.contract.override import Override
from pointwork.contract.snapshot import (
    BudgetSignal,
    EndpointSignal,
    EvalSignal,
    GuardrailSignal,
    GuardrailVerdict,
    LatencySignal,
    QuotaSignal,
    Receipt,
    ReceiptKind,
    ResourceSignal,
    Snapshot,
)
from pointwork.contract.task import (
    Complexity,
    Constraints,
    ContentRef,
    DataClass,
    GateResult,
    Lane,
    Measure,
    Name,
    PrivacyTier,
    Risk,
    Sensitivity,
    SpecFacts,
    TaskRequest,
)
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.document import Document, Usd
from pointwork.policy.engine.windows import windows_at

TASK_ID = "task-1"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SCHEMA_REF = ContentRef(digest="b" * 64, bytes=2, media_type="application/schema+json")


class Failed(Document):
    """A try that did not give the answer; without ``kind`` a check refused what the model said."""

    model: Name
    kind: ProviderFailureKind | None = None


class Granted(Document):
    """What a person approved. ``ceiling`` is in USD in a document and nano-USD in Python."""

    kind: GrantKind
    ceiling: Usd = 0


class Received(Document):
    """A receipt on record for this task, valid for an hour from now unless it says otherwise."""

    kind: ReceiptKind
    reason: Name | None = None
    subject: Name | None = None
    model: Name | None = None
    task_id: Name | None = TASK_ID
    expires_in_seconds: int = 3600


class Situation(Document):
    """A task and the world around it: only what differs from a small, silent, healthy one."""

    task_class: Name | None = None
    class_source: ClassSource = ClassSource.DECLARED
    marks: tuple[Name, ...] = ()
    items: int = 1
    sensitivity: Sensitivity | None = None
    data_classes: tuple[DataClass, ...] = ()
    detected: Sensitivity | None = None
    detected_data_classes: tuple[DataClass, ...] = ()
    conversation: Sensitivity | None = None
    caller: Name = "billing"
    worker: Name | None = None
    privacy_tier: PrivacyTier = PrivacyTier.ANY
    residency: tuple[Name, ...] = ()
    requested_model: Name | None = None
    justification: str = ""
    output_tokens: int = 512
    input_bytes: int = 400
    image: bool = False
    offers_tools: bool = False
    """Whether the prompt offers tools that the model may ask its caller to use."""
    answer_schema: bool = False
    without_keys: tuple[Name, ...] = ()
    down: tuple[Name, ...] = ()
    limited_seconds: dict[Name, int] = Field(default_factory=dict)
    """Seconds from now until each endpoint takes calls again."""
    budget_left: Annotated[Usd, Field(description="of one window of 20 USD")] | None = None
    failed: tuple[Failed, ...] = ()
    grants: tuple[Granted, ...] = ()
    risk: Risk = Risk.ROUTINE
    complexity: Complexity | None = None
    """What the caller expects."""
    estimated_complexity: Complexity | None = None
    found_marks: tuple[Name, ...] = ()
    """Marks that classify found in the text itself."""
    measures: dict[Name, Measure] = Field(default_factory=dict)
    stage: Name | None = None
    previous_lane: Lane | None = None
    escalation_reason: Name | None = None
    tools: tuple[Name, ...] = ()
    subject: Name | None = None
    conversation_id: Name | None = None
    spec: SpecFacts | None = None
    gate_results: tuple[GateResult, ...] = ()
    without_signals: tuple[Name, ...] = ()
    """Endpoints whose state nobody read."""
    budget_spent: Usd | None = None
    """Of every window of the pack; with it each window is in the snapshot."""
    budgets_missing: bool = False
    quotas: dict[Name, int | None] | None = Field(default_factory=dict)
    """Requests left by endpoint; null is unknown, and no ``quotas`` at all is no signal."""
    resources: ResourceSignal | None = ResourceSignal(
        free_memory_mb=16_000, load_ratio=Decimal("0.2")
    )
    latencies: dict[Name, int] | None = Field(default_factory=dict)
    """Median milliseconds by model."""
    evals: tuple[EvalSignal, ...] | None = None
    guardrail: GuardrailVerdict | None = GuardrailVerdict.ALLOW
    receipts: tuple[Received, ...] = ()
    overrides: tuple[Override, ...] = ()
    overlay: Overlay | None = None

    def facts(self, bundle: PolicyBundle) -> DecisionInput:
        """The whole input of ``decide``, against the endpoints of ``bundle``."""
        return DecisionInput(
            request=self._request(),
            classification=Classification(
                task_class=self.task_class,
                class_source=self.class_source if self.task_class else ClassSource.UNKNOWN,
                detected_sensitivity=self.detected,
                detected_data_classes=self.detected_data_classes,
                input_bytes=self.input_bytes,
                input_tokens_max=self.input_bytes,
                has_image=self.image,
                has_tools=self.offers_tools,
                complexity=self.estimated_complexity,
                marks=self.found_marks,
            ),
            snapshot=self._snapshot(bundle),
            failed=tuple(FailedAttempt(model=each.model, kind=each.kind) for each in self.failed),
            grants=tuple(
                Grant(
                    kind=each.kind,
                    approval_id=f"approval/{number}",
                    approver="ada",
                    ceiling_nano_usd=each.ceiling,
                )
                for number, each in enumerate(self.grants)
            ),
        )

    def _request(self) -> TaskRequest:
        return TaskRequest(
            task_id=TASK_ID,
            caller=self.caller,
            worker=self.worker,
            task_class=self.task_class,
            marks=self.marks,
            item_count=self.items,
            sensitivity=self.sensitivity,
            data_classes=self.data_classes,
            privacy_tier=self.privacy_tier,
            residency=self.residency,
            requested_model=self.requested_model,
            justification=self.justification,
            risk=self.risk,
            complexity=self.complexity,
            measures=self.measures,
            stage=self.stage,
            previous_lane=self.previous_lane,
            escalation_reason=self.escalation_reason,
            tools=self.tools,
            subject=self.subject,
            conversation=self.conversation_id,
            spec=self.spec,
            gate_results=self.gate_results,
            constraints=Constraints(max_output_tokens=self.output_tokens),
            content=ContentRef(digest="a" * 64, bytes=self.input_bytes, media_type="text/plain"),
            answer_schema=SCHEMA_REF if self.answer_schema else None,
            submitted_at=NOW,
        )

    def _snapshot(self, bundle: PolicyBundle) -> Snapshot:
        return Snapshot(
            taken_at=NOW,
            policy=bundle.ref,
            endpoints=tuple(
                self._endpoint(name)
                for name in sorted({each.model.endpoint for each in bundle.models.values()})
                if name not in self.without_signals
            ),
            budgets=self._budgets(bundle),
            conversation_sensitivity=self.conversation,
            overlay=self.overlay,
            quotas=self._quotas(bundle),
            resources=self.resources,
            latencies=self._latencies(),
            evals=self.evals,
            receipts=tuple(self._receipt(n, each) for n, each in enumerate(self.receipts)),
            overrides=self.overrides,
            guardrail=GuardrailSignal(verdict=self.guardrail) if self.guardrail else None,
        )

    def _endpoint(self, name: str) -> EndpointSignal:
        seconds = self.limited_seconds.get(name)
        return EndpointSignal(
            endpoint=name,
            has_credentials=name not in self.without_keys,
            is_healthy=name not in self.down,
            rate_limited_until=None if seconds is None else NOW + timedelta(seconds=seconds),
        )

    def _budgets(self, bundle: PolicyBundle) -> tuple[BudgetSignal, ...]:
        """Every window as spent as ``budget_spent`` says, or one of 20 USD with what is left."""
        if self.budgets_missing:
            return ()
        if self.budget_left is not None:
            limit = 20_000_000_000
            key = "omega/pack/omega/day/2026-03-04"
            committed = limit - self.budget_left
            return (BudgetSignal(window=key, limit_nano_usd=limit, committed_nano_usd=committed),)
        if self.budget_spent is None and not bundle.pack.required_signals:
            return ()
        return tuple(
            BudgetSignal(
                window=each.key,
                limit_nano_usd=each.limit_nano_usd,
                committed_nano_usd=min(self.budget_spent or 0, each.limit_nano_usd),
            )
            for each in windows_at(bundle.pack, NOW, caller=self.caller, worker=self.worker)
        )

    def _quotas(self, bundle: PolicyBundle) -> tuple[QuotaSignal, ...] | None:
        """A thousand requests left everywhere that ``quotas`` does not name."""
        if self.quotas is None:
            return None
        if not self.quotas and not bundle.pack.required_signals:
            return None
        left = {name: 1_000 for name in bundle.index.hosted_endpoints} | self.quotas
        return tuple(
            QuotaSignal(endpoint=name, remaining_requests=left[name]) for name in sorted(left)
        )

    def _latencies(self) -> tuple[LatencySignal, ...] | None:
        if self.latencies is None:
            return None
        return tuple(
            LatencySignal(model=name, median_ms=ms) for name, ms in sorted(self.latencies.items())
        )

    def _receipt(self, number: int, each: Received) -> Receipt:
        return Receipt(
            kind=each.kind,
            receipt_id=f"receipt/{number}",
            issuer="governance",
            task_id=None if each.subject else each.task_id,
            subject=each.subject,
            reason=each.reason,
            model=each.model,
            expires_at=NOW + timedelta(seconds=each.expires_in_seconds),
        )
