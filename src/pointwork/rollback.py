"""Going back to an earlier version of a pack, and forward again, by policy and ledger (OM-85).

Only deployed documents can be chosen: their seals were checked when they were read, and they are
priced with the models of today.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pointwork.contract.activation import PolicyActivation
from pointwork.contract.failures import PointworkError
from pointwork.contract.snapshot import PolicyRef
from pointwork.ledger.activations import ActivationConflictError, ActivationLog
from pointwork.ledger.decisions import first_decisions
from pointwork.ledger.policies import RevisionStore
from pointwork.policy.active import ActivePolicies
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.reading.replan import Decided, Replan, replan

if TYPE_CHECKING:
    from sqlalchemy import Engine

DECISIONS_DEFAULT = 200
"""How many recorded decisions a dry run makes again, the latest first."""


class UnknownVersionError(PointworkError):
    """The pack has no such version that could decide here; the text lists those there are."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Another version of a pack put in force, as a person asks for it."""

    pack: str
    version: str
    by: str
    reason: str
    at: datetime
    seen_sha256: str | None = None
    """Bundle hash of what was active when the person looked; None takes what is active now."""


def active_policies(engine: "Engine", deployed: PolicyLibrary) -> ActivePolicies:
    """What decides new tasks, by the deployed documents and this ledger."""
    return ActivePolicies(deployed, ActivationLog(engine), RevisionStore(engine))


def version_of(library: PolicyLibrary, pack: str, version: str) -> PolicyBundle:
    """The deployed version of the pack.

    Raises:
        UnknownVersionError: there is none; the text lists those there are.
    """
    deployed = library.deployed(pack)
    for each in deployed:
        if each.pack.version == version:
            return each
    known = ", ".join(each.pack.version for each in deployed) or "none"
    msg = f"pack {pack!r} has no version {version!r} here; its versions are: {known}"
    raise UnknownVersionError(msg)


def roll_back(engine: "Engine", policies: ActivePolicies, change: Change) -> PolicyActivation:
    """Let another version decide the tasks that begin from now on; running ones keep theirs.

    Raises:
        UnknownPackError, UnknownVersionError: nothing has the name.
        ActivationConflictError: it decides already, something else is active than was seen,
            the version is not released, or the ledger keeps no such bundle.
        ActivationRefusedError: ``change.by`` is no owner.
    """
    log = ActivationLog(engine)
    # Read before what is active, so that an entry in between is a conflict.
    latest, library = log.latest().get(change.pack), policies.now()
    active = library.active(change.pack)
    chosen = version_of(library, change.pack, change.version)
    if fault := _fault(change, active, chosen, library):
        raise ActivationConflictError(fault)
    entry = PolicyActivation(
        number=latest.number + 1 if latest else 1,
        policy=_as_stored(engine, chosen),
        replaced=_as_stored(engine, active),
        newest_version=library.deployed(change.pack)[-1].pack.version,
        activated_by=change.by,
        reason=change.reason,
        activated_at=change.at,
    )
    log.append(entry)
    return entry


def _fault(
    change: Change, active: PolicyBundle, chosen: PolicyBundle, library: PolicyLibrary
) -> str:
    """Why the change cannot be made now, in words; empty where it can."""
    of_pack = f"of pack {change.pack!r}"
    if change.seen_sha256 not in (None, active.sha256):
        return (
            f"version {active.pack.version} {of_pack} is active by now, and not what was shown; "
            "look at it and decide again"
        )
    if chosen.pack_sha256 in library.unreleased:
        return (
            f"version {change.version} {of_pack} is not released; ask the releasing authority for "
            "a release of it"
        )
    if chosen.sha256 == active.sha256:
        return f"version {change.version} {of_pack} decides already; name another"
    return ""


def dry_run(engine: "Engine", bundle: PolicyBundle, last: int = DECISIONS_DEFAULT) -> Replan:
    """What ``bundle`` would have decided otherwise of its pack's last tasks; nothing is written."""
    return replan(recorded(engine, bundle.pack.pack, last), bundle)


def recorded(engine: "Engine", pack: str, last: int) -> list[Decided]:
    """The first decisions of the pack's last tasks, with the rules that made them."""
    records = first_decisions(engine, pack, last)
    bundles = {
        sha256: _stored(engine, sha256)
        for sha256 in {each.plan.policy.bundle_sha256 for each in records}
    }
    return [
        Decided(each.task_id, each.input, each.plan, bundles[each.plan.policy.bundle_sha256])
        for each in records
    ]


def _stored(engine: "Engine", bundle_sha256: str) -> PolicyBundle | None:
    text = RevisionStore(engine).find(bundle_sha256)
    return PolicyBundle.model_validate_json(text) if text is not None else None


def _as_stored(engine: "Engine", bundle: PolicyBundle) -> PolicyRef:
    """The bundle where the ledger has it; else its version as workers last stored it.

    A command reads the documents with its own host profile, and workers with theirs.
    """
    refs = [each for each in RevisionStore(engine).list() if each.pack_sha256 == bundle.pack_sha256]
    if bundle.ref in refs or not refs:
        return bundle.ref
    return refs[-1]
