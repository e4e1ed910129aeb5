"""Budgets as ``pointwork budget`` shows them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pointwork.cli.errors import CliError
from pointwork.cli.screen import Screen, age, table, usd
from pointwork.contract.money import format_signed_usd

if TYPE_CHECKING:
    from pointwork.budgeting import BudgetRow
    from pointwork.ledger.budget_tables import BudgetAlert


@contextmanager
def options_named() -> Iterator[None]:
    """Say what is wrong with a budget by the name of its option.

    Raises:
        CliError: in place of an InvalidBudgetError.
    """
    from pointwork.budgeting import InvalidBudgetError

    try:
        yield
    except InvalidBudgetError as error:
        option = f"--{error.field} " if error.field else ""
        raise CliError(f"{option}{error.problem}", error.remedy) from None


def show_budgets(screen: Screen, rows: "Sequence[BudgetRow]", now: datetime) -> None:
    if screen.as_json:
        return screen.document([_document(each) for each in rows])
    if not rows:
        return screen.say("No budget is set; `pointwork budget set` sets one.")
    figures = ["LIMIT", "SPENT", "HELD", "LEFT", "ENDS IN"]
    shown = table("BUDGET", "STATE", *figures, "SET BY", right=figures, shrink=["BUDGET"])
    for each in rows:
        ends = age((each.ends_at - now).total_seconds()) if each.ends_at else "-"
        shown.add_row(
            each.key.rpartition("/")[0],
            each.state,
            usd(each.limit_nano_usd),
            usd(each.spent_nano_usd),
            usd(each.reserved_nano_usd),
            format_signed_usd(each.left_nano_usd),
            ends,
            each.set_by,
        )
    screen.show(shown)
    stopped = [each.key for each in rows if each.stopped_at is not None]
    for key in stopped:
        screen.note(f'`pointwork budget resume {key} --reason "..."` lets tasks proceed.')
    return None


def alert_line(alert: "BudgetAlert") -> str:
    """One sentence, with the id to say that one has seen it."""
    from pointwork.budgeting import alert_words

    by = f" (seen by {alert.seen_by})" if alert.seen_by else ""
    return (
        f"{alert.occurred_at:%Y-%m-%d %H:%M}Z {alert.kind}: {alert.subject} {alert_words(alert)}; "
        f"task {alert.task_id}; id {alert.alert_id}{by}"
    )


def alert_document(alert: "BudgetAlert") -> dict[str, Any]:
    return alert.model_dump(mode="json")


def _document(row: "BudgetRow") -> dict[str, Any]:
    return {
        "window": row.key,
        "pack": row.named.pack,
        "scope": row.named.scope,
        "subject": row.named.subject,
        "period": row.named.period,
        "state": row.state,
        "limit_nano_usd": row.limit_nano_usd,
        "spent_nano_usd": row.spent_nano_usd,
        "reserved_nano_usd": row.reserved_nano_usd,
        "left_nano_usd": row.left_nano_usd,
        "set_by": row.set_by,
        "stopped_at": row.stopped_at.isoformat() if row.stopped_at else None,
        "ends_at": row.ends_at.isoformat() if row.ends_at else None,
    }
