"""``pointwork policy diff`` and ``policy plan``: what a change of the rules says, and would do."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from pointwork.cli.deployment import load_policy, open_ledger
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import (
    HOST_DEFAULT,
    STATE_DIR_DEFAULT,
    AsJson,
    HostName,
    PoliciesDir,
    StateDir,
)
from pointwork.cli.policy_named import named_bundle
from pointwork.cli.screen import FAIL, OK, WARN, Screen, facts, listed, table

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.reading.replan import Decided, Replan

SAME, DIFFERENT = 0, 1
"""Exit codes of ``policy diff``, as those of diff(1)."""
CROSSES = 2
"""Exit code of ``policy plan`` where a task would cross a privacy tier; bad input is 64 there."""
LAST_DEFAULT = 200

_NAMED = "PACK, PACK@VERSION, a document's path, or the beginning of a hash."
Before = Annotated[str, typer.Argument(metavar="A", help=_NAMED)]
After = Annotated[str, typer.Argument(metavar="B", help="The same of the other side.")]
New = Annotated[str, typer.Argument(metavar="NEW", help=_NAMED)]
Last = Annotated[int, typer.Option("--last", min=1, max=100_000, help="Tasks, the latest first.")]
FactsPath = Annotated[
    Path | None,
    typer.Option("--facts", help="Situations instead: a .jsonl file, or a folder of .yaml files."),
]
Against = Annotated[
    str | None,
    typer.Option("--against", help="Rules to compare with for --facts; else what NEW supersedes."),
]


def diff(
    a: Before,
    b: After,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """The changed rules from A to B, in words. Exits with 0 where they are the same, else 1."""
    from pointwork.policy.reading.difference import difference

    places: dict[str, Any] = {"policies_dir": policies_dir, "host": host, "state_dir": state_dir}
    before, after = named_bundle("A", a, **places), named_bundle("B", b, **places)
    changes = difference(before, after)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(
            {
                "a": before.ref.model_dump(mode="json"),
                "b": after.ref.model_dump(mode="json"),
                "same": not changes,
                "changes": [asdict(each) for each in changes],
            }
        )
    elif not changes:
        screen.line(f"No rule differs between {_called(before)} and {_called(after)}.", OK)
    else:
        screen.line(f"From {_called(before)} to {_called(after)}:")
        pairs: list[tuple[str, str | Text]] = []
        for each in changes:
            mark = " [privacy]" if each.is_privacy else ""
            pairs.append((each.group, Text(each.sentence).append(mark, style=WARN)))
        screen.show(facts(pairs))
        private = sum(each.is_privacy for each in changes)
        told = f", {private} of them privacy-relevant" if private else ""
        screen.say(f"{_counted(len(changes), 'change')}{told}.")
    return DIFFERENT if changes else SAME


def plan(
    new: New,
    last: Last = LAST_DEFAULT,
    facts_path: FactsPath = None,
    against: Against = None,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Decide recorded tasks again under NEW: what would change, at what cost, and what would leave.

    Nothing is called and nothing written. Exits with 2 where the text of any task would be
    processed further out than before; bad input exits with 64 here.
    """
    from pointwork.policy.reading.replan import replan
    from pointwork.rollback import recorded

    places: dict[str, Any] = {"policies_dir": policies_dir, "host": host, "state_dir": state_dir}
    bundle = named_bundle("NEW", new, **places)
    if facts_path is not None:
        old = _against(bundle, against, places)
        decided, source = (
            _situations(facts_path, old, bundle),
            f"situations, decided by {_called(old)}",
        )
    elif against is not None:
        raise CliError("--against is given without --facts", "records name their own rules")
    else:
        decided = recorded(open_ledger(state_dir), bundle.pack.pack, last)
        source = "recorded decisions"
    found = replan(decided, bundle)
    screen = Screen(as_json=as_json)
    if as_json:
        crosses = bool(found.crossings)
        document = {"policy": bundle.ref.model_dump(mode="json"), "crosses": crosses}
        screen.document(document | asdict(found))
    else:
        _print(screen, found, bundle, source)
    return CROSSES if found.crossings else ExitCode.OK


