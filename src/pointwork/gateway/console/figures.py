"""How the pages write times, ages, money, states and addresses."""

from datetime import UTC, datetime
from urllib.parse import urlencode

from markupsafe import Markup, escape

from pointwork.budgeting import Named
from pointwork.gateway.console.sessions import PATH
from pointwork.policy.reading.figures import age

TONES = {
    "succeeded": "good",
    "met": "good",
    "open": "good",
    "approved": "good",
    "posted": "good",
    "done": "good",
    "run": "good",
    "failed": "bad",
    "missed": "bad",
    "stopped": "bad",
    "denied": "bad",
    "deny": "bad",
    "rejected": "bad",
    "unknown": "bad",
    "expired": "warn",
    "cancelled": "warn",
    "void": "warn",
    "voided": "quiet",
    "pending_approval": "warn",
    "waiting": "warn",
    "queued": "quiet",
    "hold": "warn",
    "spent": "warn",
    "near": "warn",
    "reached": "bad",
    "overrun": "bad",
    "not measured": "quiet",
    "pending": "warn",
    "active": "good",
    "ended": "quiet",
    "revoked": "quiet",
    "struck": "bad",
}
"""The colour of a state's word; one that is not here is under way."""


def utc(moment: datetime) -> str:
    """``2026-05-04 09:12:30``: UTC, as every page says at its foot."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def clock(moment: datetime) -> str:
    """``09:12:30.123``, where the day stands elsewhere."""
    return moment.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def stamp(moment: datetime, *, form: str = "full") -> Markup:
    """A time with its age beside it; a script keeps the age true while the page stands."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    words = f"in {age(-seconds)}" if seconds < 0 else f"{age(seconds)} ago"
    shown = "" if form == "age" else escape(utc(moment)) + Markup(" ")
    made = Markup('<time datetime="{}" title="{} UTC">{}<span class="age">{}</span></time>')
    return made.format(moment.astimezone(UTC).isoformat(), utc(moment), shown, words)


def tone(state: str) -> str:
    return TONES.get(state, "info")


def budget_url(named: Named) -> str:
    """The address of a budget's page."""
    parts = {"pack": named.pack, "scope": named.scope, "period": named.period}
    if named.scope != "pack":
        parts["subject"] = named.subject
    return f"{PATH}/budgets/one?{urlencode(parts)}"


def words(name: str) -> str:
    """``data_classification`` as people write it."""
    return str(name).replace("_", " ")
