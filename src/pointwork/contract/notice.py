"""What people are told of a task that waits: references and figures, no word of its content."""

from enum import StrEnum

from pydantic import AwareDatetime

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.decision import GrantKind
from pointwork.contract.money import NanoUsd, format_usd
from pointwork.contract.task import Message, Name, TaskId

_DIGEST_CHARACTERS = 12


class NoticeKind(StrEnum):
    OPENED = "opened"
    REMINDER = "reminder"
    ESCALATION = "escalation"
    EXPIRED = "expired"


class Notice(Message):
    """One notice. ``notice_id`` is the same when it is sent again, so that a receiver tells."""

    notice_id: str
    kind: NoticeKind
    approval_id: str
    task_id: TaskId
    asks_for: GrantKind
    requester: Name
    ceiling_nano_usd: NanoUsd
    approvers_min: int
    digest: str
    """Of what is shown to who decides, and what their verdict is bound to."""
    expires_at: AwareDatetime
    link: str
    """Where to look at it; empty where no console is named."""

    @property
    def subject(self) -> str:
        what = self.asks_for.replace("_", " ")
        return f"{_HEADS[self.kind]}: task {self.task_id} ({what})"

    @property
    def text(self) -> str:
        """A few plain lines, without any markup."""
        lines = [
            self.subject,
            f"asked by {self.requester}, up to {format_usd(self.ceiling_nano_usd)}",
            f"answer by {self.expires_at:%Y-%m-%d %H:%M} UTC; silence is a denial",
            f"digest {self.digest[:_DIGEST_CHARACTERS]}",
            self.link or f"pointwork explain {self.task_id}",
        ]
        if self.approvers_min > 1:
            lines.insert(2, f"{self.approvers_min} persons must approve")
        return "\n".join(lines)


_HEADS = {
    NoticeKind.OPENED: "A decision is needed",
    NoticeKind.REMINDER: "A decision is still needed",
    NoticeKind.ESCALATION: "Nobody has decided yet",
    NoticeKind.EXPIRED: "Nobody decided in time",
}


def notice_of(request: ApprovalRequest, kind: NoticeKind, console_url: str) -> Notice:
    base = console_url.rstrip("/")
    return Notice(
        notice_id=f"{request.approval_id}/{kind}",
        kind=kind,
        approval_id=request.approval_id,
        task_id=request.task_id,
        asks_for=request.asks_for,
        requester=request.requester,
        ceiling_nano_usd=request.ceiling_nano_usd,
        approvers_min=request.approvers_min,
        digest=request.request_sha256,
        expires_at=request.expires_at,
        link=f"{base}/tasks/{request.task_id}" if base else "",
    )
