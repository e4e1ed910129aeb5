"""``pointwork policy test``: decide every case of a pack, and count the rules they are about."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.deployment import policies_folder
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import AsJson, PoliciesDir
from pointwork.cli.screen import FAIL, OK, Screen, table

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyLibrary
    from pointwork.policy.proving.rule_coverage import Coverage

Packs = Annotated[
    list[str] | None, typer.Argument(metavar="[PACK]...", help="All packs if none is named.")
]


def run_cases(
    packs: Packs = None,
    rules: Annotated[bool, typer.Option("--rules", help="List every rule with its cases.")] = False,
    policies_dir: PoliciesDir = None,
    as_json: AsJson = False,
) -> int:
    """Decide the cases under cases/PACK, and show which rules no case fires or just misses."""
    folder = policies_folder(policies_dir)
    found = _run(folder, packs or [])
    whole = all(each.is_whole for each in found.values())
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document({"whole": whole, **{pack: _document(c) for pack, c in found.items()}})
        return ExitCode.OK if whole else ExitCode.BAD_POLICY
    for pack, coverage in found.items():
        _show(screen, pack, coverage, with_rules=rules)
    if whole:
        screen.say("Every case decides as it says, and every rule is fired and just missed.", OK)
    every = list(found.values())
    cases, failed = sum(len(c.results) for c in every), sum(len(c.failed) for c in every)
    count = sum(len(c.rules) for c in every)
    fired = count - sum(len(c.not_fired) for c in every)
    missed = count - sum(len(c.not_missed) for c in every)
    screen.line(f"cases={cases} failed={failed} fired={fired}/{count} missed={missed}/{count}")
    return ExitCode.OK if whole else ExitCode.BAD_POLICY


def _run(folder: Path, packs: list[str]) -> dict[str, "Coverage"]:
    from pointwork.policy.proving.cases import read_cases
    from pointwork.policy.proving.rule_coverage import coverage_of

    libraries = _libraries(folder)
    names = packs or list(next(iter(libraries.values())).packs)
    found = {}
    for pack in names:
        bundles = {host: library.active(pack) for host, library in libraries.items()}
        cases = {path.stem: case for path, case in read_cases(folder / "cases" / pack).items()}
        found[pack] = coverage_of(cases, bundles)
    return found


def _libraries(folder: Path) -> dict[str, "PolicyLibrary"]:
    from pointwork.policy.documents.load import load_library

    hosts = sorted(path.stem for path in (folder / "hosts").glob("*.yaml"))
    if not hosts:
        raise CliError(f"{folder / 'hosts'} holds no host profile", "add hosts/<name>.yaml")
    return {host: load_library(folder, host) for host in hosts}


def _show(screen: Screen, pack: str, coverage: "Coverage", *, with_rules: bool) -> None:
    for result in coverage.failed:
        screen.line(f"failed: {pack}/{result.name}.yaml", FAIL)
        for problem in result.problems:
            screen.line(f"  {problem}")
    if with_rules:
        rows = table("RULE", "FIRED", "MISSED", "SAYS", right=["FIRED", "MISSED"], shrink=["SAYS"])
        for rule in coverage.rules:
            fires = sum(rule.id in each.fires for each in coverage.results)
            misses = sum(rule.id in each.misses for each in coverage.results)
            rows.add_row(rule.id, str(fires), str(misses), rule.sentence)
        screen.show(rows)
        screen.line()
    for words, rules in (("fires", coverage.not_fired), ("just misses", coverage.not_missed)):
        for rule in rules:
            screen.line(f"no case of {pack} {words} {rule.id}: {rule.sentence}", FAIL)
    count = len(coverage.rules)
    fired, missed = count - len(coverage.not_fired), count - len(coverage.not_missed)
    held = len(coverage.results) - len(coverage.failed)
    screen.line(
        f"{pack}: {held} of {len(coverage.results)} cases hold; "
        f"rules fired {fired} of {count}, just missed {missed} of {count}"
    )


def _document(coverage: "Coverage") -> dict[str, object]:
    return {
        "cases": len(coverage.results),
        "failed": {each.name: list(each.problems) for each in coverage.failed},
        "rules": [
            {
                "id": rule.id,
                "sentence": rule.sentence,
                "fired_by": [each.name for each in coverage.results if rule.id in each.fires],
                "missed_by": [each.name for each in coverage.results if rule.id in each.misses],
            }
            for rule in coverage.rules
        ],
    }
