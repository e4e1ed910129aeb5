"""Who may do what over HTTP: the one table that every route asks.

A right is held over everything, or over what the caller submitted. Somebody else's task is not
found, rather than forbidden, so that ids tell nothing.
"""

from enum import StrEnum

from pointwork.contract.identity import Identity, IdentityKind, Role


class Right(StrEnum):
    SUBMIT = "submit"
    READ_OWN = "read_own"
    """Tasks that the caller submitted: state, answer, cost."""
    READ_RECORD = "read_record"
    """The record of every task: facts, decisions, costs, the audit chain. No text."""
    READ_CONTENT = "read_content"
    """Texts and answers of others' tasks, where a decision shows them."""
    APPROVE = "approve"
    GOVERN = "govern"
    """Budgets, overrides, policy and people."""


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.SUBMITTER: frozenset({Right.SUBMIT, Right.READ_OWN}),
    Role.APPROVER: frozenset(
        {Right.READ_OWN, Right.READ_RECORD, Right.READ_CONTENT, Right.APPROVE}
    ),
    Role.AUDITOR: frozenset({Right.READ_OWN, Right.READ_RECORD}),
    Role.OWNER: frozenset(Right),
}
_OF_PERSONS = frozenset({Right.APPROVE, Right.GOVERN})


def rights_of(identity: Identity) -> frozenset[Right]:
    """Everything the account may do; a program neither approves nor governs, whatever its roles."""
    if identity.disabled_at is not None or identity.kind is IdentityKind.GROUP:
        return frozenset()
    rights = frozenset[Right]().union(*(RIGHTS[role] for role in identity.roles))
    return rights if identity.kind is IdentityKind.PERSON else rights - _OF_PERSONS


def is_own(identity: Identity, caller: str) -> bool:
    """Whether a task of ``caller`` is the account's: its own, or of a group or service of its."""
    return caller == identity.name or caller in identity.belongs_to


def may_read(identity: Identity, caller: str) -> bool:
    """Whether the account may see the task of ``caller``."""
    rights = rights_of(identity)
    return Right.READ_RECORD in rights or (Right.READ_OWN in rights and is_own(identity, caller))


def callers_seen(identity: Identity) -> tuple[str, ...] | None:
    """Whose tasks the account may see; None is everybody's."""
    rights = rights_of(identity)
    if Right.READ_RECORD in rights:
        return None
    return (identity.name, *identity.belongs_to) if Right.READ_OWN in rights else ()
