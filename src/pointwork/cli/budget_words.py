"""Budgets as ``pointwork budget`` reads and shows them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, get_args

from pydantic import TypeAdapter, ValidationError

from pointwork.cli.errors import CliError
from pointwork.cli.screen import Screen, age, table, usd
from pointwork.contract.budget_windows import (
    EVERY_PACK,
    EVERY_SUBJECT,
    BudgetPeriod,
    BudgetScope,
    limit_in_force,
    scope_of,
)
from pointwork.contract.task import Name

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.contract.budget_windows import BudgetSetting
    from pointwork.ledger.budget_tables import BudgetAlert
    from pointwork.ledger.budget_windows import WindowState
    from pointwork.policy.bundle import PolicyBundle, PolicyLibrary


@dataclass(frozen=True)
class Named:
    """One budget; ``pack_limit_nano_usd`` is what its pack says, where it says anything."""

    pack: str
    scope: str
    subject: str
    period: str
    pack_limit_nano_usd: int | None = None

    @property
    def words(self) -> str:
        whose = "every pack" if self.pack == EVERY_PACK else self.pack
        if self.scope == "pack":
            return f"{whose}, a {self.period}"
        each = f"each {self.scope}" if self.subject == EVERY_SUBJECT else self.subject
        return f"{whose}, {each}, a {self.period}"


@dataclass(frozen=True)
class BudgetRow:
    named: Named
    key: str
    limit_nano_usd: int
    set_by: str
    spent_nano_usd: int
    reserved_nano_usd: int
    stopped_at: datetime | None
    ends_at: datetime | None

    @property
    def left_nano_usd(self) -> int:
        return self.limit_nano_usd - self.spent_nano_usd - self.reserved_nano_usd

    @property
    def state(self) -> str:
        if self.stopped_at is not None:
            return "stopped"
        return "spent" if self.left_nano_usd <= 0 else "open"


def parse_named(
    library: "PolicyLibrary", pack: str, scope: str, subject: str | None, period: str
) -> Named:
    """The budget that the options name.

    Raises:
        CliError, UnknownPackError: one of them names nothing there is.
    """
    if scope not in get_args(BudgetScope):
        raise CliError(f"--scope {scope!r} is none", f"give {', '.join(get_args(BudgetScope))}")
    if period not in get_args(BudgetPeriod):
        raise CliError(f"--period {period!r} is none", f"give {', '.join(get_args(BudgetPeriod))}")
    if scope == "pack":
        if subject not in (None, pack):
            raise CliError(f"--for {subject!r} does not go with --scope pack", "leave it out")
        subject = pack
    if not subject:
        remedy = f"give --for NAME, or --for '{EVERY_SUBJECT}' for each {scope}"
        raise CliError(f"it is not clear which {scope}", remedy)
    packs = library.packs if pack == EVERY_PACK else (pack,)
    if scope != "pack" and subject != EVERY_SUBJECT:
        _check_subject([library.active(each) for each in packs], scope, subject)
    if pack == EVERY_PACK:
        return Named(pack, scope, subject, period)
    own = library.active(pack).pack.budgets
    limits = [each.limit for each in own if (each.scope, each.period) == (scope, period)]
    return Named(pack, scope, subject, period, limits[0] if limits else None)


def _check_subject(bundles: "Sequence[PolicyBundle]", scope: str, subject: str) -> None:
    """Refuse whom no task is charged for: a limit for a misspelt class would limit nothing."""
    try:
        TypeAdapter(Name).validate_python(subject)
    except ValidationError:
        remedy = "give letters, digits and ._@/:-, 128 at most"
        raise CliError(f"--for {subject!r:.140} is no name", remedy) from None
    known: set[str] = set()
    for bundle in bundles:
        match scope:
            case "class":
                known.update(bundle.pack.classes)
            case "vendor":
                known.update(each.vendor for each in bundle.index.entries)
            case "model":
                known.update(each.name for each in bundle.index.entries)
            case _:
                known.add(subject)
    if subject not in known:
        raise CliError(
            f"--for {subject!r} is no {scope}", f"give one of {', '.join(sorted(known))}"
        )


def parse_limit(text: str) -> int:
    """Nano-USD.

    Raises:
        CliError: no amount of at least zero with at most nine decimals, or too large a one.
    """
    from pointwork.policy.documents.document import Usd

    try:
        return TypeAdapter(Usd).validate_python(text.removeprefix("$"))
    except ValidationError:
        problem = f"USD {text!r:.40} is no amount"
        remedy = "give dollars with at most nine decimals, such as 12.50, up to 4 billion"
        raise CliError(problem, remedy) from None


def parse_alert_at(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        share = Decimal(text)
    except InvalidOperation:
        share = Decimal(0)
    if not share.is_finite() or not 0 < share < 1 or share != round(share, 4):
        problem = f"--alert-at {text!r:.40} is no share of a budget"
        raise CliError(problem, "give one above 0 and below 1, such as 0.8")
    return share


def budget_rows(library: "PolicyLibrary", engine: "Engine", now: datetime) -> list[BudgetRow]:
    """Windows of now, and budgets that nothing was held in yet; of every pack, sorted by key."""
    from pointwork.ledger.budget_settings import BudgetSettings
    from pointwork.ledger.budget_windows import windows_open_at

    settings = BudgetSettings(engine).all_in_force()
    found = {each.key: _row(each, settings) for each in windows_open_at(engine, now)}
    for row in _unopened(library, settings, now):
        found.setdefault(row.key, row)
    return [found[key] for key in sorted(found)]


def show_budgets(screen: Screen, rows: Sequence[BudgetRow], now: datetime) -> None:
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
            _signed(each.left_nano_usd),
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
    amount, limit = usd(alert.amount_nano_usd), usd(alert.limit_nano_usd)
    match alert.kind:
        case "near":
            said = f"has {amount} of {limit} spent and held"
        case "reached":
            said = f"refused a call with {amount} of {limit} spent and held"
        case "stopped":
            said = f"is stopped at {amount} of {limit} until a person resumes"
        case _:
            said = f"cost {amount} where {limit} was held"
    by = f" (seen by {alert.seen_by})" if alert.seen_by else ""
    return (
        f"{alert.occurred_at:%Y-%m-%d %H:%M}Z {alert.kind}: {alert.subject} {said}; "
        f"task {alert.task_id}; id {alert.alert_id}{by}"
    )


def alert_document(alert: "BudgetAlert") -> dict[str, Any]:
    return alert.model_dump(mode="json")


def _row(window: "WindowState", settings: "Sequence[BudgetSetting]") -> BudgetRow:
    pack = window.key.partition("/")[0]
    scope = scope_of(window.key)
    subject = window.key[len(f"{pack}/{scope}/") :].rsplit("/", 2)[0]
    named = Named(pack, scope, subject, window.period)
    return BudgetRow(
        named=named,
        key=window.key,
        limit_nano_usd=window.limit_nano_usd,
        set_by=_set_by(settings, named, window.limit_version),
        spent_nano_usd=window.spent_nano_usd,
        reserved_nano_usd=window.reserved_nano_usd,
        stopped_at=window.stopped_at,
        ends_at=window.ends_at,
    )


def _set_by(settings: "Sequence[BudgetSetting]", named: Named, version: int) -> str:
    budget = (named.pack, named.scope, named.period)
    of_budget = [each for each in settings if (each.pack, each.scope, each.period) == budget]
    setting, in_force = limit_in_force(of_budget, named.subject)
    if version not in (0, in_force):
        return "an owner, before"
    return setting.set_by if version and setting is not None else "the pack"


def _unopened(
    library: "PolicyLibrary", settings: "Sequence[BudgetSetting]", now: datetime
) -> Iterator[BudgetRow]:
    """Budgets of whole packs and of named subjects; those for each subject have no window yet."""
    from pointwork.policy.engine.windows import standing_windows, subjects_of, windows_of

    nobody = subjects_of("")
    for name in library.packs:
        pack = library.active(name).pack
        mine = [each for each in settings if each.pack in (name, EVERY_PACK)]
        wanted: dict[str, list[str]] = {}
        for each in mine:
            if each.subject != EVERY_SUBJECT and each.limit_nano_usd is not None:
                wanted.setdefault(each.scope, []).append(each.subject)
        windows = [w for w in windows_of(pack, now, nobody) if scope_of(w.key) == "pack"]
        for window in (*standing_windows(pack, mine, now, wanted), *windows):
            prefix, subject = window.key.partition("/")[0], window.scope.partition("/")[2]
            budget = Named(prefix, scope_of(window.key), subject, window.period)
            yield BudgetRow(
                named=budget,
                key=window.key,
                limit_nano_usd=window.limit_nano_usd,
                set_by=_set_by(mine, budget, window.limit_version),
                spent_nano_usd=0,
                reserved_nano_usd=0,
                stopped_at=None,
                ends_at=window.ends_at,
            )


def _document(row: BudgetRow) -> dict[str, Any]:
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


def _signed(amount_nano_usd: int) -> str:
    return usd(amount_nano_usd) if amount_nano_usd >= 0 else f"-{usd(-amount_nano_usd)}"
