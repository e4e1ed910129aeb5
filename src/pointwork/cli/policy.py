"""``pointwork policy``: validate, list and show policy packs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pointwork.cli import policy_seal
from pointwork.cli.deployment import load_policy, policies_folder
from pointwork.cli.errors import CliError
from pointwork.cli.options import HOST_DEFAULT, AsJson, HostName, PoliciesDir
from pointwork.cli.screen import OK, Screen, facts, listed, table, usd

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.pack import Pack

app = typer.Typer(help="Check and read policy packs.", no_args_is_help=True)
app.command("seal")(policy_seal.seal)


@app.command()
def validate(
    path: Annotated[Path | None, typer.Argument(help="A pack's document.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Check every document.")] = False,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Check a pack, or every document: the first thing that is wrong, with file and line."""
    from pointwork.policy.load import load_pack

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
    from pointwork.policy.load import load_library

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
    policies_dir: PoliciesDir = None, host: HostName = HOST_DEFAULT, as_json: AsJson = False
) -> None:
    """The packs, and which version of each decides new tasks."""
    library = load_policy(policies_dir, host)
    active = {library.active(pack).sha256 for pack in library.packs}
    bundles = sorted(library.all(), key=lambda each: (each.pack.pack, each.pack.effective))
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            [{**_row("", each), "active": each.sha256 in active} for each in bundles]
        )
    rows = table("PACK", "VERSION", "EFFECTIVE", "STATE", "CLASSES", "SHA-256", right=["CLASSES"])
    for each in bundles:
        pack, state = each.pack, "active" if each.sha256 in active else "retired"
        since, classes = pack.effective.isoformat(), str(len(pack.classes))
        rows.add_row(pack.pack, pack.version, since, state, classes, each.pack_sha256[:12])
    return screen.show(rows)


@app.command()
def show(
    pack: Annotated[str, typer.Argument(help="Name of the pack.")],
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """A pack's classes with their routes and ceilings, its budgets, marks and task types."""
    bundle = load_policy(policies_dir, host).active(pack)
    screen = Screen(as_json=as_json)
    if as_json:
        policy = bundle.ref.model_dump(mode="json")
        return screen.document({"policy": policy, "pack": bundle.pack.model_dump(mode="json")})
    screen.show(facts(_header(bundle)))
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
    """A row a rung: the families that may serve it, each with the most a task may cost there."""
    routes = "FAMILIES AND CEILINGS"
    rows = table("CLASS", "RUNG", routes, right=["RUNG"], shrink=[routes])
    for name, row in pack.classes.items():
        for number, rung in enumerate(row.rungs, start=1):
            cells = [f"{family} {usd(pack.ceilings[name][family])}" for family in rung]
            rows.add_row(name if number == 1 else "", str(number), ", ".join(cells))
    return rows


_SCOPES = {
    "pack": "the pack",
    "caller": "each caller",
    "vendor": "each vendor",
    "model": "each model",
}


def _limits(pack: "Pack") -> list[tuple[str, str]]:
    return [
        *(("budget", f"{usd(b.limit)} a {b.period} for {_SCOPES[b.scope]}") for b in pack.budgets),
        ("sensitive", f"served by {listed(pack.privacy.sensitive_route)}"),
        ("egress", pack.privacy.egress_default.replace("_", " ")),
        ("volume", f"{pack.high_volume_items} items or more stay local"),
        ("local marks", listed(pack.local_marks)),
        *(("task types", f"{name}: {to}") for name, to in pack.task_types.items()),
    ]
