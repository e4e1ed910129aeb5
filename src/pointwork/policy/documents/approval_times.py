"""How long people have to answer, and how many of them must."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pointwork.contract.additive import added
from pointwork.contract.approval import APPROVERS_MAX
from pointwork.contract.decision import GrantKind
from pointwork.policy.documents.document import Document


class ApprovalTimes(Document):
    """Silence ends in denial: remind, then escalate, then expire (design 7)."""

    remind_after_seconds: Annotated[int, Field(ge=1)]
    escalate_after_seconds: Annotated[int, Field(ge=1)]
    expire_after_seconds: Annotated[int, Field(ge=1)]
    approvers_min: dict[GrantKind, Annotated[int, Field(ge=1, le=APPROVERS_MAX)]] = added({})
    """How many different persons must approve, where more than one."""

    def approvers_for(self, kind: GrantKind) -> int:
        return self.approvers_min.get(kind, 1)

    @model_validator(mode="after")
    def _one_chooses(self) -> Self:
        if GrantKind.CHOICE in self.approvers_min:
            msg = "approvers_min.choice: one person chooses between answers; leave it out"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not (
            self.remind_after_seconds < self.escalate_after_seconds < self.expire_after_seconds
        ):
            msg = (
                "remind_after_seconds, escalate_after_seconds and expire_after_seconds are "
                f"{self.remind_after_seconds}, {self.escalate_after_seconds} and "
                f"{self.expire_after_seconds}; let them rise in this order"
            )
            raise ValueError(msg)
        return self
