"""``/console/codec/decode``: what Temporal's UI and CLI ask to show sealed payloads in the clear.

The protocol names no workflow, so a payload says itself which one it belongs to; that it does is
what opening it proves. Below ``/console``, since that is as far as the session's cookie goes.
"""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import Response
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from temporalio.api.common.v1 import Payload, Payloads

from pointwork.contract.identity import Identity
from pointwork.gateway.access import allowed, bearer, caller_of
from pointwork.gateway.console.access import find_signed
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import Right
from pointwork.gateway.problems import ProblemError, bad_request
from pointwork.ledger.task_record import TaskRecords

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

CODEC_PATH = f"{PATH}/codec"
PAYLOADS_MAX = 5_000

router = APIRouter(prefix=CODEC_PATH, tags=["Temporal"])

_ASKED_HEADERS = "authorization, content-type, x-namespace"


@router.options("/decode", include_in_schema=False)
async def ask_leave(request: Request) -> Response:
    """A browser's question before it sends what a page of another address asks it to."""
    return Response(status_code=204, headers=_page_headers(request))


@router.post("/decode", response_model=None)
async def decode(request: Request) -> Response:
    """The payloads as their workflow saw them; one that does not open stays as it came.

    For whoever may read the record: with an access key, or, from the page of Temporal's UI that
    this deployment names and no other, with the console's session. Each reader is on record.

    Raises:
        ProblemError: 400 for what are no payloads, 401 and 403 for who may not, 404 where nothing
            is sealed.
    """
    headers = _page_headers(request)
    try:
        body = await _decoded(request)
    except ProblemError as problem:
        # The page is let read why, too.
        problem.headers = headers | problem.headers
        raise
    return Response(body, media_type="application/json", headers=headers)


async def _decoded(request: Request) -> str:
    gateway: Gateway = request.app.state.gateway
    reader = allowed(await _reader(request), Right.READ_RECORD)
    if gateway.codec is None:
        raise ProblemError(404, "nothing_sealed", "no payload keys are set: payloads are plain")
    namespace = request.headers.get("x-namespace", gateway.namespace)
    if namespace != gateway.namespace:
        detail = f"x-namespace: {namespace[:64]!r} is not this one, {gateway.namespace!r}"
        raise ProblemError(403, "other_namespace", detail, "x-namespace")
    opened, shown = [], set()
    for payload in _payloads(await request.body()):
        found = gateway.codec.shown(payload, namespace)
        opened.append(found.payload)
        shown |= {found.workflow_id} if found.workflow_id else set()
    await asyncio.to_thread(_note, gateway, reader, sorted(shown))
    return MessageToJson(Payloads(payloads=opened))


async def _reader(request: Request) -> Identity:
    """Whose key or session the request has; a key goes first."""
    if bearer(request) is None and (signed := await find_signed(request)) is not None:
        if "origin" not in request.headers:
            # Every browser names it here; without it nothing says which page asked.
            raise _foreign()
        return signed.identity
    return await caller_of(request)


def _page_headers(request: Request) -> dict[str, str]:
    """What lets the page of Temporal's UI read the answer.

    Raises:
        ProblemError: 403 for a page of any other address.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return {"cache-control": "no-store"}
    gateway: Gateway = request.app.state.gateway
    place = urlsplit(gateway.options.temporal_ui_url)
    if not place.netloc or origin != f"{place.scheme}://{place.netloc}":
        raise _foreign()
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-allow-headers": _ASKED_HEADERS,
        "access-control-allow-methods": "POST",
        "cache-control": "no-store",
        "vary": "origin",
    }


def _foreign() -> ProblemError:
    return ProblemError(
        403,
        "foreign_page",
        "only the page of Temporal's UI that POINTWORK_GATEWAY_TEMPORAL_UI_URL names may ask; open "
        "it under exactly that address",
    )


def _payloads(body: bytes) -> list[Payload]:
    try:
        found = Parse(body, Payloads(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError, RecursionError):
        detail = "the body: is no list of payloads as Temporal's codec protocol has it"
        raise bad_request("invalid_payloads", detail) from None
    if len(found.payloads) > PAYLOADS_MAX:
        detail = f"payloads: {len(found.payloads)} are too many; ask for {PAYLOADS_MAX} at a time"
        raise bad_request("too_many_payloads", detail, "payloads")
    return list(found.payloads)


def _note(gateway: "Gateway", reader: Identity, workflow_ids: list[str]) -> None:
    records, now = TaskRecords(gateway.engine), datetime.now(UTC)
    for each in workflow_ids:
        records.shown(each, reader.name, "payloads", now, once=True)
