"""``pointwork costs``: what was spent, on what, by whom and when; for people, CSV and JSON."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from pointwork.cli.deployment import open_ledger
from pointwork.cli.errors import CliError
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, Since, StateDir, Until
from pointwork.cli.screen import WARN, Screen, table, usd, usd_aligned

if TYPE_CHECKING:
    from pointwork.ledger.costs import CostReport, Costs, Days, OverrunRecord

app = typer.Typer(help="What tasks cost, and costs above their estimates.")

_BAR_CELLS = 24
_EIGHTHS = " ▏▎▍▌▋▊▉"


class By(StrEnum):
    """The same words as ``ledger.costs.CostBy``, which is not loaded for a help text."""

    MODEL = "model"
    VENDOR = "vendor"
    POLICY = "policy"
    PACK = "pack"
    CALLER = "caller"
    WORKER = "worker"
    TASK = "task"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


@app.callback(invoke_without_command=True)
def costs(
    context: typer.Context,
    by: Annotated[By, typer.Option("--by", help="What to add up by.")] = By.MODEL,
    since: Since = None,
    until: Until = None,
    pack: Annotated[str | None, typer.Option("--pack", help="Only this rule set's tasks.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="Most tasks or overruns.")
    ] = 20,
    output: Annotated[
        Format, typer.Option("--format", help="csv and json have exact nano-USD.")
    ] = Format.TABLE,
    estimates: Annotated[
        bool, typer.Option("--estimates", help="Estimates against bills, by model.")
    ] = False,
    overruns: Annotated[
        bool, typer.Option("--overruns", help="Calls that cost more than was held for them.")
    ] = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """What tasks cost; every figure is the ledger's own, and days are UTC."""
    if context.invoked_subcommand is not None:
        return None
    if estimates and overruns:
        raise CliError("--estimates and --overruns are both given", "give one of them")
    from pointwork.ledger.costs import CostBy, CostReport

    days = days_given(since, until)
    screen = Screen(as_json=as_json or output is Format.JSON)
    report = CostReport(open_ledger(state_dir))
    _check_pack(report, pack)
    if overruns:
        return _show_overruns(screen, output, report.overruns(days, pack, limit=limit))
    if estimates:
        return _show_estimates(screen, output, report.totals(CostBy.MODEL, days, pack))
    if by is By.TASK:
        found = report.dearest_tasks(days, pack, limit)
    else:
        found = report.totals(CostBy(by), days, pack)
    return _show_costs(screen, output, by, found, report.total(days, pack))


