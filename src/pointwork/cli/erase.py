"""``pointwork erase``: the text of tasks is gone for good; their records stay and still verify."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.approvals import As, Reason, check_reason
from pointwork.cli.deployment import open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.owner import OWNER
from pointwork.cli.person import check_owner
from pointwork.cli.screen import OK, WARN, Screen
from pointwork.cli.vault_place import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointwork.ledger.erasure import Eraser, Erasure, Standing

_NAMED_MAX = 3


def erase(
    reason: Reason,
    task_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of the tasks.")
    ] = None,
    caller: Annotated[
        str | None, typer.Option("--caller", help="Every task of this caller; needs --yes.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --caller: it is meant.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also tasks that may run; they end without an answer.")
    ] = False,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Destroy the keys of tasks: nobody can read their text again, nor prove a guess at it."""
    from pointwork.ledger.erasure import Eraser

    check_reason(reason)
    check_owner(state_dir, by)
    if bool(task_ids) == (caller is not None):
        raise CliError("it is not clear which tasks", "give ids, or --caller without ids")
    engine = open_ledger(state_dir)
    eraser = Eraser(engine, open_store(engine))
    found = _named(eraser, task_ids) if task_ids else _of_caller(eraser, caller or "")
    live = [each for each in found if not each.is_erased]
    _refuse_running(live, force)
    if caller is not None and live and not yes:
        problem = f"this would erase the content of {len(live)} tasks of {caller} for good"
        raise CliError(problem, "give --yes if that is meant; nothing was erased")
    erased = eraser.erase(
        [each.task_id for each in live],
        datetime.now(UTC),
        by=by,
        reason=reason.strip(),
        even_if_running=force,
    )
    _show(Screen(as_json=as_json), erased, len(found) - len(live), by)


def _named(eraser: "Eraser", task_ids: "Sequence[str]") -> "list[Standing]":
    wanted = list(dict.fromkeys(task_ids))
    found = eraser.standing(wanted)
    unknown = sorted(set(wanted) - {each.task_id for each in found})
    if unknown:
        problem = f"no task {unknown[0]!r} is in the vault"
        raise CliError(problem, "see `pointwork list`; nothing was erased")
    return found


def _of_caller(eraser: "Eraser", caller: str) -> "list[Standing]":
    found = eraser.of_caller(caller)
    if not found:
        problem = f"no task of caller {caller!r} is in the vault"
        raise CliError(problem, "callers are told apart by case; nothing was erased")
    return found


def _refuse_running(live: "Sequence[Standing]", force: bool) -> None:
    running = [each.task_id for each in live if not each.has_ended]
    if not running or force:
        return
    names = ", ".join(running[:_NAMED_MAX]) + (", ..." if len(running) > _NAMED_MAX else "")
    raise CliError(
        f"{len(running)} of the tasks have no outcome and may run ({names})",
        "end them with `pointwork cancel ID`, or give --force; nothing was erased",
    )


def _show(screen: Screen, erased: "Erasure", erased_before: int, by: str) -> None:
    done = [each for each in erased.tasks if not each.was_erased]
    contents = sum(each.contents for each in done)
    if screen.as_json:
        return screen.document(
            {
                "erased": [each.task_id for each in done],
                "contents": contents,
                "erased_before": erased_before + len(erased.tasks) - len(done),
                "erased_by": by,
                "objects_deleted": erased.are_objects_deleted,
                "old_pages_forgotten": erased.are_pages_forgotten,
            }
        )
    screen.line(f"Erased by {by}: {len(done)} tasks with {contents} contents.", OK)
    if erased_before:
        screen.note(f"Erased before: {erased_before}.")
    if not erased.are_objects_deleted:
        screen.say("Sealed bytes are left in the store; the sweep takes them away.", WARN)
    if not erased.are_pages_forgotten:
        screen.say("A reader keeps old pages of the ledger; run this again a little later.", WARN)
    return None
