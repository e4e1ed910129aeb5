"""``pointwork vault``: master keys, what the vault holds, and what retention takes next."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.approvals import As
from pointwork.cli.deployment import open_ledger
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.owner import OWNER
from pointwork.cli.person import check_owner
from pointwork.cli.screen import OK, WARN, Screen, facts, table
from pointwork.cli.vault_place import existing_master_key, open_store

if TYPE_CHECKING:
    from pointwork.ledger.master_keys import MasterKeys
    from pointwork.ledger.retention import Retention
    from pointwork.ledger.rotation import Rotation

app = typer.Typer(help="Master keys, and what the vault holds and for how long.")

_SOON = (timedelta(0), timedelta(days=1), timedelta(days=7))
_SOON_WORDS = ("now", "within_a_day", "within_a_week")


@app.command()
def rotate(
    stage: Annotated[
        bool, typer.Option("--stage", help="Only add a key to the file, to be copied elsewhere.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="KEY_ID", help="A key of the file, instead of a new one."),
    ] = None,
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Wrap every task's data key under a new master key. Nothing has to stop for it.

    Cut short, it goes on with --to and the active key. Old keys stay in the file until retired.
    """
    from pointwork.ledger.engine import forget_old_pages
    from pointwork.ledger.master_key_file import activate_key, stage_key
    from pointwork.ledger.master_keys import MasterKeys
    from pointwork.ledger.rotation import Rotation

    if stage and to is not None:
        raise CliError("--stage adds a key and --to names one", "give one of the two")
    check_owner(state_dir, by)
    engine, path, now = open_ledger(state_dir), existing_master_key(state_dir), datetime.now(UTC)
    rotation, screen = Rotation(engine), Screen(as_json=as_json)
    _refuse_another_ledgers(MasterKeys.load(path), rotation.wrapped(), path)
    if stage:
        key_id = stage_key(path)
        rotation.staged(key_id, by, now)
        return _say_staged(screen, path, key_id)
    keys = activate_key(path, to or stage_key(path))
    rotation.activated(keys, by, now)
    rewrapped = unopened = 0
    for batch in rotation.rewrap(keys, by, now):
        rewrapped, unopened = rewrapped + batch.rewrapped, unopened + batch.unopened
        screen.note(f"{rewrapped} data keys wrapped anew")
    forget_old_pages(engine)
    if as_json:
        figures = {"rewrapped": rewrapped, "unopened": unopened}
        return screen.document({"file": str(path), "active": keys.active, **figures})
    screen.line(f"{keys.active} wraps from now on; {rewrapped} data keys wrapped anew.", OK)
    if unopened:
        screen.line(f"{unopened} data keys open with no key of {path}; see `vault status`.", WARN)
    screen.say(f"Back up {path} now: older copies do not open what was wrapped since.")
    return screen.say("`pointwork vault retire KEY_ID` lets an old key go that wraps nothing.")


@app.command()
def retire(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="See `pointwork vault status`.")],
    by: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Take an old master key out of the file, once it wraps nothing any more."""
    from pointwork.ledger.master_key_file import remove_key
    from pointwork.ledger.master_keys import MasterKeys
    from pointwork.ledger.rotation import Rotation

    check_owner(state_dir, by)
    engine, path, now = open_ledger(state_dir), existing_master_key(state_dir), datetime.now(UTC)
    keys = MasterKeys.load(path)
    if key_id == keys.active:
        problem = f"{key_id} is the active master key"
        raise CliError(problem, "`pointwork vault rotate` puts another in its place first")
    if key_id not in keys.keys:
        held = ", ".join(sorted(keys.keys))
        raise CliError(f"{path} holds no key {key_id!r}", f"it holds {held}")
    # The ledger first: from then on nothing can be wrapped under it, whoever still has it.
    Rotation(engine).retire(key_id, by, now)
    remove_key(path, key_id)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"file": str(path), "retired": key_id, "active": keys.active})
    screen.line(f"{key_id} is retired by {by}.", OK)
    return screen.say(
        "Destroy its copies in backups too: then older backups of the ledger cannot be read either."
    )


@app.command()
def status(
    retention: Annotated[
        str | None,
        typer.Option(
            "--retention-days",
            envvar="POINTWORK_CONTENT_RETENTION_DAYS",
            help='As the workers have it: {"public": 90, "internal": null}.',
            show_default=False,
        ),
    ] = None,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Keys and what each wraps, contents by age, what retention takes next."""
    from pointwork.ledger.master_keys import MasterKeys
    from pointwork.ledger.rotation import Rotation
    from pointwork.ledger.vault_status import contents_by_age, due, key_counts

    kept_for = _retention(retention)
    engine, now = open_ledger(state_dir), datetime.now(UTC)
    path = existing_master_key(state_dir)
    counts = key_counts(engine)
    coming = due(engine, kept_for, now, _SOON)
    document: dict[str, Any] = {
        "file": str(path),
        "store": open_store(engine).place,
        "master_keys": _key_rows(MasterKeys.load(path), Rotation(engine)),
        "tasks": {"readable": counts.live, "erased": counts.erased},
        "contents": [
            {
                "days_max": each.days_max,
                "contents": each.contents,
                "bytes": each.bytes_count,
                "in_store": each.in_store,
            }
            for each in contents_by_age(engine, now)
        ],
        "retention_days": {level.value: days for level, days in kept_for.days.items()},
        "retention_takes": {
            **{word: count for word, (_, count) in zip(_SOON_WORDS, coming.within, strict=True)},
            "later_or_never": coming.kept,
            "without_an_outcome": coming.unended,
        },
    }
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(document)
    return _show(screen, document)


