"""Each pack as the tables its source document is read by: what people check a pack against.

Models, sites, fallbacks, costs and ceilings come from the rules that decide; the rest is the
pack's own words.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pointwork.contract.decision import Lane, MoveKind
from pointwork.contract.money import format_usd
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.routes import (
    LaneRule,
    PlainRung,
    RouteRule,
    Rung,
    TaskClass,
    families_of,
)
from pointwork.policy.reading.route_words import condition_words

_NONE = "—"


@dataclass(frozen=True)
class SeedTable:
    """One table; ``rows`` hold a cell for each of ``columns``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def seed_tables(bundle: PolicyBundle) -> tuple[SeedTable, ...]:
    """The tables of the bundle's pack, with the models that this host gives it."""
    match bundle.pack.rank:
        case "cheapest_sufficient":
            return (_families(bundle),)
        case "role_table":
            return (_roles(bundle),)
        case "priority":
            return _policies(bundle), _task_types(bundle)
        case "cheapest_safe_lane":
            return _lanes(bundle), _profiles(bundle), _responsibilities(bundle)


def _families(bundle: PolicyBundle) -> SeedTable:
    """Default routing table: one row a family (OM-21 to OM-25)."""
    columns = ("Model class", "Default for", "Use when", "Cost", "Capability")
    rows = tuple(
        (
            family.title or name,
            ", ".join(family.default_for),
            ", ".join(family.use_when),
            family.cost_class.replace("_", " to "),
            family.capability,
        )
        for name, family in bundle.pack.families.items()
    )
    return SeedTable("Default routing table", columns, rows)


def _roles(bundle: PolicyBundle) -> SeedTable:
    """Model routing table: one row a role (CX-16 to CX-25)."""
    columns = ("Role", "Default", "Provider", "Site", "When local", "Fallback", "Constraints")
    rows = tuple(
        (
            row.title or name,
            _models(bundle, row.rungs[0]),
            _providers(bundle, row.rungs[0]),
            _site(bundle, row),
            row.table.get("when_local", _NONE),
            _fallback(bundle, row),
            row.table.get("constraints", _NONE),
        )
        for name, row in bundle.pack.classes.items()
    )
    return SeedTable("Model routing table", columns, rows)


def _members(bundle: PolicyBundle, rung: PlainRung | Rung) -> list[str]:
    """The models a rung begins with: of a host's own, its default and not its alternatives."""
    pack, by_family = bundle.pack, bundle.index.by_family
    found: list[str] = []
    for family in families_of(rung):
        names = [entry.name for entry in by_family[family]]
        found += names[:1] if pack.families[family].from_host else names
    return found


def _models(bundle: PolicyBundle, rung: PlainRung | Rung) -> str:
    return " / ".join(_members(bundle, rung)) or _NONE


def _providers(bundle: PolicyBundle, rung: PlainRung | Rung) -> str:
    """The makers of hosted models; a model of the house is the house's own."""
    entries = (bundle.index.by_name[name] for name in _members(bundle, rung))
    return " / ".join(dict.fromkeys("local" if e.is_local else e.vendor for e in entries)) or _NONE


def _site(bundle: PolicyBundle, row: TaskClass) -> str:
    lanes = [bundle.pack.families[family].lane for family in families_of(row.rungs[0])]
    if all(lane.rank <= Lane.LOCAL.rank for lane in lanes):
        return "local (attempt 1)" if _after_loops(row) else "local"
    return "cloud only" if row.cloud_only else "cloud"


def _fallback(bundle: PolicyBundle, row: TaskClass) -> str:
    """Where failures lead; else what an outage opens; else what only an escalation opens."""
    if stuck := _after_loops(row):
        return _in_order(bundle, stuck.rungs)
    if row.rungs[1:]:
        return _in_order(bundle, row.rungs[1:])
    escalated = [rule.rungs[0] for rule in row.routes if rule.kind is MoveKind.ESCALATION]
    if escalated:
        names = dict.fromkeys(n for rung in escalated for n in _members(bundle, rung))
        return f"{' / '.join(names)} (escalation only)"
    return _NONE


