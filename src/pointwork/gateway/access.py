"""Who calls: the holder of the key in the ``Authorization`` header."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from pointwork.contract.identity import Identity
from pointwork.gateway.permissions import Right, rights_of
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.access_keys import AccessKeys

_KNOWN_MAX = 10_000


class Callers:
    """Finds the holder of a key. The slow hash is computed once a process for each key.

    What was computed says only that the secret is right; whether the key still opens anything is
    read from the ledger at every request, so a revoked one opens nothing from then on.
    """

    def __init__(self, keys: AccessKeys) -> None:
        self._keys = keys
        self._known: OrderedDict[bytes, str] = OrderedDict()

    def holder(self, token: str, now: datetime) -> Identity | None:
        """Whose key ``token`` is; None where it opens nothing now. Thread-safe."""
        digest = hashlib.sha256(token.encode()).digest()
        key_id = self._known.get(digest)
        if key_id is not None:
            return self._keys.holder_of(key_id, now)
        found = self._keys.holder(token, now)
        if found is not None:
            self._known[digest] = token.split("_")[1]
            while len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return found


def bearer(request: Request) -> str | None:
    """The key of the request; Anthropic's clients send it in a header of their own."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key") or None


class KeyFirst(APIRoute):
    """A route that looks at the key before the body, which nobody without one has it read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handled = super().get_route_handler()

        async def opened(request: Request) -> Response:
            await caller_of(request)
            return await handled(request)

        return opened


async def caller_of(request: Request) -> Identity:
    """The account that calls, looked up once a request.

    Raises:
        ProblemError: 401 without a key that opens something.
    """
    known: Identity | None = getattr(request.state, "caller", None)
    if known is not None:
        return known
    token = bearer(request)
    callers: Callers = request.app.state.gateway.callers
    now = datetime.now(UTC)
    found = await asyncio.to_thread(callers.holder, token, now) if token else None
    if found is None:
        what = "is not one that opens anything now" if token else "is missing"
        raise ProblemError(
            401,
            "invalid_api_key",
            f"the key in the Authorization header {what}; send `Authorization: Bearer KEY` with a "
            "key of `pointwork access create`",
            headers={"www-authenticate": "Bearer"},
        )
    request.state.caller = found
    return found


class Requires:
    """A dependency: the caller, who has the right."""

    def __init__(self, right: Right) -> None:
        self._right = right

    def __call__(self, caller: Annotated[Identity, Depends(caller_of)]) -> Identity:
        return allowed(caller, self._right)


def allowed(caller: Identity, right: Right) -> Identity:
    """``caller``, who has the right.

    Raises:
        ProblemError: 403 where they have not.
    """
    if right not in rights_of(caller):
        raise ProblemError(
            403,
            "not_permitted",
            f"{caller.name!r} may not {right.replace('_', ' ')}; its roles are "
            f"{', '.join(caller.roles) or 'none'}; an owner changes them with "
            "`pointwork person change`",
        )
    return caller


Submitter = Annotated[Identity, Depends(Requires(Right.SUBMIT))]
Reader = Annotated[Identity, Depends(caller_of)]
Approver = Annotated[Identity, Depends(Requires(Right.APPROVE))]
Auditor = Annotated[Identity, Depends(Requires(Right.READ_RECORD))]
Owner = Annotated[Identity, Depends(Requires(Right.GOVERN))]
