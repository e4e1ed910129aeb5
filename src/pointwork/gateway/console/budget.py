"""One budget: what stands against its limit, and setting the limit or ending a stop (OM-31)."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from pointwork.budgeting import (
    BudgetRow,
    InvalidBudgetError,
    Named,
    Standing,
    budget_rows,
    parse_alert_at,
    parse_limit,
    parse_named,
    standing_of,
    waiting_for,
)
from pointwork.contract.budget_windows import EVERY_PACK
from pointwork.contract.failures import PointworkError, TaskNotFoundError, TaskRefusedError
from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.budgets import list_page, resume, shown_digest
from pointwork.gateway.console.daily_costs import daily_costs
from pointwork.gateway.console.figures import budget_url
from pointwork.gateway.console.inbox import explained
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.reasons import BadFormError, check_reason
from pointwork.gateway.permissions import Right
from pointwork.gateway.problems import ProblemError
from pointwork.gateway.rules import Rules
from pointwork.ledger.budget_settings import BudgetSettings, SettingConflictError
from pointwork.ledger.console_keys import NoConsoleKeyError
from pointwork.ledger.costs import CostReport
from pointwork.policy.bundle import PolicyLibrary, UnknownPackError

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

Text = Annotated[str, Query(max_length=140)]
_NOTHING_TYPED = {"do": "", "limit": "", "alert_at": None, "reason": "", "tasks": ""}
_NEED_A_NEW_LOOK = (SettingConflictError, NoConsoleKeyError, TaskRefusedError, TaskNotFoundError)


@router.get("/budgets/one")
async def show_budget(
    request: Request,
    viewer: Viewer,
    rules: Rules,
    pack: Text = "",
    scope: Text = "pack",
    subject: Text = "",
    period: Text = "",
    said: Text = "",
) -> Response:
    """The budget that the address names, whether or not a limit was ever set for it."""
    require(viewer, Right.READ_RECORD)
    try:
        named = _named(rules, pack, scope, subject, period)
    except ProblemError as error:
        typed = {"pack": pack, "scope": scope, "subject": subject, "period": period}
        return await list_page(request, viewer, rules, why=error.detail, typed=typed, status=400)
    return await _page(request, viewer, rules, named, said=said)


@router.post("/budgets/limit")
async def change_limit(request: Request, viewer: Viewer, rules: Rules, fields: Posted) -> Response:
    """Set the limit, or give it back to the pack, as the button says that was pressed."""
    require(viewer, Right.GOVERN)
    named = _named_in(rules, fields)

    async def change() -> str:
        do, reason = fields.get("do", ""), check_reason(fields.get("reason", ""))
        if do not in ("set", "unset"):
            raise BadFormError("Press one of the two buttons.")
        limit = parse_limit(fields.get("limit", "").strip()) if do == "set" else None
        await asyncio.to_thread(_set, request, viewer, named, limit, reason, fields)
        return do

    return await _changed(request, viewer, rules, named, fields, change)


@router.post("/budgets/resume")
async def end_stop(request: Request, viewer: Viewer, rules: Rules, fields: Posted) -> Response:
    """Let tasks proceed after a hard stop; those that wait run where the form says so."""
    require(viewer, Right.GOVERN)
    named = _named_in(rules, fields)

    async def change() -> str:
        reason = check_reason(fields.get("reason", ""))
        windows = await asyncio.to_thread(_stopped_windows, request, rules, named)
        approved = await resume(request, viewer, windows, reason, fields)
        return "resumed-tasks" if approved else "resumed"

    return await _changed(request, viewer, rules, named, fields, change)


async def _changed(
    request: Request,
    viewer: Signed,
    rules: PolicyLibrary,
    named: Named,
    fields: Mapping[str, str],
    change: Callable[[], Awaitable[str]],
) -> Response:
    """The budget's page with what was done; or as it stands now, with what was typed and why."""
    try:
        said = await change()
    except (InvalidBudgetError, BadFormError) as error:
        return await _page(request, viewer, rules, named, fields=fields, error=error, status=400)
    except _NEED_A_NEW_LOOK as error:
        return await _page(request, viewer, rules, named, fields=fields, error=error, status=409)
    return RedirectResponse(f"{budget_url(named)}&said={said}", 303)