def _refuse_another_ledgers(keys: "MasterKeys", wrapped: Mapping[str, int], path: Path) -> None:
    """A file that opens nothing of this ledger is another's, and a rotation would mix them."""
    if wrapped and not keys.keys.keys() & wrapped.keys():
        raise CliError(
            f"{path} holds none of the master keys of this ledger ({', '.join(sorted(wrapped))})",
            "set POINTWORK_MASTER_KEY_FILE as the workers have it",
            ExitCode.UNAVAILABLE,
        )


def _say_staged(screen: Screen, path: Path, key_id: str) -> None:
    if screen.as_json:
        return screen.document({"file": str(path), "staged": key_id})
    screen.line(f"{path} holds the new key {key_id}, which wraps nothing yet.", OK)
    screen.say("Copy the file to every host that opens content, and back it up.")
    return screen.say(f"Then run `pointwork vault rotate --to {key_id}`.")


def _key_rows(keys: "MasterKeys", rotation: "Rotation") -> list[dict[str, Any]]:
    wrapped, superseded = rotation.wrapped(), rotation.superseded()
    return [
        {
            "key_id": key_id,
            "state": _state(key_id, keys, superseded),
            "data_keys": wrapped.get(key_id, 0),
        }
        for key_id in sorted({*keys.keys, *wrapped})
    ]


def _state(key_id: str, keys: "MasterKeys", superseded: Mapping[str, datetime | None]) -> str:
    if key_id not in keys.keys:
        return "not in the file"
    if key_id == keys.active:
        return "active"
    return "old" if key_id in superseded else "staged"


def _retention(days: str | None) -> "Retention":
    from pointwork.ledger.retention import Retention, parse_days

    try:
        return Retention.over_defaults(parse_days(days) if days else {})
    except ValueError as error:
        problem, _, remedy = f"POINTWORK_CONTENT_RETENTION_DAYS {error}".partition("; ")
        raise CliError(problem, remedy) from None


def _show(screen: Screen, document: Mapping[str, Any]) -> None:
    keys = table("MASTER KEY", "STATE", "DATA KEYS", right=["DATA KEYS"])
    for each in document["master_keys"]:
        keys.add_row(each["key_id"], each["state"], str(each["data_keys"]))
    screen.show(keys)
    screen.line()
    figures = ["CONTENTS", "BYTES", "IN THE STORE"]
    ages = table("AGE", *figures, right=figures)
    for each in document["contents"]:
        words = "older" if each["days_max"] is None else f"up to {each['days_max']} d"
        ages.add_row(words, *(str(each[name]) for name in ("contents", "bytes", "in_store")))
    screen.show(ages)
    screen.line()
    days = ", ".join(
        f"{level} {'for ever' if kept is None else f'{kept} d'}"
        for level, kept in document["retention_days"].items()
    )
    taken = ", ".join(
        f"{count} {word.replace('_', ' ')}" for word, count in document["retention_takes"].items()
    )
    tasks = document["tasks"]
    screen.show(
        facts(
            [
                ("tasks", f"{tasks['readable']} readable, {tasks['erased']} erased"),
                ("store", document["store"]),
                ("kept for", f"{days}; undeclared as restricted"),
                ("to be erased", taken),
            ]
        )
    )
    if any(each["state"] == "not in the file" for each in document["master_keys"]):
        screen.say(f"{document['file']} lacks a key: restore it from a backup.", WARN)
