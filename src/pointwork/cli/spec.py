"""``pointwork spec``: check what a spec says of models, and tell the risk of a change."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.deployment import load_policy
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.screen import FAIL, OK, Screen, facts, listed, shown, table

if TYPE_CHECKING:
    from pointwork.policy.documents.pack import Pack
    from pointwork.policy.specs.high_risk import ChangeRisk, HighRiskGroup
    from pointwork.policy.specs.spec_block import SpecBlock, SpecRules

_PACK = "codex"

app = typer.Typer(help="Check specs, and tell the risk of a change.", no_args_is_help=True)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The spec, a Markdown document.")],
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Check a spec's section on models: the first thing that is wrong, with file and line."""
    from pointwork.policy.specs.spec_block import SpecRules

    rules = getattr(_pack(policies_dir, host, state_dir), "spec", None)
    if not isinstance(rules, SpecRules):
        raise _silent_pack("spec")
    show_block(Screen(as_json=as_json), read_block(file, rules), file)


@app.command()
def risk(
    diff: Annotated[str, typer.Argument(metavar="DIFF", help="A unified diff; - reads stdin.")],
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Tell whether a change is High-Risk: the groups it falls into, and where."""
    groups = getattr(_pack(policies_dir, host, state_dir), "high_risk_groups", None)
    if not groups:
        raise _silent_pack("high_risk_groups")
    show_risk(Screen(as_json=as_json), read_risk(diff, groups))


def _pack(policies_dir: Path | None, host: str, state_dir: Path) -> "Pack":
    return load_policy(policies_dir, host, state_dir).active(_PACK).pack


def _silent_pack(field: str) -> CliError:
    return CliError(
        f"the pack {_PACK} says nothing under {field}", "add it to the pack", ExitCode.BAD_POLICY
    )


def read_block(file: Path, rules: "SpecRules") -> "SpecBlock":
    """The block of the spec in ``file``.

    Raises:
        CliError: the file cannot be read, or its block cannot be used; the exit code is that of a
            wrong document.
    """
    from pointwork.policy.specs.spec_block import SPEC_BYTES_MAX, SpecBlockError, parse_spec

    with file.open("rb") as opened:
        raw = opened.read(SPEC_BYTES_MAX + 1)
    if len(raw) > SPEC_BYTES_MAX:
        problem = f"{file}:1: text is over {SPEC_BYTES_MAX} bytes"
        raise CliError(problem, "shorten the spec", ExitCode.BAD_POLICY)
    try:
        return parse_spec(raw.decode("utf-8-sig"), rules, file=str(file))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        problem = f"{file}:{line}: byte {error.start} is not UTF-8"
        raise CliError(problem, "save it as UTF-8", ExitCode.BAD_POLICY) from None
    except SpecBlockError as error:
        raise CliError(error.problem, error.remedy, ExitCode.BAD_POLICY) from None


def read_risk(diff: str, groups: Mapping[str, "HighRiskGroup"]) -> "ChangeRisk":
    """The risk of the diff in the file ``diff``, or on stdin for ``-``.

    Raises:
        CliError: it is no complete unified diff, so that nothing can be told of it.
    """
    from pointwork.policy.specs.high_risk import change_risk
    from pointwork.policy.specs.unified_diff import DIFF_CHARACTERS_MAX, DiffError

    if diff == "-":
        raw = sys.stdin.buffer.read(4 * DIFF_CHARACTERS_MAX + 1)
    else:
        with Path(diff).open("rb") as opened:
            raw = opened.read(4 * DIFF_CHARACTERS_MAX + 1)
    try:
        # A diff holds its files' own bytes, in whatever encoding they are.
        return change_risk(raw.decode("utf-8", "replace"), groups)
    except DiffError as error:
        problem, _, remedy = str(error).partition("; ")
        raise CliError(f"{'stdin' if diff == '-' else diff}: {problem}", remedy) from None


def show_block(screen: Screen, block: "SpecBlock", file: Path) -> None:
    if screen.as_json:
        return screen.document({"valid": True, "file": str(file), **block.model_dump(mode="json")})
    form = "infrastructure-only" if block.infrastructure_only else "full"
    screen.show(
        facts(
            [
                ("spec", shown(str(file))),
                ("form", form),
                ("policy", block.policy_version),
                ("roles", listed(block.roles)),
                ("local only", "yes" if block.local_only else "no"),
                ("High-Risk", "yes" if block.high_risk else "no"),
                *(("overrides", shown(each)) for each in block.overrides or ("none",)),
                ("guardrails", listed(block.guardrails)),
            ]
        )
    )
    return screen.say("The spec's section is valid.", OK)


def show_risk(screen: Screen, found: "ChangeRisk") -> None:
    if screen.as_json:
        document = found.model_dump(mode="json")
        return screen.document({"high_risk": found.is_high_risk, **document})
    if found.groups:
        rows = table("GROUP", "WHERE", shrink=["WHERE"])
        for group in found.groups:
            for number, evidence in enumerate(group.evidence):
                rows.add_row("" if number else group.code, shown(evidence.place))
        screen.show(rows)
    size = f"{found.changed_lines} lines in {len(found.files)} files"
    if found.is_high_risk:
        return screen.say(f"High-Risk, {size}: cloud Architect and cloud Judge required.", FAIL)
    return screen.say(f"Not High-Risk, {size}.", OK)
