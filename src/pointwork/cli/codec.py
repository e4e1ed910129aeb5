"""``pointwork codec``: the keys of what Temporal stores (docs/operating/payload-codec.md)."""

from pathlib import Path
from typing import Annotated

import typer

from pointwork.cli.options import AsJson
from pointwork.cli.screen import OK, Screen

app = typer.Typer(help="Keys that encrypt what Temporal stores.")

KeysFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the keys.")]


@app.command("new-key")
def new_key(file: KeysFile, as_json: AsJson = False) -> None:
    """Make a file with one random key, readable by you alone. One that exists is left alone."""
    from pointwork.ledger.payload_keys import create_payload_keys

    key_id = create_payload_keys(file)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"file": str(file), "active": key_id})
    screen.line(f"{file} holds the new key {key_id}.", OK)
    screen.say("Back it up: without it no running task goes on, and no history replays.")
    return screen.say(f"Use it with `pointwork --payload-keys {file} up`.")


@app.command()
def rotate(file: KeysFile, as_json: AsJson = False) -> None:
    """Add a random key that encrypts from now on. Older keys stay, so that all stays readable."""
    from pointwork.ledger.payload_keys import rotate_payload_keys

    key_id = rotate_payload_keys(file)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document({"file": str(file), "active": key_id})
    screen.line(f"{file} holds the new key {key_id}, which encrypts from now on.", OK)
    return screen.say("Processes that use this file take it up by themselves; back it up again.")
