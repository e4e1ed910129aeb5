"""``pointwork overlay``: what measured results moved in a pack's order, and would move next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.deployment import load_policy, open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.person import check_owner
from pointwork.cli.screen import OK, Screen, age, listed, table
from pointwork.contract.overlay import OPTIMIZER

if TYPE_CHECKING:
    from pointwork.contract.overlay import Overlay, OverlayChange
    from pointwork.ledger.overlays import OverlayLog
    from pointwork.policy.engine.overlay import OverlayRules

app = typer.Typer(help="Read, apply and undo promote/demote overlays.", no_args_is_help=True)

PackName = Annotated[str, typer.Argument(metavar="PACK", help="Name of the pack.")]


@app.command()
def show(
    pack: PackName,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """The order of every class that moved, and each version with who made it and why."""
    subject = _subject(pack, policies_dir, host, state_dir)
    history = subject.log.history(pack)
    current = history[0].overlay if history else None
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            {
                "pack": pack,
                "current": current.model_dump(mode="json") if current else None,
                "orders": {name: list(order) for name, order in subject.orders(current)},
                "history": [
                    {"by": each.created_by, **each.overlay.model_dump(mode="json")}
                    for each in history
                ],
            }
        )
    if not history:
        return screen.say(f"Pack {pack} stands in its own order; nothing ever moved it.")
    _show_orders(screen, subject, current)
    screen.line()
    rows = table("VERSION", "SINCE", "BY", "WHY", right=["VERSION"], shrink=["WHY"])
    for each in history:
        since = each.overlay.created_at.isoformat(timespec="seconds")
        rows.add_row(str(each.overlay.version), since, each.created_by, each.overlay.reason)
    return screen.show(rows)


@app.command()
def propose(
    pack: PackName,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """What the results of the last window would move, and why; nothing is written."""
    subject = _subject(pack, policies_dir, host, state_dir)
    current = subject.log.current(pack)
    now = datetime.now(UTC)
    change = subject.change(current, now)
    _tell(Screen(as_json=as_json), subject, change, current, now)


@app.command("apply")
def apply_change(
    pack: PackName,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Put the proposal in force, as the identity `optimizer`, within the pack's own bounds."""
    subject = _subject(pack, policies_dir, host, state_dir)
    current = subject.log.current(pack)
    now = datetime.now(UTC)
    change = subject.change(current, now)
    if change is not None:
        subject.log.append(change, by=OPTIMIZER, pack_allows_overlay=True, now=now)
    screen = Screen(as_json=as_json)
    _tell(screen, subject, change, current, now)
    if change is not None and not as_json:
        screen.say(f"Version {change.overlay.version} is in force.", OK)


@app.command()
def revert(
    pack: PackName,
    by: Annotated[str, typer.Option("--by", help="Who goes back; needs a key on this machine.")],
    to_version: Annotated[
        int, typer.Option("--to", min=0, help="Version to go back to; 0 is the pack's own order.")
    ] = 0,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Put an earlier order in force again, as a new version."""
    subject = _subject(pack, policies_dir, host, state_dir)
    check_owner(state_dir, by)
    change = subject.log.revert(
        pack, to_version, by=by, pack_allows_overlay=True, now=datetime.now(UTC)
    )
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(change.model_dump(mode="json"))
    _show_orders(screen, subject, change.overlay)
    return screen.say(
        f"Version {change.overlay.version} is in force, with the order of version {to_version}.",
        OK,
    )


@dataclass(frozen=True)
class _Subject:
    """One pack that may have an overlay, and the ledger that has it."""

    pack: str
    rules: "OverlayRules"
    routes: Mapping[str, Sequence[str]]
    log: "OverlayLog"
    state_dir: Path

    def change(self, current: "Overlay | None", now: datetime) -> "OverlayChange | None":
        from pointwork.ledger.model_windows import ModelWindows
        from pointwork.policy.engine.overlay import next_overlay, window_bounds

        starts_at, ends_at = window_bounds(self.rules, current, now)
        windows = ModelWindows(open_ledger(self.state_dir)).read(starts_at, ends_at, pack=self.pack)
        return next_overlay(self.rules, self.pack, self.routes, current, windows, now)

    def orders(self, overlay: "Overlay | None") -> list[tuple[str, tuple[str, ...]]]:
        """Each class whose order is not the pack's own, with its order now."""
        from pointwork.policy.engine.overlay import reordered

        orders = [(name, reordered(name, self.routes[name], overlay)) for name in self.routes]
        return [(name, order) for name, order in orders if order != tuple(self.routes[name])]


def _subject(pack: str, policies_dir: Path | None, host: str, state_dir: Path) -> _Subject:
    from pointwork.ledger.overlays import OverlayLog
    from pointwork.policy.engine.approved_routes import approved_routes

    bundle = load_policy(policies_dir, host, state_dir).active(pack)
    rules = bundle.pack.overlay
    if rules is None:
        raise CliError(
            f"pack {pack!r} has no field overlay, so its order changes only by a new version",
            "name a pack that has one",
        )
    return _Subject(
        pack, rules, approved_routes(bundle), OverlayLog(open_ledger(state_dir)), state_dir
    )


def _tell(
    screen: Screen,
    subject: _Subject,
    change: "OverlayChange | None",
    current: "Overlay | None",
    now: datetime,
) -> None:
    from pointwork.policy.engine.overlay import is_cooling_down

    if screen.as_json:
        return screen.document(change.model_dump(mode="json") if change else None)
    if change is not None:
        _show_orders(screen, subject, change.overlay)
        for event in change.events:
            screen.say(event.sentence)
        return None
    if current is not None and is_cooling_down(subject.rules, current, now):
        since = age((now - current.created_at).total_seconds())
        left = f"the cool-down is {age(subject.rules.cooldown_seconds)}"
        return screen.say(f"Nothing moves: the last change is {since} old and {left}.")
    rules = subject.rules
    return screen.say(
        f"Nothing moves: no model with {rules.requests_min} calls or more is below "
        f"{rules.demote_below} or from {rules.promote_at} on with room to move."
    )


def _show_orders(screen: Screen, subject: _Subject, overlay: "Overlay | None") -> None:
    rows = table("CLASS", "ORDER", "THE PACK'S OWN", shrink=["ORDER", "THE PACK'S OWN"])
    moved = subject.orders(overlay)
    for name, order in moved:
        rows.add_row(name, listed(order), listed(subject.routes[name]))
    if moved:
        screen.show(rows)
    else:
        screen.line("Every class stands in the pack's own order.")
