"""Which numbered requirements are proven by a test: `make coverage-of-requirements`.

Reads docs/requirements.tsv and every `@pytest.mark.req("OM-2")` under tests/, writes
docs/requirements-coverage.md and prints a summary. A mark with an unknown id is an error.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "docs/requirements.tsv"
TABLE = ROOT / "docs/requirements-coverage.md"
FAMILIES = {
    "OM": "Omega: model routing and execution orchestration",
    "CX": "Codex: model policy",
    "JG": "Juggernaut: smart routing",
    "LP": "The model-routing loop",
    "SP": "SocioProphet: model router",
    "DC": "Design card",
}
NOT_YET = "not yet"


class UnknownRequirementError(ValueError):
    """A test names a requirement that docs/requirements.tsv does not list."""


@dataclass(frozen=True)
class Requirement:
    """A row of docs/requirements.tsv."""

    text: str
    owner: str
    """The part that has to meet it, in the words of docs/architecture.md."""


@dataclass(frozen=True, order=True)
class Proof:
    """A test that says it proves a requirement."""

    path: str
    """Relative to the repository's root."""
    test: str


def requirements(source: Path = REQUIREMENTS) -> dict[str, Requirement]:
    """Every requirement by id, in the order of the file."""
    rows = [row.split("\t") for row in source.read_text().splitlines()[1:]]
    return {each: Requirement(text, owner) for each, owner, text in rows}


def proofs(tests: Path = ROOT / "tests") -> dict[str, list[Proof]]:
    """The tests that are marked with each id, without running or importing them."""
    found: defaultdict[str, list[Proof]] = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        name = path.relative_to(tests.parent).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_test(node):
                for requirement in _marks(node):
                    found[requirement].append(Proof(name, node.name))
    return {each: sorted(set(named)) for each, named in found.items()}


def _is_test(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return node.name.startswith("test_")


def _marks(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Ids in the decorators, those on single parameters of a parametrised test included."""
    for decorator in node.decorator_list:
        for part in ast.walk(decorator):
            if isinstance(part, ast.Call) and ast.unparse(part.func) == "pytest.mark.req":
                yield from (ast.literal_eval(argument) for argument in part.args)


def check(named: dict[str, Requirement], proven: dict[str, list[Proof]]) -> None:
    """
    Raises:
        UnknownRequirementError: the text names the id and the test.
    """
    for requirement, tests in sorted(proven.items()):
        if requirement not in named:
            where = f"{tests[0].path}::{tests[0].test}"
            known = f"{where} is marked with {requirement!r}, which {REQUIREMENTS.name} does not"
            raise UnknownRequirementError(f"{known} list; correct the mark")


def summary(
    named: dict[str, Requirement], proven: dict[str, list[Proof]]
) -> list[tuple[str, int, int]]:
    """Family, how many of its requirements a test proves, and how many there are."""
    rows = []
    for family in FAMILIES:
        ids = [each for each in named if each.partition("-")[0] == family]
        rows.append((family, sum(each in proven for each in ids), len(ids)))
    return rows


def by_owner(
    named: dict[str, Requirement], proven: dict[str, list[Proof]]
) -> list[tuple[str, int, int]]:
    """Owner, how many of its requirements a test proves, and how many there are."""
    rows = []
    for owner in sorted({each.owner for each in named.values()}):
        ids = [name for name, each in named.items() if each.owner == owner]
        rows.append((owner, sum(name in proven for name in ids), len(ids)))
    return rows


def table(named: dict[str, Requirement], proven: dict[str, list[Proof]]) -> str:
    """The whole of docs/requirements-coverage.md."""
    lines = [
        "# Requirements and the tests that prove them",
        "",
        "Written by `make coverage-of-requirements` from `requirements.tsv` and from the marks on",
        "the tests. A mark means that the requirement's acceptance check is met, not touched upon.",
        "",
        "| family | proven | of |",
        "|---|---:|---:|",
    ]
    lines += [f"| {family} | {done} | {of} |" for family, done, of in summary(named, proven)]
    lines += ["", "| owner | proven | of |", "|---|---:|---:|"]
    lines += [f"| {owner} | {done} | {of} |" for owner, done, of in by_owner(named, proven)]
    for family, title in FAMILIES.items():
        lines += ["", f"## {title}", ""]
        lines += ["| id | owner | requirement | proven by |", "|---|---|---|---|"]
        lines += [
            f"| {each} | {row.owner} | {row.text} | {_tests(proven.get(each, []))} |"
            for each, row in named.items()
            if each.partition("-")[0] == family
        ]
    return "\n".join(lines) + "\n"


def _tests(tests: list[Proof]) -> str:
    return "<br>".join(f"[{each.test}](../{each.path})" for each in tests) or NOT_YET


def main() -> None:
    named, proven = requirements(), proofs()
    try:
        check(named, proven)
    except UnknownRequirementError as error:
        sys.exit(str(error))
    TABLE.write_text(table(named, proven))
    rows = summary(named, proven)
    for family, done, of in rows:
        print(f"{family}  {done:3} of {of:3}  {FAMILIES[family]}")
    for owner, done, of in by_owner(named, proven):
        print(f"    {done:3} of {of:3}  {owner}")
    print("open: " + " ".join(each for each in named if each not in proven))
    print(f"proven={sum(row[1] for row in rows)} of={sum(row[2] for row in rows)}")


if __name__ == "__main__":
    main()