def _called(bundle: "PolicyBundle") -> str:
    pack = bundle.pack
    return f"{pack.pack} {pack.version} ({bundle.sha256[:12]})"


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _against(new: "PolicyBundle", against: str | None, places: dict[str, Any]) -> "PolicyBundle":
    """The rules a situation is compared with: the named ones, else what NEW comes after."""
    pack = new.pack
    if against is not None:
        return named_bundle("--against", against, **places)
    if pack.supersedes is not None:
        try:
            return named_bundle("--against", f"{pack.pack}@{pack.supersedes}", **places)
        except CliError as error:
            raise CliError(
                f"NEW supersedes {pack.pack} {pack.supersedes}, which is not held here",
                "name other rules with --against",
            ) from error
    return load_policy(places["policies_dir"], places["host"], places["state_dir"]).active(
        pack.pack
    )


def _situations(path: Path, old: "PolicyBundle", new: "PolicyBundle") -> "list[Decided]":
    """Every situation, decided by ``old``; its task is named by its file or line."""
    from pointwork.policy.documents.strict_yaml import parse_document, read_document
    from pointwork.policy.proving.situation import Situation
    from pointwork.policy.reading.replan import decided_situation

    read: list[tuple[str, Situation]] = []
    if path.is_dir():
        read = [(each.stem, read_document(each, Situation)) for each in sorted(path.glob("*.yaml"))]
    elif path.is_file():
        for number, line in enumerate(_lines(path), start=1):
            if line.strip():
                # A line of JSON is a line of YAML, and the strict reader refuses the same traps.
                where = f"{path}:{number}"
                read.append((f"line {number}", parse_document(line, Situation, name=where)))
    else:
        raise CliError(f"--facts {path} does not exist", "give a .jsonl file or a folder")
    if not read:
        raise CliError(f"--facts {path} holds no situation", "add one a line, or .yaml files")
    return [decided_situation(name, each, old, new) for name, each in read]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        problem = f"--facts {path} is not UTF-8 at byte {error.start}"
        raise CliError(problem, "save it as UTF-8") from None


def _print(screen: Screen, found: "Replan", new: "PolicyBundle", source: str) -> None:
    from pointwork.policy.reading.difference import signed_usd

    if not found.decisions:
        return screen.line(f"No decision of pack {new.pack.pack} is recorded; nothing to compare.")
    screen.show(
        facts(
            [
                ("under", _called(new)),
                ("decided again", f"{found.decisions} {source}"),
                ("effect changes", str(found.effect_changes)),
                ("model changes", str(found.first_changes)),
                ("order changes", str(found.order_changes)),
                ("cost", f"{signed_usd(found.delta_nano_usd)}, in estimates of the first call"),
                *_limits(found),
            ]
        )
    )
    if found.routes:
        screen.line()
        _show_routes(screen, found)
    if found.privacy:
        screen.line()
        rows = table("TASK", "PRIVACY", "CROSSES", "CHANGE", shrink=["TASK", "CHANGE"])
        for each in found.privacy:
            crosses = "yes" if each.crosses else "no"
            rows.add_row(each.task_id, each.kind.replace("_", " "), crosses, each.sentence)
        screen.show(rows)
    screen.line()
    crossing = len({each.task_id for each in found.crossings})
    if crossing:
        tasks = _counted(crossing, "task")
        return screen.line(f"The text of {tasks} would cross a privacy tier.", FAIL)
    return screen.line("No task would cross a privacy tier.", OK)


def _limits(found: "Replan") -> Sequence[tuple[str, str]]:
    """What the comparison could not know."""
    pairs = []
    if found.rules_unknown:
        was = "was" if found.rules_unknown == 1 else "were"
        told = "made by rules that are not in this ledger; regions are not compared for them"
        decisions = _counted(found.rules_unknown, "decision")
        pairs.append(("unknown rules", f"{decisions} {was} {told}"))
    if found.assumed:
        told = "not recorded then; taken as present and healthy"
        pairs.append(("assumed", f"{listed(found.assumed)}: {told}"))
    return pairs


def _show_routes(screen: Screen, found: "Replan") -> None:
    from pointwork.policy.reading.difference import signed_usd

    figures = ["TASKS", "COST"]
    rows = table("CLASS", "FROM", "TO", *figures, right=figures)
    for each in found.routes:
        cells = [each.task_class, each.before, each.after]
        rows.add_row(*cells, str(each.tasks), signed_usd(each.delta_nano_usd))
    screen.show(rows)
