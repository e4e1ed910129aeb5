"""The ``pointwork`` command: its commands, and the one place where errors become sentences."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from pointwork.cli import (
    approvals,
    audit,
    budget,
    choose,
    costs,
    decide,
    demo,
    doctor,
    explain,
    models,
    overlay,
    policy,
    retrieve,
    route_task,
    spec,
    tasks,
    up,
    version,
)
from pointwork.cli.deployment import ledger_elsewhere
from pointwork.cli.errors import ExitCode, describe, expected_errors
from pointwork.cli.screen import Screen

_HELP = """Route LLM work durably, within policy and budget, and leave a record that replays.

Start with `pointwork up`; then `pointwork run "your task"` in another terminal.
"""


def build_app() -> typer.Typer:
    app = typer.Typer(
        name="pointwork",
        help=_HELP,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_everywhere)
    app.command("up")(up.up)
    app.command("demo")(demo.demo)
    app.command("run")(route_task.run)
    app.command("decide")(decide.decide)
    app.command("list")(tasks.list_tasks)
    app.command("show")(tasks.show)
    app.command("explain")(explain.explain)
    app.command("cancel")(tasks.cancel)
    app.command("approvals")(approvals.approvals)
    app.command("approve")(approvals.approve)
    app.command("reject")(approvals.reject)
    app.command("choose")(choose.choose)
    app.add_typer(costs.app, name="costs")
    app.add_typer(audit.app, name="audit")
    app.add_typer(policy.app, name="policy")
    app.add_typer(overlay.app, name="overlay")
    app.add_typer(budget.app, name="budget")
    app.add_typer(spec.app, name="spec")
    app.add_typer(models.app, name="models")
    app.add_typer(retrieve.app, name="corpus")
    app.command("retrieve")(retrieve.retrieve)
    app.command("doctor")(doctor.doctor)
    app.command("version")(version.version)
    return app


def _everywhere(
    context: typer.Context,
    ledger_url: Annotated[
        str | None,
        typer.Option(
            "--ledger-url",
            envvar="POINTWORK_LEDGER_URL",
            help="The ledger, where it is not in the state directory: postgresql://host/name.",
            show_default=False,
        ),
    ] = None,
) -> None:
    context.with_resource(ledger_elsewhere(ledger_url))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code. Expected errors are told in one sentence."""
    try:
        app = build_app()
        result = app(list(arguments) or ["--help"], prog_name="pointwork", standalone_mode=False)
    except (BrokenPipeError, SystemExit):
        # The reader of a pipe, such as `head`, has seen enough; the parser tells it by an exit.
        return ExitCode.OK
    except expected_errors() as error:
        code, message = describe(error, arguments)
        code = _of_command(code, arguments)
        screen = Screen(as_json="--json" in arguments)
        if screen.as_json:
            screen.document({"error": {"code": code.name.lower(), "message": message}})
        else:
            screen.error(message)
        return code
    return result if isinstance(result, int) else ExitCode.OK


def _of_command(code: ExitCode, arguments: Sequence[str]) -> ExitCode:
    """In `policy plan` 2 says that a task would cross a privacy tier, and nothing else may."""
    plans = tuple(arguments[:2]) == ("policy", "plan")
    return ExitCode.USAGE if plans and code is ExitCode.BAD_INPUT else code


def run() -> NoReturn:
    """The console script."""
    code = main(sys.argv[1:])
    with suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.stderr.flush()
    # A process that used a Temporal client can abort in interpreter shutdown with its work done.
    os._exit(code)
