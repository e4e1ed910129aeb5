"""Voices beside a class's one owner: a critic who comments, a judge who passes or blocks."""

from typing import Annotated, Literal

from pydantic import Field

from pointwork.contract.task import Name
from pointwork.policy.documents.conditions import Condition
from pointwork.policy.documents.document import Document


class CriticRule(Document):
    """Another vendor's model lists what it sees in the answer; it holds nothing up (CX-32)."""

    families: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Who may be asked, first choice first."""
    when: Condition | None = None
    """Absent is always."""


class JudgeRule(Document):
    """Another vendor's model passes the answer, or nobody gets it (CX-36)."""

    families: Annotated[tuple[Name, ...], Field(min_length=1)]
    on_fail: Literal["hold", "deny"]
    """A person decides, or the task ends without an answer; also where no judge could answer."""
    cloud_only: bool = True
    """Whether a local model may never be the judge (CX-81)."""
    when: Condition | None = None
