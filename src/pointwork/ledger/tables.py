"""The ledger's tables. Amounts are BIGINT nano-USD, times aware UTC, bodies canonical JSON text.

No column of any table holds the text of a prompt or an answer in the clear; sealed bytes stand in
``vault_content``, or in the store that a row of it names, and nowhere else (SP-45). The foreign
keys cover what is written together; ``task_id`` of decisions, holds and outcomes has none, because
a task that never reached the vault still ends in an outcome.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Text,
    text,
    true,
)
from sqlmodel import Field

from pointwork.ledger.activation_tables import PolicyActivationRow as PolicyActivationRow
from pointwork.ledger.approval_tables import Approval as Approval
from pointwork.ledger.approval_tables import ApprovalState as ApprovalState
from pointwork.ledger.approval_tables import ApproverKey as ApproverKey
from pointwork.ledger.approval_tables import UsedToken as UsedToken
from pointwork.ledger.budget_tables import BudgetAlert as BudgetAlert
from pointwork.ledger.budget_tables import BudgetAllowance as BudgetAllowance
from pointwork.ledger.budget_tables import BudgetSettingRow as BudgetSettingRow
from pointwork.ledger.budget_tables import ModelMargin as ModelMargin
from pointwork.ledger.bulk_tables import BulkItemRow as BulkItemRow
from pointwork.ledger.bulk_tables import BulkRunRow as BulkRunRow
from pointwork.ledger.choice_tables import AnswerComparison as AnswerComparison
from pointwork.ledger.choice_tables import AnswerSelection as AnswerSelection
from pointwork.ledger.columns import METADATA as METADATA
from pointwork.ledger.columns import LedgerTable, money, not_negative, time
from pointwork.ledger.columns import UtcTime as UtcTime
from pointwork.ledger.columns import table_of as table_of
from pointwork.ledger.cost_tables import CostDay as CostDay
from pointwork.ledger.cost_tables import Overrun as Overrun
from pointwork.ledger.identity_tables import AccessKeyRow as AccessKeyRow
from pointwork.ledger.identity_tables import ApprovalVerdictRow as ApprovalVerdictRow
from pointwork.ledger.identity_tables import IdentityRow as IdentityRow
from pointwork.ledger.incident_tables import IncidentStep as IncidentStep
from pointwork.ledger.local_tables import LocalModelBuild as LocalModelBuild
from pointwork.ledger.override_tables import OverrideUse as OverrideUse
from pointwork.ledger.override_tables import RouteOverride as RouteOverride
from pointwork.ledger.rate_tables import RateLease as RateLease
from pointwork.ledger.stream_tables import StreamListener as StreamListener
from pointwork.ledger.vault_tables import LedgerIdentity as LedgerIdentity
from pointwork.ledger.vault_tables import SupersededMasterKey as SupersededMasterKey
from pointwork.ledger.vault_tables import VaultContent as VaultContent
from pointwork.ledger.vault_tables import VaultKey as VaultKey


class PartState(StrEnum):
    """The life of a hold's part: reserved, then exactly one of the other three."""

    RESERVED = "reserved"
    POSTED = "posted"
    VOIDED = "voided"
    EXPIRED = "expired"


class Task(LedgerTable, table=True):
    __tablename__ = "task"
    __table_args__ = (
        Index(None, "created_at", "task_id"),
        Index(None, "caller", "created_at"),
        Index(None, "pack", "created_at"),
        Index(
            "ix_task_open",
            "created_at",
            "task_id",
            sqlite_where=text("is_open = 1"),
            postgresql_where=text("is_open"),
        ),
    )
    task_id: str = Field(primary_key=True)
    request_digest: str
    caller: str
    pack: str
    created_at: datetime = time()
    is_open: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    """No outcome is on record, so that lists of running tasks look at no other."""


class PolicyRevision(LedgerTable, table=True):
    __tablename__ = "policy_revision"
    bundle_sha256: str = Field(primary_key=True)
    pack: str
    version: str
    pack_sha256: str
    canonical_json: str = Field(sa_type=Text)
    created_at: datetime = time()


class Decision(LedgerTable, table=True):
    __tablename__ = "decision"
    __table_args__ = (Index(None, "task_id"),)
    decision_id: str = Field(primary_key=True)
    task_id: str
    bundle_sha256: str
    effect: str
    sensitivity: str | None
    conversation: str | None
    is_restricted: bool
    decided_at: datetime = time()
    body: str = Field(sa_type=Text)


