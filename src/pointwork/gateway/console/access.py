"""Who looks at a page, and whether a form is one of ours."""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request

from pointwork.contract.identity import Identity, IdentityKind
from pointwork.gateway.access import allowed
from pointwork.gateway.console.sessions import COOKIE, PATH, Session, unseal
from pointwork.gateway.permissions import Right, is_own, rights_of
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.access_keys import AccessKeys

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

_FIELDS_MAX = 20


@dataclass(frozen=True)
class Signed:
    """A person who is signed in, by a key that opens something now."""

    identity: Identity
    session: Session

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def csrf(self) -> str:
        return self.session.csrf

    def may(self, right: Right) -> bool:
        return right in rights_of(self.identity)

    def is_own(self, caller: str) -> bool:
        return is_own(self.identity, caller)


class NotSignedInError(Exception):
    """Nobody is signed in; ``next_url`` is where the person wanted to go."""

    def __init__(self, next_url: str) -> None:
        super().__init__(next_url)
        self.next_url = next_url

    @property
    def sign_in_url(self) -> str:
        return f"{PATH}/sign-in?next={quote(self.next_url)}" if self.next_url else f"{PATH}/sign-in"


async def find_signed(request: Request) -> Signed | None:
    """Who the request's cookie says is signed in, if their key still opens anything."""
    gateway: Gateway = request.app.state.gateway
    value = request.cookies.get(COOKIE)
    if not value:
        return None
    now = datetime.now(UTC)
    session = unseal(value, gateway.vault.master_keys, now)
    if session is None:
        return None
    keys = AccessKeys(gateway.engine)
    holder = await asyncio.to_thread(keys.holder_of, session.key_id, now)
    if holder is None or holder.name != session.name or holder.kind is not IdentityKind.PERSON:
        return None
    return Signed(holder, session)


async def signed_of(request: Request) -> Signed:
    """Whoever is signed in.

    Raises:
        NotSignedInError: nobody is.
    """
    found = await find_signed(request)
    if found is None:
        wanted = request.url.path if request.method == "GET" else ""
        query = f"?{request.url.query}" if wanted and request.url.query else ""
        raise NotSignedInError(wanted + query)
    request.state.signed = found
    return found


Viewer = Annotated[Signed, Depends(signed_of)]


async def posted_by(request: Request, viewer: Viewer) -> Mapping[str, str]:
    """The fields of a form that this session was given.

    Raises:
        ProblemError: 403 for a form of another site or session.
    """
    fields = await form_fields(request)
    if not hmac.compare_digest(fields.get("csrf", "").encode(), viewer.csrf.encode()):
        raise ProblemError(
            403,
            "foreign_form",
            "the form is not one of this session; go back, load the page anew and send it again",
        )
    return fields


Posted = Annotated[Mapping[str, str], Depends(posted_by)]


async def form_fields(request: Request) -> Mapping[str, str]:
    """The text fields of a form that a page of ours sent.

    Raises:
        ProblemError: 403 where another site sent it, 400 where it is no such form.
    """
    check_origin(request)
    if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
        raise ProblemError(400, "not_a_form", "the body is no form; use the console's own pages")
    form = await request.form(max_files=0, max_fields=_FIELDS_MAX)
    return {name: value for name, value in form.items() if isinstance(value, str)}


def check_origin(request: Request) -> None:
    """Refuse what another site had a browser send.

    Raises:
        ProblemError: 403. A browser that is told to keep the referrer to itself says ``null`` for
            its own pages too; then what it says of the site decides, and the form's token always.
    """
    origin = request.headers.get("origin", "null")
    host = request.headers.get("host", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    is_ours = urlsplit(origin).netloc == host if origin != "null" else site == "same-origin"
    if not is_ours:
        raise ProblemError(
            403, "foreign_form", "the form was sent from another site; use the console's own pages"
        )


def require(viewer: Signed, right: Right) -> None:
    """Raises ProblemError, 403, where the person has not the right."""
    allowed(viewer.identity, right)
