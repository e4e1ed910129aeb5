"""The ``pointwork`` command: its commands, and the one place where errors become sentences."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from pointwork.cli import (
    access,
    approvals,
    audit,
    budget,
    bulk,
    choose,
    codec,
    costs,
    decide,
    demo,
    doctor,
    erase,
    explain,
    gpu,
    incident,
    models,
    overlay,
    override,
    person,
    policy,
    privacy,
    retrieve,
    route_task,
    spec,
    tasks,
    up,
    vault,
    version,
)
from pointwork.cli.deployment import ledger_elsewhere
from pointwork.cli.errors import ExitCode, describe, expected_errors
from pointwork.cli.payload_keys import payload_keys_given
from pointwork.cli.screen import Screen
from pointwork.cli.vault_place import vault_given
from pointwork.garbage import collect_seldom
from pointwork.leaving import leave

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
    app.add_typer(bulk.app, name="bulk")
    app.command("decide")(decide.decide)
    app.command("list")(tasks.list_tasks)
    app.command("show")(tasks.show)
    app.command("explain")(explain.explain)
    app.command("cancel")(tasks.cancel)
    app.command("inbox")(approvals.inbox)
    app.command("approve")(approvals.approve)
    app.command("deny")(approvals.deny)
    app.command("choose")(choose.choose)
    app.add_typer(costs.app, name="costs")
    app.add_typer(audit.app, name="audit")
    app.add_typer(policy.app, name="policy")
    app.add_typer(overlay.app, name="overlay")
    app.add_typer(override.app, name="override")
    app.add_typer(incident.app, name="incident")
    app.add_typer(person.app, name="person")
    app.add_typer(access.app, name="access")
    app.add_typer(budget.app, name="budget")
    app.add_typer(spec.app, name="spec")
    app.add_typer(models.app, name="models")
    app.add_typer(gpu.app, name="gpu")
    app.add_typer(retrieve.app, name="corpus")
    app.add_typer(privacy.app, name="privacy")
    app.add_typer(codec.app, name="codec")
    app.command("retrieve")(retrieve.retrieve)
    app.add_typer(vault.app, name="vault")
    app.command("erase")(erase.erase)
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
    payload_keys: Annotated[
        Path | None,
        typer.Option(
            "--payload-keys",
            envvar="POINTWORK_PAYLOAD_KEYS",
            help="Keys that encrypt what Temporal stores, made by `pointwork codec new-key`.",
            show_default=False,
        ),
    ] = None,
    plaintext_accepted: Annotated[
        bool,
        typer.Option(
            "--accept-plaintext-payloads",
            envvar="POINTWORK_PAYLOAD_PLAINTEXT_ACCEPTED",
            help="Also read what was written before there were keys, from whoever wrote it.",
        ),
    ] = False,
    # The workers read the same variables, so these are no options that one would give by hand.
    vault_url: Annotated[
        str | None, typer.Option("--vault-url", envvar="POINTWORK_VAULT_URL", hidden=True)
    ] = None,
    vault_options: Annotated[
        str | None, typer.Option("--vault-options", envvar="POINTWORK_VAULT_OPTIONS", hidden=True)
    ] = None,
    vault_inline_bytes: Annotated[
        int | None,
        typer.Option("--vault-inline-bytes", envvar="POINTWORK_VAULT_INLINE_BYTES", hidden=True),
    ] = None,
    master_key_file: Annotated[
        Path | None,
        typer.Option("--master-key-file", envvar="POINTWORK_MASTER_KEY_FILE", hidden=True),
    ] = None,
) -> None:
    context.with_resource(ledger_elsewhere(ledger_url))
    context.with_resource(payload_keys_given(payload_keys, accepts_plaintext=plaintext_accepted))
    context.with_resource(
        vault_given(
            url=vault_url,
            options=vault_options,
            inline_bytes=vault_inline_bytes,
            master_key_file=master_key_file,
        )
    )


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
    collect_seldom()
    leave(main(sys.argv[1:]))