class BudgetWindow(LedgerTable, table=True):
    """One budget over one stretch of time; ``limit_high`` is the highest limit it ever had."""

    __tablename__ = "budget_window"
    __table_args__ = (
        not_negative("limit_nano_usd", "spent_nano_usd", "reserved_nano_usd"),
        CheckConstraint("limit_high_nano_usd >= limit_nano_usd", name="limit_high"),
    )
    window_key: str = Field(primary_key=True)
    scope: str
    period: str
    starts_at: datetime = time()
    ends_at: datetime = time()
    limit_nano_usd: int = money()
    limit_high_nano_usd: int = money()
    spent_nano_usd: int = money()
    reserved_nano_usd: int = money()
    limit_version: int = money(default=0, sa_column_kwargs={"server_default": "0"})
    """The owner's setting that the limit comes from; 0 is the pack's own."""
    alerted_version: int | None = money(default=None)
    """The limit for which people were told that it comes near."""
    stopped_at: datetime | None = time(default=None)
    """Since when a hard stop waits for a person to resume (OM-32)."""


class HoldPart(LedgerTable, table=True):
    """The money held for one chargeable call; a task's hold is the sum of its parts."""

    __tablename__ = "hold_part"
    __table_args__ = (
        not_negative("amount_nano_usd", "task_ceiling_nano_usd", "posted_nano_usd"),
        CheckConstraint("state IN ('reserved','posted','voided','expired')", name="state"),
        CheckConstraint("(state = 'reserved') = (settled_at IS NULL)", name="settled_once"),
        Index(None, "task_id"),
        Index(None, "state", "expires_at"),
    )
    part_id: str = Field(primary_key=True)
    task_id: str
    decision_id: str
    amount_nano_usd: int = money()
    margin_nano_usd: int = money(default=0, sa_column_kwargs={"server_default": "0"})
    """The share of the amount that is no bound but what the vendor is known to bill besides."""
    task_ceiling_nano_usd: int = money()
    state: str
    posted_nano_usd: int = money()
    settlement: str
    price_version: str
    expires_in_seconds: int
    created_at: datetime = time()
    expires_at: datetime = time()
    settled_at: datetime | None = time()


class HoldPartWindow(LedgerTable, table=True):
    __tablename__ = "hold_part_window"
    __table_args__ = (Index(None, "window_key"),)
    part_id: str = Field(primary_key=True, foreign_key="hold_part.part_id")
    window_key: str = Field(primary_key=True, foreign_key="budget_window.window_key")


class Attempt(LedgerTable, table=True):
    """One request to a model, under the id of the part that pays for it.

    ``base_id`` is the id of the first send; ``send`` counts the sends of the same try, from 1.
    """

    __tablename__ = "attempt"
    __table_args__ = (
        ForeignKeyConstraint(["attempt_id"], ["hold_part.part_id"]),
        not_negative("estimate_nano_usd", "cost_nano_usd"),
        CheckConstraint("state IN ('planned','sent','done','failed','unknown')", name="state"),
        CheckConstraint("(state = 'planned') = (sent_at IS NULL)", name="sent_at"),
        Index(None, "base_id"),
        Index(None, "task_id"),
        Index(None, "sent_at"),
    )
    attempt_id: str = Field(primary_key=True)
    base_id: str
    send: int
    task_id: str
    pack: str | None
    task_class: str | None
    caller: str | None
    worker: str | None
    number: int
    model: str
    vendor: str
    endpoint: str
    site: str
    state: str
    estimate_nano_usd: int = money()
    failure: str | None
    served_model: str | None
    finish_reason: str | None
    input_tokens: int | None = Field(sa_type=BigInteger)
    output_tokens: int | None = Field(sa_type=BigInteger)
    cached_input_tokens: int | None = Field(sa_type=BigInteger)
    cache_write_tokens: int | None = Field(sa_type=BigInteger)
    reasoning_tokens: int | None = Field(sa_type=BigInteger)
    cost_nano_usd: int = money()
    settlement: str
    duration_ms: int = Field(sa_type=BigInteger)
    provider_request_id: str
    unknown_placeholders: int
    answer_digest: str | None
    answer_bytes: int | None
    answer_media_type: str | None
    planned_at: datetime = time()
    sent_at: datetime | None = time()
    unknown_at: datetime | None = time()
    closed_at: datetime | None = time()
    looked_up_at: datetime | None = time()
    """When the vendor was last asked what became of the call, and could not say."""
    reconciled_at: datetime | None = time()
    reconciled_from: str | None
    """Whose record gave the cost."""
    seed: int | None = Field(sa_type=BigInteger)
    local_run: str | None = Field(sa_type=Text)
    """A ``LocalRun``, of a call on this house's card."""
    energy_millijoules: int | None = Field(sa_type=BigInteger)
    electricity_nano_usd: int | None = Field(sa_type=BigInteger)
    """As the run has both, to be summed; the second is part of the attempt's cost."""


