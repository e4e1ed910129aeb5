"""``pointwork policy rollback`` and ``policy activations``: going back to an earlier version."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.approvals import check_reason
from pointwork.cli.deployment import deployed_policy, ledger_of_activations, open_ledger
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.person import check_owner
from pointwork.cli.screen import FAIL, OK, WARN, Screen, table

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.reading.difference import RuleChange
    from pointwork.policy.reading.replan import Replan

PackName = Annotated[str, typer.Argument(metavar="PACK", help="Name of the pack.")]
To = Annotated[str, typer.Option("--to", metavar="VERSION", help="Version that is to decide.")]
By = Annotated[str, typer.Option("--by", help="An owner, who has a key on this machine.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why, in 8 to 500 characters; it is recorded.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and stop.")]


def rollback(
    pack: PackName,
    to: To,
    by: By,
    reason: Reason,
    dry_run: DryRun = False,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Let another version of a pack decide new tasks, at once and in every process.

    Running tasks keep the version they began with. Shows first what changes, and whether the text
    of recorded tasks would cross a privacy tier. A later version is named the same way.
    """
    from pointwork import rollback as going_back
    from pointwork.policy.reading.difference import difference

    check_reason(reason)
    check_owner(state_dir, by)
    engine, deployed = open_ledger(state_dir), deployed_policy(policies_dir, host)
    policies = going_back.active_policies(engine, deployed)
    active = policies.now().active(pack)
    chosen = going_back.version_of(deployed, pack, to)
    screen = Screen(as_json=as_json)
    if not as_json:
        found = going_back.dry_run(engine, chosen)
        _show_effects(screen, active, chosen, difference(active, chosen), found)
    if chosen.pack.release_required:
        screen.note("The version asks for a release; production takes it only with one (SP-52).")
    if dry_run:
        return screen.note("Nothing was changed.")
    change = going_back.Change(
        pack=pack,
        version=to,
        by=by,
        reason=reason.strip(),
        at=datetime.now(UTC),
        seen_sha256=active.sha256,
    )
    entry = going_back.roll_back(engine, policies, change)
    if as_json:
        return screen.document(entry.model_dump(mode="json"))
    screen.say(f"Version {to} of {pack} decides every task that begins from now on.", OK)
    return screen.note(
        "Running tasks keep their version; approvals that wait are asked anew, naming this one."
    )


def put_in_force(bundle: "PolicyBundle", state_dir: Path) -> list[tuple[str, str]]:
    """Who let this version decide, as a line of facts; nothing where nobody had to."""
    from pointwork.ledger.activations import ActivationLog

    engine = ledger_of_activations(state_dir)
    entry = ActivationLog(engine).latest().get(bundle.pack.pack) if engine else None
    if entry is None or entry.policy.pack_sha256 != bundle.pack_sha256:
        return []
    since = entry.activated_at.isoformat(timespec="seconds")
    told = f"{since} by {entry.activated_by}, instead of {entry.replaced.version}: {entry.reason}"
    return [("in force", told)]


def activations(
    pack: PackName,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Who put which version of a pack in force, when and why, latest first."""
    from pointwork.ledger.activations import ActivationLog

    deployed_policy(policies_dir, host).active(pack)
    entries = ActivationLog(open_ledger(state_dir)).history(pack)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document([each.model_dump(mode="json") for each in entries])
    if not entries:
        return screen.say(f"Nobody ever rolled pack {pack} back; its newest version decides.")
    rows = table("NUMBER", "SINCE", "FROM", "TO", "BY", "WHY", right=["NUMBER"], shrink=["WHY"])
    for each in entries:
        since = each.activated_at.isoformat(timespec="seconds")
        versions = (each.replaced.version, each.policy.version)
        rows.add_row(str(each.number), since, *versions, each.activated_by, each.reason)
    return screen.show(rows)


def _show_effects(
    screen: Screen,
    active: "PolicyBundle",
    chosen: "PolicyBundle",
    changes: "tuple[RuleChange, ...]",
    found: "Replan",
) -> None:
    """What a person should know first; `policy diff` and `policy plan` say all of it."""
    from pointwork.policy.reading.difference import signed_usd

    pack = active.pack.pack
    private = [each for each in changes if each.is_privacy]
    screen.say(
        f"From {pack} {active.pack.version} to {chosen.pack.version}: {len(changes)} rules change, "
        f"{len(private)} of them privacy-relevant."
    )
    for each in private:
        screen.say(f"{each.sentence} [privacy]", WARN)
    screen.say(
        f"Of the last {found.decisions} recorded tasks {found.effect_changes} would end otherwise "
        f"and {found.first_changes} go to another model: {signed_usd(found.delta_nano_usd)}, in "
        "estimates of the first call."
    )
    for crossing in found.crossings:
        screen.say(f"{crossing.task_id}: {crossing.sentence}", FAIL)
    crossing_tasks = len({each.task_id for each in found.crossings})
    if crossing_tasks:
        screen.say(f"The text of {crossing_tasks} of them would cross a privacy tier.", FAIL)
