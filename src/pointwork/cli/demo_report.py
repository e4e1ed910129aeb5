"""What ``pointwork demo`` prints at its end: a table, the contract's log, and a document."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from pointwork.cli.replaying import Replayed
from pointwork.cli.route import STATUS_STYLES, result_document
from pointwork.cli.screen import Screen, milliseconds, table, usd, usd_aligned
from pointwork.contract.decision import DecisionRecord
from pointwork.contract.outcome import TaskOutcome
from pointwork.policy.reading.outcome_words import elapsed_ms

_ONE_LINE_COLUMNS = 118
"""From this width on a task takes one line of the table; below it takes two."""


@dataclass(frozen=True)
class DemoResult:
    """How one task ended, and in what that differs from what its document says."""

    name: str
    outcome: TaskOutcome
    record: DecisionRecord | None
    differences: tuple[str, ...]


def summary_line(outcome: TaskOutcome) -> str:
    """One sentence a task: how it ended, as what, by which model, for how much."""
    model = f" by {outcome.served_model}" if outcome.served_model else ""
    kind = f"{outcome.task_class or 'class unknown'}, {outcome.class_source}"
    took = milliseconds(elapsed_ms(outcome))
    return f"{outcome.status} ({kind}){model}, {usd(outcome.cost_nano_usd)}, {took}"


def print_results(screen: Screen, results: Sequence[DemoResult]) -> None:
    """The table, then the six-field log of the contract (OM-80)."""
    from pointwork.ledger.logline import render_log_line

    is_wide = screen.out.width >= _ONE_LINE_COLUMNS
    screen.show(_wide(results) if is_wide else _narrow(results))
    screen.line()
    for each in results:
        screen.text(render_log_line(each.outcome))


def _wide(results: Sequence[DemoResult]) -> Table:
    figures = ["COST", "MS"]
    heads = ("TASK", "CLASS", "SOURCE", "SENSITIVITY", "MODEL", "OUTCOME", *figures)
    rows = table(*heads, right=figures, shrink=["TASK"])
    for each in results:
        rows.add_row(*_cells(each))
    return rows


def _narrow(results: Sequence[DemoResult]) -> Table:
    figures = ["COST\nMS"]
    heads = ("TASK\nOUTCOME", "CLASS\nSOURCE", "MODEL\nSENSITIVITY", *figures)
    rows = table(*heads, right=figures, shrink=["TASK\nOUTCOME"])
    for each in results:
        name, kind, source, level, model, outcome, cost, took = _cells(each)
        lower = Text.assemble(name, "\n", outcome)
        rows.add_row(lower, f"{kind}\n{source}", f"{model}\n{level}", f"{cost}\n{took}")
    return rows


def _cells(result: DemoResult) -> tuple[str, str, str, str, str, Text, str, str]:
    outcome = result.outcome
    return (
        result.name,
        outcome.task_class or "unknown",
        outcome.class_source.value,
        outcome.sensitivity.value if outcome.sensitivity else "undeclared",
        outcome.served_model or "-",
        Text(outcome.status, style=STATUS_STYLES.get(outcome.status, "")),
        usd_aligned(outcome.cost_nano_usd),
        f"{elapsed_ms(outcome):.0f}",
    )


def demo_document(results: Sequence[DemoResult], replays: Sequence[Replayed]) -> dict[str, Any]:
    """The same for a program."""
    from pointwork.ledger.logline import render_log_line

    return {
        "ok": all(not each.differences for each in results) and all(r.holds for r in replays),
        "tasks": [
            {
                "name": each.name,
                "differences": list(each.differences),
                "milliseconds": round(elapsed_ms(each.outcome)),
                **result_document(each.outcome, each.record),
            }
            for each in results
        ],
        "log": [render_log_line(each.outcome) for each in results],
        "replays": [each.document for each in replays],
    }