def _set(
    request: Request,
    viewer: Signed,
    named: Named,
    limit_nano_usd: int | None,
    reason: str,
    fields: Mapping[str, str],
) -> None:
    gateway: Gateway = request.app.state.gateway
    is_set = limit_nano_usd is not None
    share = parse_alert_at(fields.get("alert_at", "").strip() or None) if is_set else None
    standing = standing_of(gateway.engine, named)
    if fields.get("shown") != _shown(standing):
        raise SettingConflictError(
            "The limit changed since this page was opened; it shows the new one. Look at it and "
            "send the form again."
        )
    BudgetSettings(gateway.engine).set(
        pack=named.pack,
        scope=named.scope,
        subject=named.subject,
        period=named.period,
        limit_nano_usd=limit_nano_usd,
        alert_ratio=share,
        set_by=viewer.name,
        reason=reason,
        now=datetime.now(UTC),
        pack_limit_nano_usd=named.pack_limit_nano_usd,
        expected_version=standing.version,
    )


def _shown(standing: Standing) -> str:
    """The limit that a form replaces: its version, and the amount, which a new pack changes."""
    return f"{standing.version}:{standing.limit_nano_usd}"


def _stopped_windows(request: Request, rules: PolicyLibrary, named: Named) -> list[str]:
    gateway: Gateway = request.app.state.gateway
    found = _stopped(budget_rows(rules, gateway.engine, datetime.now(UTC)), named)
    if not found:
        raise BadFormError("This budget is not stopped any more.")
    return found


def _stopped(rows: Iterable[BudgetRow], named: Named) -> list[str]:
    """Of this budget alone, and not of those it is for each of."""
    bare = Named(named.pack, named.scope, named.subject, named.period)
    return [each.key for each in rows if each.stopped_at is not None and each.named == bare]


async def _page(
    request: Request,
    viewer: Signed,
    rules: PolicyLibrary,
    named: Named,
    *,
    said: str = "",
    fields: Mapping[str, str] | None = None,
    error: PointworkError | None = None,
    status: int = 200,
) -> Response:
    gateway: Gateway = request.app.state.gateway
    now = datetime.now(UTC)

    def read() -> dict[str, Any]:
        rows = [each for each in budget_rows(rules, gateway.engine, now) if named.holds(each.named)]
        stopped = _stopped(rows, named)
        waiting = waiting_for(gateway.engine, stopped) if stopped else []
        standing = standing_of(gateway.engine, named)
        report, pack = CostReport(gateway.engine), None if named.pack == EVERY_PACK else named.pack
        return {
            "rows": rows,
            "stopped": stopped,
            "waiting": waiting,
            "waiting_shown": shown_digest(waiting),
            "standing": standing,
            "shown": _shown(standing),
            "daily": daily_costs(report, now.date(), pack) if named.scope == "pack" else None,
        }

    context = await asyncio.to_thread(read)
    context |= {
        "place": "budgets",
        "named": named,
        "said": said,
        "why": explained(str(error)) if error else "",
        "typed": _NOTHING_TYPED | {**(fields or {})},
        "is_again": fields is not None,
        "may_set": viewer.may(Right.GOVERN),
    }
    return page(request, "budget.html", context, status=status)


def _named_in(rules: PolicyLibrary, fields: Mapping[str, str]) -> Named:
    return _named(rules, *(fields.get(name, "") for name in ("pack", "scope", "subject", "period")))


def _named(rules: PolicyLibrary, pack: str, scope: str, subject: str, period: str) -> Named:
    """The budget that a form or an address names.

    Raises:
        ProblemError: 400 where it names none there could be.
    """
    try:
        return parse_named(rules, pack, scope, subject.strip() or None, period)
    except (InvalidBudgetError, UnknownPackError) as error:
        raise ProblemError(400, "no_such_budget", str(error)) from None