class Audit(LedgerTable, table=True):
    """The hash chain. ``record`` is canonical JSON (RFC 8785); ``hash`` covers it and the last."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "task_id"), Index(None, "kind", "sequence"))
    sequence: int = Field(sa_type=BigInteger, primary_key=True)
    kind: str
    task_id: str | None
    occurred_at: datetime = time()
    record: str = Field(sa_type=Text)
    hash: str


class Outcome(LedgerTable, table=True):
    __tablename__ = "outcome"
    __table_args__ = (
        not_negative("cost_nano_usd"),
        # Covers the search for the dearest tasks of a time, so that it reads no outcome's body.
        Index(None, "finished_at", "cost_nano_usd", "pack", "task_id"),
        Index(None, "audit_sequence", unique=True),
        Index(None, "status", "task_id"),
    )
    task_id: str = Field(primary_key=True)
    pack: str | None
    status: str
    failure: str | None
    class_source: str
    task_class: str | None
    served_model: str | None
    is_restricted: bool
    cost_nano_usd: int = money()
    settlement: str
    finished_at: datetime = time()
    audit_sequence: int = Field(sa_type=BigInteger, foreign_key="audit.sequence")
    body: str = Field(sa_type=Text)


class Incident(LedgerTable, table=True):
    __tablename__ = "incident"
    __table_args__ = (Index(None, "occurred_at"),)
    task_id: str = Field(primary_key=True)
    code: str = Field(primary_key=True)
    detail: str
    occurred_at: datetime = time()


class EndpointHealth(LedgerTable, table=True):
    __tablename__ = "endpoint_health"
    endpoint: str = Field(primary_key=True)
    consecutive_failures: int
    rate_limited_until: datetime | None = time()
    last_failure_at: datetime | None = time()
    last_failure_kind: str | None
    updated_at: datetime = time()


class LocalResidency(LedgerTable, table=True):
    __tablename__ = "local_residency"
    queue: str = Field(primary_key=True)
    model: str | None
    updated_at: datetime = time()
    lane: str | None
    """The worker's ``LaneReport``, as JSON."""


class ConversationMark(LedgerTable, table=True):
    """The highest sensitivity any task of a conversation held; it never falls."""

    __tablename__ = "conversation_mark"
    conversation: str = Field(primary_key=True)
    sensitivity: str
    task_id: str
    updated_at: datetime = time()


class PolicyOverlay(LedgerTable, table=True):
    """Every version of every pack's promote/demote overlay; rows are only ever added (R-9)."""

    __tablename__ = "policy_overlay"
    __table_args__ = (CheckConstraint("version >= 1", name="version"),)
    pack: str = Field(primary_key=True)
    version: int = Field(sa_type=BigInteger, primary_key=True)
    parent: int | None = Field(sa_type=BigInteger)
    created_by: str
    created_at: datetime = time()
    body: str = Field(sa_type=Text)


class TaskFeedback(LedgerTable, table=True):
    """What people thought of answers; a person's later word replaces the earlier (JG-34, S-14)."""

    __tablename__ = "task_feedback"
    __table_args__ = (CheckConstraint("rating BETWEEN 1 AND 5", name="rating"),)
    task_id: str = Field(primary_key=True, foreign_key="task.task_id")
    rated_by: str = Field(primary_key=True)
    rating: int
    rated_at: datetime = time()


class DraftReview(LedgerTable, table=True):
    """A draft and the task in which a model outside the house reviewed it (CX-44)."""

    __tablename__ = "draft_review"
    draft_task_id: str = Field(primary_key=True)
    review_task_id: str = Field(primary_key=True, foreign_key="outcome.task_id")
    reviewed_at: datetime = time()


class CachedResponse(LedgerTable, table=True):
    """Where an answer lies that may serve an equal request; it goes when the answer does."""

    __tablename__ = "response_cache"
    __table_args__ = (
        ForeignKeyConstraint(
            ["task_id", "digest", "media_type"],
            ["vault_content.task_id", "vault_content.digest", "vault_content.media_type"],
            ondelete="CASCADE",
        ),
        Index(None, "task_id"),
        Index(None, "expires_at"),
    )
    key: str = Field(primary_key=True)
    task_id: str
    digest: str
    bytes: int
    media_type: str
    model: str
    served_as: str
    created_at: datetime = time()
    expires_at: datetime = time()
    hits: int = Field(sa_type=BigInteger)
