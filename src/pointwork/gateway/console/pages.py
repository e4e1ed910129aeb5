"""Turning facts into pages: the templates, what every page is given, and its headers."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import URL, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pointwork.contract.money import format_signed_usd, format_usd
from pointwork.gateway.console import figures
from pointwork.gateway.console.assets import asset_url
from pointwork.gateway.console.sessions import COOKIE, LIFE, PATH, Session, seal
from pointwork.gateway.permissions import Right
from pointwork.ledger.master_keys import MasterKeys
from pointwork.policy.reading.figures import age, milliseconds

NAVIGATION = (
    ("tasks", "Tasks", f"{PATH}/tasks", "t"),
    ("inbox", "Inbox", f"{PATH}/inbox", "i"),
    ("budgets", "Budgets", f"{PATH}/budgets", "b"),
    ("performance", "Performance", f"{PATH}/performance", "p"),
    ("gpu", "GPU", f"{PATH}/gpu", "u"),
    ("costs", "Costs", f"{PATH}/costs", "c"),
    ("policies", "Policies", f"{PATH}/policies", "o"),
    ("overrides", "Overrides", f"{PATH}/overrides", "v"),
    ("incidents", "Incidents", f"{PATH}/incidents", "n"),
    ("audit", "Audit", f"{PATH}/audit", "a"),
)
"""Name, title, address, and the letter that follows ``g``."""
OF_THE_RECORD = frozenset(
    {"budgets", "performance", "gpu", "costs", "policies", "overrides", "incidents", "audit"}
)
"""Pages that need the right to read the record; nobody else is led there."""

LIVE = f"{PATH}/live"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def environment() -> Environment:
    """Everything is escaped; a name that a template misspells is an error and no blank."""
    made = Environment(
        loader=PackageLoader("pointwork.gateway.console"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "usd": format_usd,
        "signed_usd": format_signed_usd,
        "stamp": figures.stamp,
        "clock": figures.clock,
        "utc": figures.utc,
        "tone": figures.tone,
        "budget_url": figures.budget_url,
        "words": figures.words,
        "age": age,
        "ms": milliseconds,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True),
    }
    made.globals |= {"asset": asset_url, "Right": Right, "base": PATH}
    return made


_TEMPLATES = environment()


def fragment(template: str, macro: str, *args: Any) -> str:
    """What one macro of a template gives, without a page around it."""
    module = _TEMPLATES.get_template(template).module
    return str(getattr(module, macro)(*args))


def page(
    request: Request, template: str, context: Mapping[str, Any], *, status: int = 200
) -> HTMLResponse:
    """A page for whoever is signed in, or for nobody yet."""
    signed = getattr(request.state, "signed", None)
    sees_record = signed is not None and signed.may(Right.READ_RECORD)
    given: dict[str, Any] = {
        "signed": signed,
        "navigation": [each for each in NAVIGATION if sees_record or each[0] not in OF_THE_RECORD],
        "path": request.url.path,
        "now": datetime.now(UTC),
        "place": "",
    }
    text = _TEMPLATES.get_template(template).render(**(given | {**context}))
    return HTMLResponse(text, status)


def set_session(response: Response, session: Session, keys: MasterKeys, url: URL) -> None:
    """Give the browser the session; it ends with the browser's own session or by itself."""
    response.set_cookie(
        COOKIE,
        seal(session, keys),
        max_age=int(LIFE.total_seconds()),
        path=PATH,
        secure=url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


class ConsoleHeaders:
    """Puts the headers of the console on every response, errors and redirects included.

    What a person does moves the idle end of their session on; a page that only listens does not.
    """

    def __init__(self, app: ASGIApp, master_keys: Callable[[], MasterKeys]) -> None:
        self._app = app
        self._master_keys = master_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
                self._renew(scope, headers)
            await send(message)

        await self._app(scope, receive, with_headers)

    def _renew(self, scope: Scope, headers: MutableHeaders) -> None:
        signed = scope.get("state", {}).get("signed")
        if signed is None or "set-cookie" in headers or scope["path"].startswith(LIVE):
            return
        session = signed.session.renewed(datetime.now(UTC))
        if session is not None:
            renewed = Response()
            set_session(renewed, session, self._master_keys(), URL(scope=scope))
            headers.append("set-cookie", renewed.headers["set-cookie"])
