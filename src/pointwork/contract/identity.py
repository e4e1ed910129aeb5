"""Who asks and who answers: a person is told apart by subject, whatever the account is called."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from pointwork.contract.task import Message, Name

Subject = Annotated[str, Field(min_length=1, max_length=200)]


class Role(StrEnum):
    """What somebody may do."""

    SUBMITTER = "submitter"
    """Submits tasks."""
    APPROVER = "approver"
    """Answers approvals and chooses between answers."""
    OWNER = "owner"
    """Approves, and also sets budgets, resumes after a stop and changes policy."""
    AUDITOR = "auditor"
    """Reads the record."""


class IdentityKind(StrEnum):
    PERSON = "person"
    SERVICE = "service"
    """A program that submits; it never approves."""
    GROUP = "group"


class Identity(Message):
    """An account of a person, a service or a group, under the name that tasks and verdicts give."""

    name: Name
    kind: IdentityKind = IdentityKind.PERSON
    subject: Subject
    """Two accounts with one subject are one person: an identity provider's ``sub``, or the name."""
    roles: tuple[Role, ...] = ()
    belongs_to: tuple[Name, ...] = ()
    """The groups of a person; the persons and groups that operate a service."""
    created_at: AwareDatetime
    disabled_at: AwareDatetime | None = None

    @property
    def may_approve(self) -> bool:
        is_approver = bool({Role.APPROVER, Role.OWNER} & {*self.roles})
        return is_approver and self.kind is IdentityKind.PERSON and self.disabled_at is None
