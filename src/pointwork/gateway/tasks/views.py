"""A task as the API shows it: facts, money and where it stands; its text only where asked for."""

from typing import Any

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.money import format_usd
from pointwork.contract.outcome import TaskOutcome, TaskStatus, TaskView
from pointwork.ledger.task_list import TaskEntry


def entry_view(entry: TaskEntry) -> dict[str, Any]:
    """One line of a list."""
    return {
        "task_id": entry.task_id,
        "caller": entry.caller,
        "pack": entry.pack,
        "task_class": entry.task_class,
        "status": entry.status,
        "failure": entry.failure,
        "served_model": entry.served_model,
        "cost_nano_usd": entry.cost_nano_usd,
        "settlement": entry.settlement,
        "created_at": entry.created_at.isoformat(),
        "finished_at": entry.finished_at.isoformat() if entry.finished_at else None,
        "url": f"/v1/tasks/{entry.task_id}",
    }


def outcome_view(outcome: TaskOutcome) -> dict[str, Any]:
    """A task that ended."""
    body = outcome.model_dump(mode="json")
    return body | {"cost": format_usd(outcome.cost_nano_usd), "is_final": True}


def queued_view(entry: TaskEntry) -> TaskView:
    """A task that no workflow was started for: its bulk run or its submitter still has to."""
    return TaskView(
        task_id=entry.task_id,
        status=TaskStatus.QUEUED,
        waits_for="to be begun",
        started_at=entry.created_at,
    )


def running_view(view: TaskView, approval: ApprovalRequest | None) -> dict[str, Any]:
    """A task that runs, and what a person is asked about it."""
    body = view.model_dump(mode="json") | {"is_final": False, "approval": None}
    if approval is not None:
        body["approval"] = approval_view(approval)
    return body


def approval_view(request: ApprovalRequest) -> dict[str, Any]:
    """What a person is asked, without the answers to choose from."""
    return {
        "approval_id": request.approval_id,
        "task_id": request.task_id,
        "requester": request.requester,
        "asks_for": request.asks_for,
        "reason": request.reason,
        "ceiling_nano_usd": request.ceiling_nano_usd,
        "request_sha256": request.request_sha256,
        "policy_sha256": request.policy_sha256,
        "approvers_min": request.approvers_min,
        "opened_at": request.opened_at.isoformat(),
        "expires_at": request.expires_at.isoformat(),
        "letters": [option.letter for option in request.options],
    }
