"""Budgets as an owner reads and sets them: what packs, settings and windows say together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, get_args

from pydantic import TypeAdapter, ValidationError

from pointwork.contract.budget_windows import (
    EVERY_PACK,
    EVERY_SUBJECT,
    BudgetPeriod,
    BudgetScope,
    BudgetSetting,
    limit_in_force,
    scope_of,
)
from pointwork.contract.failures import PointworkError
from pointwork.contract.money import format_usd
from pointwork.contract.task import Name
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.budget_windows import windows_open_at
from pointwork.policy.documents.document import Usd
from pointwork.policy.engine.windows import standing_windows, subjects_of, windows_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.contract.approval import ApprovalRequest
    from pointwork.ledger.budget_tables import BudgetAlert
    from pointwork.ledger.budget_windows import WindowState
    from pointwork.policy.bundle import PolicyBundle, PolicyLibrary

SCOPES: tuple[str, ...] = get_args(BudgetScope)
PERIODS: tuple[str, ...] = get_args(BudgetPeriod)


class InvalidBudgetError(PointworkError):
    """A field names no budget there is, or holds no amount. ``field`` is empty where none does."""

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field} {problem}; {remedy}".strip())
        self.field, self.problem, self.remedy = field, problem, remedy


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

    def holds(self, other: "Named") -> bool:
        """Whether ``other`` is this budget, or one of those that this one is for each of."""
        mine, theirs = (self.pack, self.scope, self.period), (other.pack, other.scope, other.period)
        return mine == theirs and self.subject in (other.subject, EVERY_SUBJECT)


@dataclass(frozen=True)
class BudgetRow:
    """A budget in the period that is open now."""

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


@dataclass(frozen=True)
class Standing:
    """The limit that a budget has now, and what gives it."""

    limit_nano_usd: int | None
    """None where neither an owner nor the pack says anything."""
    version: int
    """Rises whenever an owner changes the limit; 0 is one that no owner ever touched."""
    setting: BudgetSetting | None
    """None where the limit is the pack's own."""


def parse_named(
    library: "PolicyLibrary", pack: str, scope: str, subject: str | None, period: str
) -> Named:
    """The budget that somebody names.

    Raises:
        InvalidBudgetError, UnknownPackError: a part of the name is none there is.
    """
    if scope not in SCOPES:
        raise InvalidBudgetError("scope", f"{scope!r:.140} is none", f"give {', '.join(SCOPES)}")
    if period not in PERIODS:
        remedy = f"give {', '.join(PERIODS)}"
        raise InvalidBudgetError("period", f"{period!r:.140} is none", remedy)
    if scope == "pack":
        if subject not in (None, pack):
            problem = f"{subject!r:.140} does not go with scope pack"
            raise InvalidBudgetError("for", problem, "leave it out")
        subject = pack
    if not subject:
        remedy = f"name one, or give '{EVERY_SUBJECT}' for each {scope}"
        raise InvalidBudgetError("", f"it is not clear which {scope}", remedy)
    packs = library.packs if pack == EVERY_PACK else (pack,)
    if scope != "pack" and subject != EVERY_SUBJECT:
        _check_subject([library.active(each) for each in packs], scope, subject)
    if pack == EVERY_PACK:
        return Named(pack, scope, subject, period)
    own = library.active(pack).pack.budgets
    limits = [each.limit for each in own if (each.scope, each.period) == (scope, period)]
    return Named(pack, scope, subject, period, limits[0] if limits else None)


def parse_limit(text: str) -> int:
    """Nano-USD.

    Raises:
        InvalidBudgetError: no amount of at least zero with at most nine decimals, or too large a
            one.
    """
    try:
        return TypeAdapter(Usd).validate_python(text.removeprefix("$"))
    except ValidationError:
        problem = f"USD {text!r:.40} is no amount"
        remedy = "give dollars with at most nine decimals, such as 12.50, up to 4 billion"
        raise InvalidBudgetError("", problem, remedy) from None


def parse_alert_at(text: str | None) -> Decimal | None:
    """The share of a limit from which people are told.

    Raises:
        InvalidBudgetError: it does not lie between 0 and 1, or has more than four decimals.
    """
    if text is None:
        return None
    try:
        share = Decimal(text)
    except InvalidOperation:
        share = Decimal(0)
    if not share.is_finite() or not 0 < share < 1 or share != round(share, 4):
        problem = f"{text!r:.40} is no share of a budget"
        raise InvalidBudgetError("alert-at", problem, "give one above 0 and below 1, such as 0.8")
    return share


def budget_rows(library: "PolicyLibrary", engine: "Engine", now: datetime) -> list[BudgetRow]:
    """Windows of now, and budgets that nothing was held in yet; of every pack, sorted by key."""
    settings = BudgetSettings(engine).all_in_force()
    found = {each.key: _row(each, settings) for each in windows_open_at(engine, now)}
    for row in _unopened(library, settings, now):
        found.setdefault(row.key, row)
    return [found[key] for key in sorted(found)]


def standing_of(engine: "Engine", named: Named) -> Standing:
    """What a limit of ``named`` would be set in the place of."""
    mine = _of_budget(BudgetSettings(engine).in_force(named.pack), named)
    setting, version = limit_in_force(mine, named.subject)
    limit = named.pack_limit_nano_usd if setting is None else setting.limit_nano_usd
    return Standing(limit, version, setting)


def waiting_for(engine: "Engine", windows: Sequence[str]) -> "list[ApprovalRequest]":
    """The approvals of tasks that a stop of one of these windows holds, the oldest first."""
    return [each for each in ApprovalBook(engine).waiting() if {*each.windows} & {*windows}]


def alert_words(alert: "BudgetAlert") -> str:
    """What became of the budget, as the rest of a sentence that it begins."""
    amount, limit = format_usd(alert.amount_nano_usd), format_usd(alert.limit_nano_usd)
    match alert.kind:
        case "near":
            return f"has {amount} of {limit} spent and held"
        case "reached":
            return f"refused a call with {amount} of {limit} spent and held"
        case "stopped":
            return f"is stopped at {amount} of {limit} until a person resumes"
        case _:
            return f"cost {amount} where {limit} was held"


def _check_subject(bundles: "Sequence[PolicyBundle]", scope: str, subject: str) -> None:
    """Refuse whom no task is charged for: a limit for a misspelt class would limit nothing."""
    try:
        TypeAdapter(Name).validate_python(subject)
    except ValidationError:
        remedy = "give letters, digits and ._@/:-, 128 at most"
        raise InvalidBudgetError("for", f"{subject!r:.140} is no name", remedy) from None
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
        remedy = f"give one of {', '.join(sorted(known))}"
        raise InvalidBudgetError("for", f"{subject!r} is no {scope}", remedy)


def _row(window: "WindowState", settings: Sequence[BudgetSetting]) -> BudgetRow:
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


def _of_budget(settings: Sequence[BudgetSetting], named: Named) -> list[BudgetSetting]:
    budget = (named.pack, named.scope, named.period)
    return [each for each in settings if (each.pack, each.scope, each.period) == budget]


def _set_by(settings: Sequence[BudgetSetting], named: Named, version: int) -> str:
    setting, in_force = limit_in_force(_of_budget(settings, named), named.subject)
    if version not in (0, in_force):
        return "an owner, before"
    return setting.set_by if version and setting is not None else "the pack"


def _unopened(
    library: "PolicyLibrary", settings: Sequence[BudgetSetting], now: datetime
) -> Iterator[BudgetRow]:
    """Budgets of whole packs and of named subjects; those for each subject have no window yet."""
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
