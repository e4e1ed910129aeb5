"""Facts for ``decide`` in short form, and variants of the shipped rules, without any service."""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from pointwork.contract.decision import (
    BudgetSignal,
    Classification,
    ClassSource,
    DecisionInput,
    EndpointSignal,
    FailedAttempt,
    Grant,
    GrantKind,
    Plan,
    ReasonCode,
    Site,
    Snapshot,
)
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.task import (
    Constraints,
    ContentRef,
    DataClass,
    Name,
    PrivacyTier,
    Sensitivity,
    TaskRequest,
)
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.document import Document, Pack, Usd
from pointwork.policy.load import load_library

POLICIES = Path(__file__).parents[2] / "policies"
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
    privacy_tier: PrivacyTier = PrivacyTier.ANY
    residency: tuple[Name, ...] = ()
    requested_model: Name | None = None
    justification: str = ""
    output_tokens: int = 512
    input_bytes: int = 400
    image: bool = False
    answer_schema: bool = False
    without_keys: tuple[Name, ...] = ()
    down: tuple[Name, ...] = ()
    limited_seconds: dict[Name, int] = Field(default_factory=dict)
    """Seconds from now until each endpoint takes calls again."""
    budget_left: Annotated[Usd, Field(description="of one window of 20 USD")] | None = None
    failed: tuple[Failed, ...] = ()
    grants: tuple[Granted, ...] = ()

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
            task_id="task-1",
            caller=self.caller,
            task_class=self.task_class,
            marks=self.marks,
            item_count=self.items,
            sensitivity=self.sensitivity,
            data_classes=self.data_classes,
            privacy_tier=self.privacy_tier,
            residency=self.residency,
            requested_model=self.requested_model,
            justification=self.justification,
            constraints=Constraints(max_output_tokens=self.output_tokens),
            content=ContentRef(digest="a" * 64, bytes=self.input_bytes, media_type="text/plain"),
            answer_schema=SCHEMA_REF if self.answer_schema else None,
            submitted_at=NOW,
        )

    def _snapshot(self, bundle: PolicyBundle) -> Snapshot:
        limit = 20_000_000_000
        left = self.budget_left
        return Snapshot(
            taken_at=NOW,
            policy=bundle.ref,
            endpoints=tuple(
                EndpointSignal(
                    endpoint=name,
                    has_credentials=name not in self.without_keys,
                    is_healthy=name not in self.down,
                    rate_limited_until=(
                        NOW + timedelta(seconds=self.limited_seconds[name])
                        if name in self.limited_seconds
                        else None
                    ),
                )
                for name in sorted({each.model.endpoint for each in bundle.models.values()})
            ),
            budgets=(
                ()
                if left is None
                else (
                    BudgetSignal(
                        window="omega/pack/omega/day/2026-03-04",
                        limit_nano_usd=limit,
                        committed_nano_usd=limit - left,
                    ),
                )
            ),
            conversation_sensitivity=self.conversation,
        )


@cache
def shipped(pack: str = "omega") -> PolicyBundle:
    """The rules as the repository ships them, on the embedded host."""
    return load_library(POLICIES, "embedded").active(pack)


def changed(
    bundle: PolicyBundle,
    *,
    pack: dict[str, Any] | None = None,
    models: dict[str, dict[str, Any]] | None = None,
) -> PolicyBundle:
    """``bundle`` with fields replaced: of the pack, and of each model named in ``models``.

    A model's fields are those of ``Model`` and ``PricedModel``; ``site`` and ``residency`` are its
    endpoint's. The result is validated like a document. A new bundle is built, because a copy
    would keep the cached hash of the old one.
    """
    priced = dict(bundle.models)
    for name, fields in (models or {}).items():
        old = priced[name]
        of_endpoint = {key: fields[key] for key in ("site", "residency") if key in fields}
        of_price: dict[str, Any] = {
            key: fields[key] for key in ("tiers", "price_version") if key in fields
        }
        of_model = {key: fields[key] for key in fields if key not in of_endpoint | of_price}
        priced[name] = old.model_copy(
            update={
                "model": old.model.model_validate(old.model.model_dump() | of_model),
                "endpoint": old.endpoint.model_validate(old.endpoint.model_dump() | of_endpoint),
                **of_price,
            }
        )
    document = Pack.model_validate(bundle.pack.model_dump() | (pack or {}))
    return PolicyBundle(pack=document, models=priced, host=bundle.host)


def free(bundle: PolicyBundle, *names: str) -> PolicyBundle:
    """``bundle`` in which the models ``names`` cost nothing, so nothing is cheaper than they."""
    zero = {
        "input_per_mtok": 0,
        "output_per_mtok": 0,
        "cached_input_per_mtok": 0,
        "cache_write_per_mtok": 0,
    }
    tiers = {
        name: tuple(tier.model_copy(update=zero) for tier in bundle.models[name].tiers)
        for name in names
    }
    return changed(bundle, models={name: {"tiers": each} for name, each in tiers.items()})


def approved_private(bundle: PolicyBundle, *names: str, approved: bool = True) -> PolicyBundle:
    """``bundle`` in which ``names`` are served privately and, if so, on the approved list."""
    privacy = bundle.pack.privacy.model_dump() | {
        "approved_private_models": names if approved else ()
    }
    sites = {name: {"site": Site.PRIVATE} for name in names}
    return changed(bundle, pack={"privacy": privacy}, models=sites)


def reasons(plan: Plan) -> dict[str, ReasonCode]:
    """Why each model that is not a candidate was refused."""
    return {each.model: each.reason for each in plan.rejected}


def chosen(plan: Plan) -> list[str]:
    """The candidates' catalogue ids, in order."""
    return [each.model for each in plan.candidates]
