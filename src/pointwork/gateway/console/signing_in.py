"""Signing in with a person's access key, and out."""

import asyncio
import hmac
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from pointwork.contract.identity import Identity, IdentityKind
from pointwork.gateway.console.access import find_signed, form_fields, posted_by, signed_of
from pointwork.gateway.console.pages import page, set_session
from pointwork.gateway.console.sessions import COOKIE, PATH, Session
from pointwork.gateway.console.throttle import Throttle
from pointwork.gateway.permissions import Right, rights_of

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway
    from pointwork.ledger.console_keys import ConsoleKeys

router = APIRouter()

_FORM_COOKIE = "pointwork_sign_in"
_KEY_CHARACTERS_MAX = 200


@router.get("/sign-in")
async def sign_in_page(request: Request) -> Response:
    if await find_signed(request) is not None:
        return RedirectResponse(_inside(request.query_params.get("next", "")), 303)
    return _form(request, next_url=request.query_params.get("next", ""))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Start a session for the person whose key this is. A wrong key says nothing about why."""
    fields = await form_fields(request)
    next_url, now = fields.get("next", ""), datetime.now(UTC)
    given, kept = fields.get("csrf", ""), request.cookies.get(_FORM_COOKIE, "")
    if not kept or not hmac.compare_digest(given.encode(), kept.encode()):
        said = "This page was open for too long, or cookies are off. Try again."
        return _form(request, next_url=next_url, said=said, status=403)
    token = fields.get("key", "").strip()[:_KEY_CHARACTERS_MAX]
    key_id = token.split("_")[1] if token.count("_") >= 2 else "none"
    names = [f"key {key_id}", f"address {request.client.host if request.client else 'unknown'}"]
    throttle: Throttle = request.app.state.throttle
    wait_seconds = throttle.wait_seconds(names)
    if wait_seconds:
        said = f"Too many keys were wrong. Try again in {wait_seconds} s."
        response = _form(request, next_url=next_url, said=said, status=429)
        response.headers["retry-after"] = str(wait_seconds)
        return response
    gateway: Gateway = request.app.state.gateway
    holder = await asyncio.to_thread(gateway.callers.holder, token, now)
    if holder is None:
        throttle.failed(names)
        said = "This key opens nothing: it is wrong, was revoked, or has ended."
        return _form(request, next_url=next_url, said=said, status=401)
    if holder.kind is not IdentityKind.PERSON:
        said = f"This is the key of the {holder.kind} {holder.name}; sign in with a person's own."
        return _form(request, next_url=next_url, said=said, status=403)
    throttle.succeeded(names[0])
    await asyncio.to_thread(_let_sign, request, holder, now)
    response = RedirectResponse(_inside(next_url), 303)
    session = Session.start(key_id, holder.name, now)
    set_session(response, session, gateway.vault.master_keys, request.url)
    response.delete_cookie(_FORM_COOKIE, path=PATH)
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    await posted_by(request, await signed_of(request))
    response = RedirectResponse(f"{PATH}/sign-in", 303)
    response.delete_cookie(COOKIE, path=PATH)
    return response


def _let_sign(request: Request, holder: Identity, now: datetime) -> None:
    """Whoever may approve has a key for their verdicts; the next one, where it was revoked."""
    keys: ConsoleKeys = request.app.state.console_keys
    master_keys = request.app.state.gateway.vault.master_keys
    if Right.APPROVE in rights_of(holder):
        keys.ensure(holder.name, master_keys, now)


def _form(request: Request, *, next_url: str, said: str = "", status: int = 200) -> Response:
    token = secrets.token_urlsafe(32)
    context = {"token": token, "next_url": _inside(next_url), "said": said}
    response = page(request, "sign_in.html", context, status=status)
    response.set_cookie(
        _FORM_COOKIE,
        token,
        max_age=3600,
        path=PATH,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


def _inside(url: str) -> str:
    """The address where it is a page of the console; its first page otherwise."""
    is_plain = url.isprintable() and "\\" not in url and ".." not in unquote(url)
    is_page = url.startswith(f"{PATH}/") and not url.startswith(
        (f"{PATH}/sign-in", f"{PATH}/live", f"{PATH}/static")
    )
    return url if is_page and is_plain else f"{PATH}/tasks"
