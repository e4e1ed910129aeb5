"""Attempt rows as the contract's messages, and how the part behind each ends."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import (
    AttemptState,
    AttemptSummary,
    FinishReason,
    Invocation,
    Settlement,
    TokenUsage,
)
from pointwork.contract.task import ContentRef
from pointwork.ledger.holds import ATTEMPT, PART
from pointwork.ledger.settling import (
    Settled,
    posting_for,
)
from pointwork.ledger.vault import ContentUnavailableError

_COLUMNS = (
    *ATTEMPT.c,
    PART.c.part_id,
    PART.c.task_id.label("part_task_id"),
    PART.c.decision_id,
    PART.c.amount_nano_usd,
    PART.c.margin_nano_usd,
    PART.c.posted_nano_usd,
    PART.c.settlement.label("part_settlement"),
    PART.c.task_ceiling_nano_usd,
    PART.c.price_version,
    PART.c.expires_in_seconds,
    PART.c.state.label("part_state"),
)
WITH_PART = select(*_COLUMNS).join(PART, PART.c.part_id == ATTEMPT.c.attempt_id)
"""An attempt with the part that pays for it."""
PARTS = select(*_COLUMNS).select_from(
    PART.outerjoin(ATTEMPT, ATTEMPT.c.attempt_id == PART.c.part_id)
)
"""A part with its attempt, whose columns are null where none was planned."""


def settled_by(row: Any) -> Settled:
    """How the part of an attempt row (joined with its part) ends as the row stands."""
    return Settled(
        part_id=row.part_id,
        task_id=row.part_task_id,
        model=row.model or "",
        amount_nano_usd=row.amount_nano_usd,
        posting=posting_for(row.amount_nano_usd, row.state, row.cost_nano_usd, row.settlement),
        pack=row.pack,
    )


def usage_columns(usage: TokenUsage | None) -> dict[str, int | None]:
    if usage is None:
        return dict.fromkeys(TokenUsage.model_fields)
    return {name: getattr(usage, name) for name in TokenUsage.model_fields}


def run_columns(run: LocalRun | None) -> dict[str, object]:
    if run is None:
        return {}
    return {
        "local_run": run.model_dump_json(),
        "energy_millijoules": run.energy_millijoules,
        "electricity_nano_usd": run.electricity_nano_usd,
    }


def answer_columns(ref: ContentRef) -> dict[str, object]:
    return {
        "answer_digest": ref.digest,
        "answer_bytes": ref.bytes,
        "answer_media_type": ref.media_type,
    }


def usage_of(row: Any) -> TokenUsage | None:
    """The usage of an attempt row; None where the provider sent none."""
    if row.input_tokens is None:
        return None
    return TokenUsage(**{name: getattr(row, name) for name in TokenUsage.model_fields})


def invocation_of(row: Any) -> Invocation:
    if row.answer_digest is None:
        msg = f"the answer of attempt {row.attempt_id} came after its task's content was erased"
        raise ContentUnavailableError(msg)
    return Invocation(
        attempt_id=row.attempt_id,
        answer=ContentRef(
            digest=row.answer_digest, bytes=row.answer_bytes, media_type=row.answer_media_type
        ),
        served_model=row.served_model,
        finish_reason=FinishReason(row.finish_reason),
        usage=usage_of(row) or TokenUsage(input_tokens=0, output_tokens=0),
        cost_nano_usd=row.cost_nano_usd,
        settlement=Settlement(row.settlement),
        duration_ms=row.duration_ms,
        provider_request_id=row.provider_request_id,
        unknown_placeholders=row.unknown_placeholders,
    )


def summary_of(row: Any) -> AttemptSummary:
    """An attempt as the outcome lists it."""
    return AttemptSummary(
        number=row.number,
        model=row.model,
        vendor=row.vendor,
        state=AttemptState(row.state),
        failure=ProviderFailureKind(row.failure) if row.failure else None,
        served_model=row.served_model,
        usage=usage_of(row),
        cost_nano_usd=row.cost_nano_usd,
        settlement=Settlement(row.settlement),
        duration_ms=row.duration_ms,
        seed=row.seed,
        local_run=LocalRun.model_validate_json(row.local_run) if row.local_run else None,
    )


def mark_unknown(connection: Connection, row: Any, now: datetime) -> None:
    """A send whose fate nobody knows: it counts as charged in full until something better is."""
    connection.execute(
        _MARK_UNKNOWN,
        {"of_attempt": row.attempt_id, "in_full": row.amount_nano_usd, "at": now},
    )


_MARK_UNKNOWN = (
    update(ATTEMPT)
    .where(ATTEMPT.c.attempt_id == bindparam("of_attempt"), ATTEMPT.c.state == AttemptState.SENT)
    .values(
        state=AttemptState.UNKNOWN,
        cost_nano_usd=bindparam("in_full"),
        settlement=Settlement.AT_LEAST,
        unknown_at=bindparam("at"),
    )
)
