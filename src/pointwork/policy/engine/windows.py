"""The budget windows a task's calls fall in: the pack's budgets, and those its owner has set."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from pointwork.contract.budget_windows import (
    EVERY_PACK,
    BudgetSetting,
    limit_in_force,
    window_on,
)
from pointwork.contract.decision import WindowSpec
from pointwork.policy.documents.pack import BudgetLimit, Pack

Subjects = Mapping[str, Sequence[str]]
"""By scope of a budget, whom a task's calls can be charged for."""


def subjects_of(
    caller: str,
    *,
    classes: Sequence[str] = (),
    worker: str | None = None,
    vendors: Sequence[str] = (),
    models: Sequence[str] = (),
) -> Subjects:
    return {
        "caller": (caller,),
        "class": classes,
        "worker": (worker,) if worker else (),
        "vendor": vendors,
        "model": models,
    }


def windows_at(
    pack: Pack,
    moment: datetime,
    *,
    caller: str,
    classes: Sequence[str] = (),
    worker: str | None = None,
    vendors: Sequence[str] = (),
    models: Sequence[str] = (),
) -> tuple[WindowSpec, ...]:
    """The windows of ``pack`` that calls at ``moment`` can fall in, sorted by key.

    A budget of a scope that nobody of is named has no window here.
    """
    subjects = subjects_of(caller, classes=classes, worker=worker, vendors=vendors, models=models)
    return windows_of(pack, moment, subjects)


def windows_of(pack: Pack, moment: datetime, subjects: Subjects) -> tuple[WindowSpec, ...]:
    """As ``windows_at``, for subjects that are at hand."""
    named = _windows(pack, moment, subjects)
    return tuple(sorted((window for window, _ in named), key=lambda spec: spec.key))


def budgets_by_window(pack: Pack, moment: datetime, *, caller: str) -> dict[str, BudgetLimit]:
    """The budgets of the whole pack and of the caller by window key, as ``windows_at`` has them."""
    subjects = subjects_of(caller)
    return {window.key: budget for window, budget in _windows(pack, moment, subjects)}


def alert_at(budget: BudgetLimit, limit_nano_usd: int) -> int | None:
    """Nano-USD committed from which people are told (JG-28); None where nobody asked to be.

    A share of what people call the budget, which moves with a limit that the owner has set.
    """
    if budget.alert_ratio is None:
        return None
    return int(budget.alert_ratio * called_budget(budget, limit_nano_usd))


def called_budget(budget: BudgetLimit, limit_nano_usd: int) -> int:
    """Where expensive models pause, else the limit, in proportion to the limit in force."""
    if limit_nano_usd == budget.limit:
        return budget.budget
    return budget.budget * limit_nano_usd // budget.limit if budget.limit else 0


def standing_windows(
    pack: Pack, settings: Iterable[BudgetSetting], moment: datetime, subjects: Subjects
) -> tuple[WindowSpec, ...]:
    """The windows of the owner's settings that calls of a task can fall in, sorted by key.

    A setting for a caller, class or other subject by name goes before one for all of them. One
    that was given back has the pack's own limit under its version, so that no task decided before
    puts the owner's limit back.
    """
    found: list[WindowSpec] = []
    by_budget: dict[tuple[str, str, str], list[BudgetSetting]] = defaultdict(list)
    for each in settings:
        by_budget[each.pack, each.scope, each.period].append(each)
    for (name, scope, period), mine in by_budget.items():
        zone = "UTC" if name == EVERY_PACK else pack.timezone
        today = moment.astimezone(ZoneInfo(zone)).date()
        own = _own(pack, name, scope, period)
        for subject in (name,) if scope == "pack" else subjects.get(scope, ()):
            setting, version = limit_in_force(mine, subject)
            limit = setting.limit_nano_usd if setting else own.limit if own else None
            if version == 0 or limit is None:
                continue
            alert = _alert_of(setting, own, limit)
            spec = window_on(name, zone, scope, subject, period, today, limit, alert, version)
            found.append(spec)
    return tuple(sorted(found, key=lambda spec: spec.key))


def _own(pack: Pack, name: str, scope: str, period: str) -> BudgetLimit | None:
    """The budget of the pack that an owner's setting stands in the place of."""
    mine = pack.budgets if name == pack.pack else ()
    return next((each for each in mine if (each.scope, each.period) == (scope, period)), None)


def _alert_of(
    setting: BudgetSetting | None, own: BudgetLimit | None, limit_nano_usd: int
) -> int | None:
    if setting is not None and setting.alert_ratio is not None:
        return int(setting.alert_ratio * limit_nano_usd)
    return alert_at(own, limit_nano_usd) if own is not None else None


def _windows(
    pack: Pack, moment: datetime, subjects: Subjects
) -> Iterator[tuple[WindowSpec, BudgetLimit]]:
    zone, name = pack.timezone, pack.pack
    today = moment.astimezone(ZoneInfo(zone)).date()
    for budget in pack.budgets:
        for subject in (name,) if budget.scope == "pack" else subjects.get(budget.scope, ()):
            window = window_on(
                name,
                zone,
                budget.scope,
                subject,
                budget.period,
                today,
                budget.limit,
                alert_at(budget, budget.limit),
            )
            yield window, budget
