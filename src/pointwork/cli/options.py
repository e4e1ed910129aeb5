"""Options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

STATE_DIR_DEFAULT = Path(".pointwork")

AsJson = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document.")]
StateDir = Annotated[
    Path,
    typer.Option(
        "--state-dir",
        envvar="POINTWORK_STATE_DIR",
        help="Folder that holds the ledger, the keys and the models.",
    ),
]
PoliciesDir = Annotated[
    Path | None,
    typer.Option(
        "--policies-dir",
        envvar="POINTWORK_POLICIES_DIR",
        help="Folder of the policy packs; by default the deployment's own.",
        show_default=False,
    ),
]
HostName = Annotated[str, typer.Option("--host", help="Host profile the models are taken from.")]
TaskIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the task.")]
HOST_DEFAULT = "embedded"
Since = Annotated[str | None, typer.Option(metavar="DATE", help="First day, UTC, as 2026-03-31.")]
Until = Annotated[str | None, typer.Option(metavar="DATE", help="Last day, UTC, included.")]
