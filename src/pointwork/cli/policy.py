"""``pointwork policy``: validate, list and show policy packs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pointwork.cli import policy_change, policy_rollback, policy_seal, policy_test
from pointwork.cli.deployment import load_policy, policies_folder
from pointwork.cli.errors import CliError
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.policy_lists import ceiling, show_approved, show_ceilings
from pointwork.cli.policy_named import named_bundle
from pointwork.cli.policy_tables import show_switches, show_tables
from pointwork.cli.screen import OK, Screen, facts, listed, table, usd

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.documents.pack import Pack

app = typer.Typer(help="Check and read policy packs.", no_args_is_help=True)
app.command("seal")(policy_seal.seal)
app.command("diff")(policy_change.diff)
app.command("plan")(policy_change.plan)
app.command("test")(policy_test.run_cases)
app.command("rollback")(policy_rollback.rollback)
app.command("activations")(policy_rollback.activations)


@app.command()
def validate(
    path: Annotated[Path | None, typer.Argument(help="A pack's document.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every document.")] = False,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Check a pack, or every document: the first thing that is wrong, with file and line."""
    from pointwork.policy.documents.load import load_pack

    if (path is None) != every:
        raise CliError("PATH and --all are both given or both missing", "give one of them")
    folder = policies_folder(policies_dir)
    if path is not None:
        checked = [(str(path), load_pack(path, folder, host))]
    else:
        checked = list(_every_bundle(folder))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"valid": True, "checked": [_row(*each) for each in checked]})
    rows = table("PACK", "VERSION", "HOST", "MODELS", "SHA-256", right=["MODELS"])
    for _, bundle in checked:
        pack = bundle.pack
        models, digest = str(len(bundle.models)), bundle.pack_sha256[:12]
        rows.add_row(pack.pack, pack.version, bundle.host.host, models, digest)
    screen.show(rows)
    return screen.say("Every document is valid.", OK)


def _every_bundle(folder: Path) -> Iterator[tuple[str, "PolicyBundle"]]:
    """Every version of every pack, with every host profile."""
    from pointwork.policy.documents.load import load_library

    profiles = sorted((folder / "hosts").glob("*.yaml"))
    if not profiles:
        raise CliError(f"{folder / 'hosts'} holds no host profile", "add hosts/<name>.yaml")
    for profile in profiles:
        for bundle in load_library(folder, profile.stem).all():
            yield f"{bundle.pack.pack}/{bundle.pack.version}.yaml", bundle


def _row(name: str, bundle: "PolicyBundle") -> dict[str, object]:
    return {
        "document": name,
        "host": bundle.host.host,
        "models": sorted(bundle.models),
        **bundle.ref.model_dump(mode="json"),
    }


@app.command("list")
def list_packs(
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """The packs, and which version of each decides new tasks."""
    library = load_policy(policies_dir, host, state_dir)
    active = {library.active(pack).sha256 for pack in library.packs}
    bundles = sorted(library.all(), key=lambda each: (each.pack.pack, each.pack.effective))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            [{**_row("", each), "active": each.sha256 in active} for each in bundles]
        )
    rows = table("PACK", "VERSION", "EFFECTIVE", "STATE", "CLASSES", "SHA-256", right=["CLASSES"])
    for each in bundles:
        pack, state = each.pack, "active" if each.sha256 in active else "not active"
        since, classes = pack.effective.isoformat(), str(len(pack.classes))
        rows.add_row(pack.pack, pack.version, since, state, classes, each.pack_sha256[:12])
    return screen.show(rows)


@app.command()
def show(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="PACK, PACK@VERSION, path or hash.")],
    approved: Annotated[
        bool, typer.Option("--approved", help="Private models approved for sensitive content.")
    ] = False,
    ceilings: Annotated[
        bool, typer.Option("--ceilings", help="The most a task may cost, by class and family.")
    ] = False,
    tables: Annotated[
        bool, typer.Option("--table", help="The tables of the pack's source document.")
    ] = False,
    switches: Annotated[
        bool, typer.Option("--switches", help="What the pack says where packs differ.")
    ] = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """A pack's classes with their routes and ceilings, its budgets, marks and task types.

    A past version is found among the documents or in the ledger.
    """
    bundle = named_bundle("PACK", pack, policies_dir=policies_dir, host=host, state_dir=state_dir)
    screen = Screen(as_json=as_json)
    if approved:
        return show_approved(screen, bundle)
    if ceilings:
        return show_ceilings(screen, bundle)
    if tables:
        return show_tables(screen, bundle)
    if switches:
        return show_switches(screen, bundle)
    if as_json:
        policy = bundle.ref.model_dump(mode="json")
        return screen.document({"policy": policy, "pack": bundle.pack.model_dump(mode="json")})
    screen.show(facts([*_header(bundle), *policy_rollback.put_in_force(bundle, state_dir)]))
    screen.line()
    screen.show(_classes(bundle.pack))
    screen.line()
    return screen.show(facts(_limits(bundle.pack)))


def _header(bundle: "PolicyBundle") -> list[tuple[str, str]]:
    pack = bundle.pack
    return [
        ("pack", f"{pack.pack} {pack.version}, effective {pack.effective.isoformat()}"),
        ("what", pack.change.what),
        ("why", pack.change.why),
        ("approver", pack.change.approver),
        ("SHA-256", bundle.pack_sha256),
    ]


def _classes(pack: "Pack") -> Table:
    """A row a rung, of the default route and then of each rule: who may serve, and up to what."""
    from pointwork.policy.documents.routes import families_of

    routes = "FAMILIES AND CEILINGS"
    rows = table("CLASS", "RUNG OR RULE", routes, shrink=[routes])
    for name, row in pack.classes.items():
        rungs = [(str(number), rung) for number, rung in enumerate(row.rungs, start=1)]
        rungs += [(rule.trigger, rung) for rule in row.routes for rung in rule.rungs]
        for place, (label, rung) in enumerate(rungs):
            shown = "" if place and label == rungs[place - 1][0] else label
            rows.add_row(name if place == 0 else "", shown, _amounts(pack, name, families_of(rung)))
    return rows


def _amounts(pack: "Pack", task_class: str, families: Sequence[str]) -> str:
    """Each family with its ceiling; one amount for all where it is the same."""
    amounts = {family: ceiling(pack, task_class, family) for family in families}
    if len(amounts) > 1 and len(set(amounts.values())) == 1:
        return f"{listed(amounts)} {usd(amounts[families[0]])} each"
    return listed(f"{family} {usd(amount)}" for family, amount in amounts.items())


_SCOPES = {
    "pack": "the pack",
    "caller": "each caller",
    "vendor": "each vendor",
    "model": "each model",
}


def _limits(pack: "Pack") -> list[tuple[str, str]]:
    own = "the class's own route"
    return [
        *(("budget", f"{usd(b.limit)} a {b.period} for {_SCOPES[b.scope]}") for b in pack.budgets),
        ("sensitive", f"served by {listed(pack.privacy.sensitive_route, empty=own)}"),
        ("egress", pack.privacy.egress_default.replace("_", " ")),
        *(
            [("volume", f"{pack.high_volume_items} items or more stay local")]
            if pack.high_volume_items
            else []
        ),
        ("local marks", listed(pack.local_marks)),
        *(("task types", f"{name}: {to}") for name, to in pack.task_types.items()),
    ]
