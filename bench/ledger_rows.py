"""Tasks as the ledger sees them: small, complete, and all of one price."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from pointwork.contract.decision import (
    Candidate,
    Classification,
    ClassSource,
    CostClass,
    DecisionInput,
    DecisionRecord,
    Effect,
    Lane,
    Plan,
    Site,
    Trigger,
    WindowSpec,
)
from pointwork.contract.money import PriceTier
from pointwork.contract.names import TaskQueue
from pointwork.contract.outcome import (
    FinishReason,
    Invoke,
    ReserveOutcome,
    Settlement,
    TaskOutcome,
    TaskStatus,
    TokenUsage,
)
from pointwork.contract.snapshot import PolicyRef, Snapshot
from pointwork.contract.task import ContentRef, Sensitivity, TaskRequest
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.vault import TaskDraft, Vault

AMOUNT_NANO_USD = 40_000_000
KINDS = ("caller-day", "caller-week", "caller-month", "pack-day", "pack-week", "pack-month")
UNLIMITED = 2**50
MODELS = ("gpt-5.1", "claude-sonnet-5", "gemini-3.1-pro", "smollm2-135m")
POLICY = PolicyRef(pack="bench", version="1.0", pack_sha256="a" * 64, bundle_sha256="b" * 64)
CONTENT = ContentRef(digest="c" * 64, bytes=900, media_type="text/plain")
USAGE = TokenUsage(input_tokens=1000, output_tokens=1000)
PRICES = (
    PriceTier(
        input_per_mtok=10_000_000_000,
        output_per_mtok=30_000_000_000,
        cached_input_per_mtok=10_000_000_000,
        cache_write_per_mtok=10_000_000_000,
    ),
)


def now() -> datetime:
    return datetime.now(UTC)


def windows(suffix: str, limit_nano_usd: int) -> list[WindowSpec]:
    """Six budgets of the same limit, told apart from other runs' by ``suffix``."""
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        WindowSpec(
            key=f"bench/{kind}/{suffix}",
            scope="pack/bench",
            period="day",
            starts_at=midnight,
            ends_at=midnight + timedelta(days=1),
            limit_nano_usd=limit_nano_usd,
        )
        for kind in KINDS
    ]


def invoke(task_id: str, model: str = MODELS[0]) -> Invoke:
    candidate = Candidate(
        model=model,
        served_as=model,
        vendor="mock",
        endpoint="mock",
        family="mock",
        lane=Lane.STANDARD,
        site=Site.PUBLIC_API,
        cost_class=CostClass.MEDIUM,
        task_queue=TaskQueue.INVOKE,
        trigger=Trigger.DEFAULT,
        estimate_nano_usd=AMOUNT_NANO_USD,
        ceiling_nano_usd=UNLIMITED,
        max_output_tokens=1000,
        timeout_seconds=60,
        prices=PRICES,
        price_version="bench-1",
    )
    return Invoke(task_id=task_id, number=1, candidate=candidate, content=CONTENT, temperature=0.2)


def decision(
    task_id: str, at: datetime, caller: str = "bench", candidates: Sequence[Candidate] = ()
) -> DecisionRecord:
    request = TaskRequest(task_id=task_id, caller=caller, content=CONTENT, submitted_at=at)
    return DecisionRecord(
        decision_id=f"{task_id}/decision/1",
        task_id=task_id,
        input=DecisionInput(
            request=request,
            classification=Classification(
                task_class="any",
                class_source=ClassSource.DECLARED,
                input_bytes=900,
                input_tokens_max=1000,
            ),
            snapshot=Snapshot(taken_at=at, policy=POLICY, endpoints=()),
        ),
        plan=Plan(
            effect=Effect.RUN,
            task_class="any",
            class_source=ClassSource.DECLARED,
            sensitivity=Sensitivity.INTERNAL,
            policy=POLICY,
            candidates=tuple(candidates),
        ),
        decided_at=at,
    )


def outcome(
    task_id: str, at: datetime, caller: str = "bench", model: str = MODELS[0]
) -> TaskOutcome:
    return TaskOutcome(
        task_id=task_id,
        status=TaskStatus.SUCCEEDED,
        caller=caller,
        task_class="any",
        class_source=ClassSource.DECLARED,
        served_model=model,
        policy=POLICY,
        started_at=at,
        finished_at=at,
    )


def answer(at: datetime) -> dict[str, Any]:
    """Keyword arguments of ``AttemptLog.finish``."""
    return {
        "answer": b"an answer of some words",
        "media_type": "text/plain",
        "served_model": MODELS[0],
        "finish_reason": FinishReason.STOP,
        "usage": USAGE,
        "cost_nano_usd": AMOUNT_NANO_USD,
        "settlement": Settlement.EXACT,
        "duration_ms": 300,
        "provider_request_id": "",
        "unknown_placeholders": 0,
        "now": at,
    }


def accept(vault: Vault, task_id: str, at: datetime, caller: str = "bench") -> None:
    draft = TaskDraft(task_id=task_id, caller=caller, pack="bench", declarations={})
    vault.accept(draft, [("prompt", b"hello " * 150, "text/plain")], at)


def reserve(
    book: BudgetBook,
    record: DecisionRecord,
    specs: Sequence[WindowSpec],
    call: Invoke | None = None,
) -> ReserveOutcome:
    """Hold one call's price for the decided task, as the reserve activity does."""
    task_id = record.task_id
    return book.reserve(
        record=record,
        part_id=f"{task_id}/1",
        task_id=task_id,
        invoke=call,
        amount_nano_usd=AMOUNT_NANO_USD,
        task_ceiling_nano_usd=UNLIMITED,
        windows=specs,
        price_version="bench-1",
        expires_in_seconds=3600,
        now=record.decided_at,
    ).outcome
