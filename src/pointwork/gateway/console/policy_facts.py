"""What the pages of policies show: versions, routes in brief, the order in force, the log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

from pointwork.contract.activation import PolicyActivation
from pointwork.contract.overlay import Overlay
from pointwork.ledger.activations import ActivationLog
from pointwork.ledger.overlays import OverlayEntry, OverlayLog
from pointwork.ledger.policies import RevisionStore
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from pointwork.policy.documents.routes import families_of
from pointwork.policy.engine.approved_routes import approved_routes
from pointwork.policy.engine.overlay import reordered
from pointwork.policy.reading.difference import RuleChange, difference
from pointwork.policy.reading.route_words import rule_words, rungs_words

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.gateway.app import Gateway


@dataclass(frozen=True)
class PackLine:
    """A pack in the list of packs."""

    active: PolicyBundle
    newest: PolicyBundle
    since: datetime | None
    """From when it decides; None where no worker ever started with it."""
    by: str
    versions: int
    is_chosen: bool
    """An owner put it in force, rather than its deployment."""
    is_revision: bool
    """Written over the API; no deployed document has its version."""


@dataclass(frozen=True)
class Version:
    """A deployed version of a pack."""

    bundle: PolicyBundle
    kept_since: datetime | None
    is_active: bool


@dataclass(frozen=True)
class ClassLine:
    """A class of a pack: who serves it, in the order of its rungs, and the rules that lead away."""

    name: str
    route: str
    rules: tuple[str, ...]
    ceiling_nano_usd: int | None


@dataclass(frozen=True)
class Order:
    """The promote/demote overlay of a pack that may have one."""

    current: Overlay | None
    history: Sequence[OverlayEntry]
    moved: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]
    """Class, its order now, and the pack's own."""


@dataclass(frozen=True)
class PolicyFacts:
    """One pack, seen at one of its versions."""

    shown: PolicyBundle
    active: PolicyBundle
    versions: tuple[Version, ...]
    """The newest first."""
    classes: tuple[ClassLine, ...]
    order: Order | None
    log: Sequence[PolicyActivation]
    changes: tuple[RuleChange, ...]
    """From the version it supersedes to the one shown; empty where that one is not deployed."""


def pack_lines(gateway: "Gateway") -> list[PackLine]:
    rules, standing = gateway.policies.now(), gateway.policies.standing()
    kept = RevisionStore(gateway.engine).kept_since()
    lines = []
    for pack in rules.packs:
        active, deployed, entry = rules.active(pack), rules.deployed(pack), standing.get(pack)
        versions = {version for name, version in kept if name == pack}
        lines.append(
            PackLine(
                active=active,
                newest=deployed[-1],
                since=entry.activated_at if entry else kept.get((pack, active.pack.version)),
                by=entry.activated_by if entry else active.pack.change.approver,
                versions=len(versions | {each.pack.version for each in deployed}),
                is_chosen=entry is not None,
                is_revision=not rules.is_deployed(pack, active.pack.version),
            )
        )
    return lines


def policy_facts(engine: "Engine", rules: PolicyLibrary, shown: PolicyBundle) -> PolicyFacts:
    """Everything about the pack of ``shown``, and that version in brief."""
    pack, deployed = shown.pack.pack, rules.deployed(shown.pack.pack)
    active, kept = rules.active(pack), RevisionStore(engine).kept_since(pack)
    before = next((e for e in deployed if e.pack.version == shown.pack.supersedes), None)
    return PolicyFacts(
        shown=shown,
        active=active,
        versions=tuple(
            Version(each, kept.get((pack, each.pack.version)), each.sha256 == active.sha256)
            for each in reversed(deployed)
        ),
        classes=tuple(_class_lines(shown)),
        order=_order(engine, active),
        log=ActivationLog(engine).history(pack),
        changes=difference(before, shown) if before else (),
    )


def by_group(changes: Sequence[RuleChange]) -> list[tuple[str, list[RuleChange]]]:
    """The changes under the name of their group, in the order they stand in."""
    return [(group, list(found)) for group, found in groupby(changes, attrgetter("group"))]


def _class_lines(bundle: PolicyBundle) -> Iterator[ClassLine]:
    pack = bundle.pack
    for name, row in pack.classes.items():
        cells = pack.ceilings.get(name, {})
        families = {family for rung in row.rungs for family in families_of(rung)}
        found = [cells.get(family, row.ceiling or 0) for family in families]
        yield ClassLine(
            name=name,
            route=rungs_words(row.rungs),
            rules=tuple(rule_words(each) for each in row.routes),
            ceiling_nano_usd=max(found) if found else row.ceiling,
        )


def _order(engine: "Engine", active: PolicyBundle) -> Order | None:
    """The order in force; None for a pack whose order changes only by a new version."""
    if active.pack.overlay is None:
        return None
    log, routes = OverlayLog(engine), approved_routes(active)
    history = log.history(active.pack.pack)
    current = history[0].overlay if history else None
    orders = [(name, reordered(name, own, current), own) for name, own in routes.items()]
    return Order(current, history, tuple(each for each in orders if each[1] != each[2]))
