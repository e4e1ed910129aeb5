"""Decisions, calls and outcomes to put into a ledger, small and complete."""

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
    Reservation,
    Settlement,
    TaskOutcome,
    TaskStatus,
    TokenUsage,
)
from pointwork.contract.snapshot import PolicyRef, Snapshot
from pointwork.contract.task import ContentRef, Sensitivity, TaskRequest
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.vault import Accepted, TaskDraft, Vault

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
POLICY = PolicyRef(pack="omega", version="1.0", pack_sha256="a" * 64, bundle_sha256="b" * 64)
CONTENT = ContentRef(digest="c" * 64, bytes=5, media_type="text/plain")
USAGE = TokenUsage(input_tokens=10, output_tokens=20)
UNLIMITED = 2**50


def window(key: str, limit_nano_usd: int = 1000) -> WindowSpec:
    return WindowSpec(
        key=key,
        scope="pack",
        period="day",
        starts_at=NOW.replace(hour=0, minute=0, second=0, microsecond=0),
        ends_at=NOW.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1),
        limit_nano_usd=limit_nano_usd,
    )


def candidate(model: str = "small-local", estimate_nano_usd: int = 100) -> Candidate:
    return Candidate(
        model=model,
        served_as=model,
        vendor="acme",
        endpoint="acme-api",
        family="local_open",
        lane=Lane.LOCAL,
        site=Site.LOCAL,
        cost_class=CostClass.LOWEST,
        task_queue=TaskQueue.INVOKE,
        trigger=Trigger.DEFAULT,
        estimate_nano_usd=estimate_nano_usd,
        ceiling_nano_usd=UNLIMITED,
        max_output_tokens=64,
        timeout_seconds=30,
        prices=(
            PriceTier(
                input_per_mtok=0, output_per_mtok=0, cached_input_per_mtok=0, cache_write_per_mtok=0
            ),
        ),
        price_version="test-1",
    )


def invoke(task_id: str, number: int = 1, model: str = "small-local", amount: int = 100) -> Invoke:
    return Invoke(
        task_id=task_id,
        number=number,
        candidate=candidate(model, amount),
        content=CONTENT,
        temperature=0.2,
    )


def decision(
    task_id: str,
    number: int = 1,
    *,
    sensitivity: Sensitivity | None = Sensitivity.INTERNAL,
    conversation: str | None = None,
    **plan: Any,
) -> DecisionRecord:
    request = TaskRequest(
        task_id=task_id,
        caller="tester",
        content=CONTENT,
        conversation=conversation,
        submitted_at=NOW,
    )
    return DecisionRecord(
        decision_id=f"{task_id}#{number}",
        task_id=task_id,
        input=DecisionInput(
            request=request,
            classification=Classification(
                task_class="bulk",
                class_source=ClassSource.DECLARED,
                input_bytes=5,
                input_tokens_max=5,
            ),
            snapshot=Snapshot(taken_at=NOW, policy=POLICY, endpoints=()),
        ),
        plan=Plan(
            **{
                "effect": Effect.RUN,
                "task_class": "bulk",
                "class_source": ClassSource.DECLARED,
                "sensitivity": sensitivity,
                "policy": POLICY,
                **plan,
            }
        ),
        decided_at=NOW,
    )


def outcome(task_id: str, status: TaskStatus = TaskStatus.SUCCEEDED, **fields: Any) -> TaskOutcome:
    return TaskOutcome(
        **{
            "task_id": task_id,
            "status": status,
            "caller": "tester",
            "task_class": "bulk",
            "class_source": ClassSource.DECLARED,
            "started_at": NOW,
            "finished_at": NOW,
            **fields,
        }
    )


def accept(vault: Vault, task_id: str, text: bytes = b"hello", **declarations: Any) -> Accepted:
    draft = TaskDraft(
        task_id=task_id,
        caller="tester",
        pack="omega",
        declarations={"risk": "routine"} | declarations,
    )
    return vault.accept(draft, [("prompt", text, "text/plain")], NOW)


def reserve(
    budgets: BudgetBook,
    task_id: str,
    number: int = 1,
    *,
    amount: int = 100,
    ceiling: int = UNLIMITED,
    windows: Sequence[WindowSpec] = (),
    part_id: str | None = None,
    expires_in_seconds: int = 3600,
    is_planned: bool = True,
) -> Reservation:
    """Hold ``amount`` for call ``number`` of the task, as the reserve activity does."""
    return budgets.reserve(
        record=decision(task_id, number),
        part_id=part_id or f"{task_id}/{number}",
        task_id=task_id,
        invoke=invoke(task_id, number, amount=amount) if is_planned else None,
        amount_nano_usd=amount,
        task_ceiling_nano_usd=ceiling,
        windows=windows,
        price_version="test-1",
        expires_in_seconds=expires_in_seconds,
        now=NOW,
    )


def answer(cost: int = 60, text: bytes = b"an answer", **fields: Any) -> dict[str, Any]:
    """Keyword arguments of ``AttemptLog.finish``."""
    return {
        "answer": text,
        "media_type": "text/plain",
        "served_model": "small-local",
        "finish_reason": FinishReason.STOP,
        "usage": USAGE,
        "cost_nano_usd": cost,
        "settlement": Settlement.EXACT,
        "duration_ms": 12,
        "provider_request_id": "req-1",
        "unknown_placeholders": 0,
        "now": NOW,
        **fields,
    }