@app.command()
def review(
    part_id: Annotated[str, typer.Argument(metavar="PART", help="Part id of the overrun.")],
    by: Annotated[str, typer.Option("--by", help="Who has looked at it.")],
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Record that a person has looked at a cost above its hold; the first one stays on record."""
    from pointwork.ledger.costs import review_overrun

    if not by.strip() or not by.isprintable() or len(by) > 128:
        raise CliError(f"--by {by[:40]!r} is no name", "give one line of 1 to 128 characters")
    record = review_overrun(open_ledger(state_dir), part_id, by=by, now=datetime.now(UTC))
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(_overrun_document(record))
    else:
        at = record.reviewed_at.isoformat(timespec="seconds") if record.reviewed_at else ""
        screen.say(f"Overrun {part_id} was reviewed by {record.reviewed_by} at {at}.")


def days_given(since: str | None, until: str | None) -> "Days":
    from pointwork.ledger.costs import Days

    first, last = _day("--since", since), _day("--until", until)
    if first and last and first > last:
        raise CliError(f"--since {first} is after --until {last}", "give the earlier day first")
    return Days(since=first, until=last)


def _day(option: str, given: str | None) -> date | None:
    if given is None:
        return None
    try:
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        problem = f"{option} {given[:40]!r} is no date"
        raise CliError(problem, "give a day of the calendar as YYYY-MM-DD") from None


def _check_pack(report: "CostReport", pack: str | None) -> None:
    known = report.packs() if pack is not None else []
    if known and pack not in known:
        raise CliError(f"--pack {pack!r} has cost nothing here", f"use one of: {', '.join(known)}")


def _show_costs(
    screen: Screen, output: Format, by: By, found: "list[Costs]", total: "Costs"
) -> None:
    rows = [_costs_document(each) for each in found]
    if screen.as_json:
        return screen.document({"by": by, "costs": rows, "total": _costs_document(total)})
    if output is Format.CSV:
        return _csv(screen, rows, _COSTS_HEAD)
    if not found:
        return screen.say(_NOTHING)
    figures = ["CALLS", "COST", "AT LEAST", "INPUT", "OUTPUT"]
    drawn = ["SHARE"] if screen.out.is_terminal else []
    rows_shown = table(by.upper(), *figures, *drawn, right=figures, shrink=[by.upper()])
    most = max(each.cost_nano_usd for each in found)
    for each in found:
        rows_shown.add_row(*_cells(each), *(_bars(screen, each, most) if drawn else []))
    screen.show(rows_shown)
    screen.line()
    screen.line(f"{usd(total.cost_nano_usd)} in {total.calls} calls in all.")
    if by is By.TASK and total.calls:
        screen.note("The dearest of the tasks that ended on these days; see --limit.")
    if total.at_least_nano_usd:
        screen.note(
            f"{usd(total.at_least_nano_usd)} of it was never metered and is charged in full."
        )
    return None


def _show_estimates(screen: Screen, output: Format, found: "list[Costs]") -> None:
    rows = [_estimate_document(each) for each in found]
    if screen.as_json:
        return screen.document({"estimates": rows})
    if output is Format.CSV:
        return _csv(screen, rows, _ESTIMATES_HEAD)
    if not found:
        return screen.say(_NOTHING)
    figures = ["METERED", "ESTIMATED", "COST", "RATIO", "ABOVE"]
    rows_shown = table("MODEL", *figures, right=figures, shrink=["MODEL"])
    for each in found:
        above = each.above_estimate_calls
        rows_shown.add_row(
            each.name,
            str(each.metered_calls),
            usd_aligned(each.metered_estimate_nano_usd),
            usd_aligned(each.metered_cost_nano_usd),
            "-" if each.actual_to_estimate is None else f"{each.actual_to_estimate:.3f}",
            Text(str(above), style=WARN if above else ""),
        )
    screen.show(rows_shown)
    return screen.note(
        "RATIO is cost to estimate, of calls that answered at an exact cost; ABOVE counts every "
        "call above its estimate."
    )


def _show_overruns(screen: Screen, output: Format, found: "list[OverrunRecord]") -> None:
    rows = [_overrun_document(each) for each in found]
    if screen.as_json:
        return screen.document({"overruns": rows})
    if output is Format.CSV:
        return _csv(screen, rows, _OVERRUNS_HEAD)
    if not found:
        return screen.say("No call cost more than was held for it.")
    figures = ["HELD", "COST"]
    heads = ["PART", "TASK", "MODEL", *figures, "REVIEWED", "REASON"]
    rows_shown = table(*heads, right=figures, shrink=["PART", "TASK", "REASON"])
    for each in found:
        rows_shown.add_row(
            each.part_id,
            each.task_id,
            each.model,
            usd_aligned(each.held_nano_usd),
            usd_aligned(each.cost_nano_usd),
            each.reviewed_by or Text("no", style=WARN),
            each.reason,
        )
    return screen.show(rows_shown)


_NOTHING = (
    "Nothing was spent on these days; run a task with `pointwork run`, or leave out --since, "
    "--until and --pack."
)


def _cells(costs: "Costs") -> list[str]:
    return [
        costs.name or "-",
        str(costs.calls),
        usd_aligned(costs.cost_nano_usd),
        usd_aligned(costs.at_least_nano_usd),
        str(costs.input_tokens),
        str(costs.output_tokens),
    ]


def _bars(screen: Screen, costs: "Costs", most_nano_usd: int) -> list[Text]:
    return [Text(bar(costs.cost_nano_usd, most_nano_usd, screen.out.encoding), style="cyan")]


def bar(amount: int, most: int, encoding: str) -> str:
    """A bar as long as ``amount`` is of ``most``, in eighths of a cell where they can be shown."""
    eighths = amount * _BAR_CELLS * 8 // most if most else 0
    whole, rest = divmod(eighths, 8)
    if not encoding.lower().startswith("utf"):
        return "#" * whole
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


_COSTS_HEAD = (
    *("name", "calls", "cost_nano_usd", "cost_usd", "at_least_nano_usd", "estimate_nano_usd"),
    *("input_tokens", "output_tokens"),
)
_ESTIMATES_HEAD = (
    *("model", "metered_calls", "metered_estimate_nano_usd", "metered_cost_nano_usd"),
    *("actual_to_estimate", "above_estimate_calls", "calls"),
)
_OVERRUNS_HEAD = (
    *("part_id", "task_id", "model", "held_nano_usd", "cost_nano_usd", "cost_usd"),
    *("excess_nano_usd", "reason", "occurred_at", "reviewed_at", "reviewed_by"),
)


def _costs_document(costs: "Costs") -> dict[str, Any]:
    return _picked(asdict(costs) | {"cost_usd": _exact_usd(costs.cost_nano_usd)}, _COSTS_HEAD)


def _estimate_document(costs: "Costs") -> dict[str, Any]:
    ratio = costs.actual_to_estimate
    shown = None if ratio is None else round(ratio, 6)
    fields = asdict(costs) | {"model": costs.name, "actual_to_estimate": shown}
    return _picked(fields, _ESTIMATES_HEAD)


def _overrun_document(record: "OverrunRecord") -> dict[str, Any]:
    reviewed = record.reviewed_at.isoformat() if record.reviewed_at else None
    fields = asdict(record) | {
        "cost_usd": _exact_usd(record.cost_nano_usd),
        "occurred_at": record.occurred_at.isoformat(),
        "reviewed_at": reviewed,
    }
    return _picked(fields, _OVERRUNS_HEAD)


def _picked(fields: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: fields[name] for name in names}


def _exact_usd(amount_nano_usd: int) -> str:
    return usd_aligned(amount_nano_usd).removeprefix("$")


def _csv(screen: Screen, rows: Sequence[dict[str, Any]], head: Sequence[str]) -> None:
    """RFC 4180: a head, CRLF after every record, quotes where a value needs them."""
    written = io.StringIO()
    writer = csv.DictWriter(written, head)
    writer.writeheader()
    writer.writerows(rows)
    screen.out.file.write(written.getvalue())
