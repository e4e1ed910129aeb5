"""Every budget of now, what people are told, and going on after a hard stop (OM-31 to OM-33)."""

import asyncio
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pointwork.budgeting import (
    PERIODS,
    SCOPES,
    BudgetRow,
    alert_words,
    budget_rows,
    waiting_for,
)
from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict, SignedVerdict, Verdict
from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.daily_costs import daily_costs
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.reasons import BadFormError
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import Right
from pointwork.gateway.problems import bad_request
from pointwork.gateway.rules import Rules
from pointwork.ledger.budget_alerts import AlertBook
from pointwork.ledger.budget_stops import StopBook
from pointwork.ledger.console_keys import ConsoleKeys
from pointwork.ledger.costs import CostReport
from pointwork.policy.bundle import PolicyLibrary
from pointwork.verdicts import sign

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

_ALERTS_SHOWN = 20
_ROWS_MAX = 200
_NOTHING_ASKED = {"pack": "", "scope": "", "subject": "", "period": ""}
_VALID_FOR = timedelta(minutes=10)


@router.get("/budgets")
async def list_budgets(request: Request, viewer: Viewer, rules: Rules, said: str = "") -> Response:
    """Limits, what is spent and held, alerts nobody saw, and what each day cost."""
    require(viewer, Right.READ_RECORD)
    return await list_page(request, viewer, rules, said=said)


async def list_page(
    request: Request,
    viewer: Signed,
    rules: PolicyLibrary,
    *,
    said: str = "",
    why: str = "",
    typed: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    """The page; ``why`` says what is wrong with the budget that was asked for, in ``typed``."""
    gateway: Gateway = request.app.state.gateway
    now = datetime.now(UTC)

    def read() -> dict[str, Any]:
        alerts = AlertBook(gateway.engine)
        return {
            "rows": sorted(budget_rows(rules, gateway.engine, now), key=_urgency),
            "alerts": [(each, alert_words(each)) for each in alerts.alerts(limit=_ALERTS_SHOWN)],
            "unseen": alerts.unseen_count(),
            "daily": daily_costs(CostReport(gateway.engine), now.date()),
        }

    context = await asyncio.to_thread(read)
    context |= {
        "place": "budgets",
        "rows_max": _ROWS_MAX,
        "said": said,
        "why": why,
        "typed": _NOTHING_ASKED | {**(typed or {})},
        "may_set": viewer.may(Right.GOVERN),
        "packs": ("all", *rules.packs),
        "scopes": SCOPES,
        "periods": PERIODS,
    }
    return page(request, "budgets.html", context, status=status)


def _urgency(row: BudgetRow) -> tuple[bool, Fraction, str]:
    """Stopped budgets first, then those with the least of their limit left."""
    left = Fraction(row.left_nano_usd, row.limit_nano_usd) if row.limit_nano_usd else Fraction(0)
    return row.stopped_at is None, left, row.key


@router.post("/budgets/seen")
async def see_alerts(request: Request, viewer: Viewer, fields: Posted) -> Response:
    """Record who has seen one alert, or all that the page showed."""
    require(viewer, Right.GOVERN)
    gateway: Gateway = request.app.state.gateway
    book, now = AlertBook(gateway.engine), datetime.now(UTC)

    def see() -> int:
        if alert_id := fields.get("alert_id"):
            return int(book.see(alert_id, viewer.name, now))
        shown_at = _moment(fields.get("until", ""))
        unseen = book.alerts(limit=book.unseen_count())
        wanted = [each.alert_id for each in unseen if each.occurred_at <= shown_at]
        return sum(book.see(each, viewer.name, now) for each in wanted)

    seen = await asyncio.to_thread(see)
    return RedirectResponse(f"{PATH}/budgets?said={'seen' if seen else 'seen-before'}", 303)


def _moment(given: str) -> datetime:
    try:
        return datetime.fromisoformat(given).astimezone(UTC)
    except ValueError:
        remedy = "load the page anew and press its button"
        raise bad_request("not_a_time", f"until {given!r:.40} is no time; {remedy}") from None


async def resume(
    request: Request,
    viewer: Signed,
    windows: Sequence[str],
    reason: str,
    fields: Mapping[str, str],
) -> int:
    """End the stop of these windows and, where the form says so, approve the tasks they hold.

    Returns:
        How many tasks were approved.

    Raises:
        BadFormError: other tasks wait than the form showed, or one of them is the person's own.
        NoConsoleKeyError, TaskRefusedError, TaskNotFoundError: a task did not take the verdict; the
            stop stands.
    """
    gateway: Gateway = request.app.state.gateway
    waiting: list[ApprovalRequest] = []
    if fields.get("tasks"):
        waiting = await asyncio.to_thread(waiting_for, gateway.engine, windows)
        _check_shown(waiting, fields.get("shown", ""), viewer)
        signed = await asyncio.to_thread(_signed, request, viewer, waiting, reason)
        # Tasks first: where one cannot be reached, the stop stands and the form can be sent again.
        for each in signed:
            await gateway.client.submit_verdict(each)
    book, now = StopBook(gateway.engine), datetime.now(UTC)
    for window in windows:
        await asyncio.to_thread(book.resume, window, viewer.name, reason, now)
    return len(waiting)


def shown_digest(waiting: Sequence[ApprovalRequest]) -> str:
    """What a form is bound to: the tasks it shows, each with what it asks for."""
    bound = sorted(f"{each.approval_id} {each.request_sha256}" for each in waiting)
    return hashlib.sha256("\n".join(bound).encode()).hexdigest()


def _check_shown(waiting: Sequence[ApprovalRequest], shown: str, viewer: Signed) -> None:
    if shown_digest(waiting) != shown:
        raise BadFormError("Other tasks wait by now than this page showed; look at them again.")
    own = next((each.task_id for each in waiting if each.requester == viewer.name), None)
    if own is not None:
        raise BadFormError(
            f"You asked for task {own} and may not approve it; let another person resume, or leave "
            "the tasks to be approved one by one."
        )


def _signed(
    request: Request, viewer: Signed, waiting: Sequence[ApprovalRequest], reason: str
) -> list[SignedVerdict]:
    keys: ConsoleKeys = request.app.state.console_keys
    key_id, private = keys.of(viewer.name, request.app.state.gateway.vault.master_keys)
    now = datetime.now(UTC)
    verdicts = [
        Verdict(
            approval_id=each.approval_id,
            task_id=each.task_id,
            verdict=ApprovalVerdict.APPROVED,
            approver=viewer.name,
            reason=reason,
            request_sha256=each.request_sha256,
            policy_sha256=each.policy_sha256,
            ceiling_nano_usd=each.ceiling_nano_usd,
            decided_at=now,
            expires_at=now + _VALID_FOR,
            token_id=f"console-{uuid.uuid4()}",
        )
        for each in waiting
    ]
    return [sign(each, private, key_id) for each in verdicts]