def _in_order(bundle: PolicyBundle, rungs: Iterable[PlainRung | Rung]) -> str:
    return " → ".join(_models(bundle, rung) for rung in rungs)


def _after_loops(row: TaskClass) -> RouteRule | None:
    """The rule that failed loops open."""
    looks = (rule for rule in row.routes if ("measure", "failed_loops") in rule.when.names)
    return next(looks, None)


def _policies(bundle: PolicyBundle) -> SeedTable:
    """The routing policies: one row a policy (JG-2 to JG-9)."""
    columns = (
        *("Policy", "Primary", "Fallback", "Max cost per task", "Max tokens", "Temperature"),
        "Use case",
    )
    rows = []
    for name, row in bundle.pack.classes.items():
        rungs = [model for rung in row.rungs for model in _members(bundle, rung)]
        cells = (
            row.title or name,
            rungs[0],
            " → ".join(rungs[1:]) or _NONE,
            _NONE if row.ceiling is None else format_usd(row.ceiling),
            str(row.max_output_tokens or _NONE),
            _NONE if row.temperature is None else str(row.temperature),
            row.table.get("use_case", ", ".join(row.covers)),
        )
        rows.append(cells)
    return SeedTable("Default routing policies", columns, tuple(rows))


def _task_types(bundle: PolicyBundle) -> SeedTable:
    rows = tuple(bundle.pack.task_types.items())
    return SeedTable("Task type mapping", ("Task type", "Policy"), rows)


def _lanes(bundle: PolicyBundle) -> SeedTable:
    """The lanes, cheapest first (SP-14 to SP-20)."""
    columns = ("Lane", "Models", "Context", "Tools", "Latency", "Opens with")
    pack, rows = bundle.pack, []
    for lane, rule in pack.lanes.items():
        entries = [entry.name for entry in bundle.index.entries if entry.lane is lane]
        entries.sort(key=lambda name: bundle.index.by_name[name].place)
        limit, latency = rule.context_tokens_max, rule.latency_ms_max
        cells = (
            rule.called,
            ", ".join(entries) or _NONE,
            "no text limit" if limit is None else f"{limit} tokens",
            ", ".join(rule.tools) or _NONE,
            _NONE if latency is None else f"{latency} ms",
            _key(rule, hosted=lane.rank > Lane.LOCAL.rank and pack.privacy.hosted_needs_approval),
        )
        rows.append(cells)
    return SeedTable("Lanes", columns, tuple(rows))


def _key(rule: LaneRule, *, hosted: bool) -> str:
    """What opens a lane; a lane that asks for nothing is open."""
    asked = [condition_words(rule.opens_when)] if rule.opens_when else []
    asked += ["egress receipt", "policy approval"] if hosted else []
    asked += ["escalation reason"] if rule.guard.needs_reason else []
    asked += ["receipt for it"] if rule.guard.needs_receipt else []
    asked += ["known quota"] if rule.guard.needs_known_quota else []
    return ", ".join(asked) or "open"


def _profiles(bundle: PolicyBundle) -> SeedTable:
    """The imported local profiles of this host, its default first (SP-6, SP-31)."""
    rows = []
    for family in bundle.pack.families.values():
        if not family.from_host:
            continue
        for place, name in enumerate(bundle.host.local_models):
            model = bundle.models[name].model
            needs = model.host_needs
            use = f"{', '.join(family.default_for)} default"
            if place:
                room = f" with {needs.free_memory_mb} MB free" if needs else ""
                use = f"quality fallback{room}"
            rows.append((model.profile or name, name, use))
    return SeedTable("Local profiles", ("Profile", "Model", "Use"), tuple(rows))


def _responsibilities(bundle: PolicyBundle) -> SeedTable:
    rows = tuple(bundle.pack.responsibilities.items())
    return SeedTable("Responsibilities", ("Repo", "Responsibility"), rows)
