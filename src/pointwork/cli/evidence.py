"""What ``pointwork run`` takes from files and pairs: the facts a task states about itself."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointwork.cli.errors import CliError
from pointwork.cli.spec import read_block, read_risk
from pointwork.contract.task import GateResult

if TYPE_CHECKING:
    from pointwork.contract.task import SpecFacts
    from pointwork.policy.bundle import PolicyBundle

DIFF_LINES = "diff_lines"
"""The measure that a diff is counted into, where the pack knows it."""
_NAME_CHARACTERS_MAX = 128


def parse_measures(pairs: Sequence[str]) -> dict[str, Decimal]:
    """The measures of ``NAME=VALUE`` pairs.

    Raises:
        CliError: a pair is none, its value is no number, or a name is given twice.
    """
    found: dict[str, Decimal] = {}
    for pair in pairs:
        name, sign, value = (part.strip() for part in pair.partition("="))
        try:
            number = Decimal(value)
        except InvalidOperation:
            number = Decimal("NaN")
        if not (name and sign) or not number.is_finite():
            remedy = "give NAME=NUMBER, such as diff_lines=120"
            raise CliError(f"--measure {pair[:60]!r} is not allowed", remedy)
        if name in found:
            raise CliError(f"--measure {name!r} is given twice", "give it once")
        found[name] = number
    return found


def parse_gates(pairs: Sequence[str]) -> tuple[GateResult, ...]:
    """The results of ``STAGE.GATE=pass`` and ``STAGE.GATE=fail``.

    Raises:
        CliError: a pair is none.
    """
    found = []
    for pair in pairs:
        name, _, said = (part.strip() for part in pair.partition("="))
        stage, _, gate = name.partition(".")
        if not (stage and gate) or said not in ("pass", "fail"):
            remedy = (
                "give STAGE.GATE=pass or STAGE.GATE=fail, as implementer.compiler_and_tests=pass"
            )
            raise CliError(f"--gate {pair[:60]!r} is not allowed", remedy)
        found.append(GateResult(stage=stage, gate=gate, passed=said == "pass"))
    return tuple(found)


def gather(
    bundle: "PolicyBundle", marks: Sequence[str], measures: Sequence[str], diff: Path | None
) -> dict[str, Any]:
    """Marks and measures of the declaration: those given, and those the diff shows.

    Raises:
        CliError: a measure is no pair, the diff cannot be read, or the pack says nothing of diffs.
    """
    stated, counted = list(marks), parse_measures(measures)
    if diff is not None:
        pack = bundle.pack
        if not pack.high_risk_groups:
            problem = f"--diff is given and pack {pack.pack} {pack.version} has no high_risk_groups"
            raise CliError(problem, "leave it out, or use a pack that has them")
        if str(diff) == "-":
            raise CliError("--diff - is not a file", "give the file of the diff")
        if DIFF_LINES in counted:
            problem = f"--diff and --measure {DIFF_LINES} are both given"
            raise CliError(problem, "give one of them; the diff is counted")
        found = read_risk(str(diff), pack.high_risk_groups)
        stated += [group.code for group in found.groups]
        if pack.facts is None or DIFF_LINES in pack.facts.measures:
            counted[DIFF_LINES] = Decimal(found.changed_lines)
    return {"marks": tuple(stated), "measures": counted}


def spec_facts(bundle: "PolicyBundle", file: Path | None) -> "SpecFacts | None":
    """What the specification in ``file`` says of models; None where there is none.

    Raises:
        CliError: it cannot be read or used, or the pack says nothing of specs.
    """
    if file is None:
        return None
    rules = bundle.pack.spec
    if rules is None:
        problem = f"--spec is given and pack {bundle.pack.pack} {bundle.pack.version} has no spec"
        raise CliError(problem, "leave it out, or use a pack that reads specs")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", file.stem).lstrip("-._")[:_NAME_CHARACTERS_MAX]
    return read_block(file, rules).facts(name or "spec")
