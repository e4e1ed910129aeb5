"""The audit chain: its records, the log line of each outcome, and recomputing the last hashes."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from pointwork.contract.outcome import TaskOutcome
from pointwork.gateway.console.access import Viewer, require
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.permissions import Right
from pointwork.gateway.problems import ProblemError
from pointwork.ledger.audit import AuditChain, AuditRecord
from pointwork.ledger.logline import render_log_line

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()

Text = Annotated[str, Query(max_length=128)]
_ROWS = 50
_SEQUENCE_MAX = 2**63 - 1
_VERIFIED_DEFAULT, _VERIFIED_MAX = 2_000, 5_000


@router.get("/audit")
async def list_records(
    request: Request,
    viewer: Viewer,
    kind: Text = "",
    task: Text = "",
    before: Annotated[int | None, Query(ge=1, le=_SEQUENCE_MAX)] = None,
) -> Response:
    """Latest first, of one kind or task or all."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway
    chain, task_id = AuditChain(gateway.engine), task.strip()

    def read() -> dict[str, Any]:
        found = chain.latest(_ROWS + 1, before=before, kind=kind, task_id=task_id)
        return {"records": found[:_ROWS], "is_cut": len(found) > _ROWS, "kinds": chain.kinds()}

    context = await asyncio.to_thread(read)
    given = {name: value for name, value in (("kind", kind), ("task", task_id)) if value}
    records: list[AuditRecord] = context["records"]
    next_query = urlencode(given | {"before": records[-1].sequence}) if records else ""
    context |= {
        "place": "audit",
        "kind": kind,
        "task": task_id,
        "is_filtered": bool(given),
        "line_of": _line,
        "is_first": before is None,
        "first_url": f"{PATH}/audit?{urlencode(given)}" if given else f"{PATH}/audit",
        "next_url": f"{PATH}/audit?{next_query}" if context["is_cut"] else None,
        "last_default": _VERIFIED_DEFAULT,
        "last_max": _VERIFIED_MAX,
    }
    return page(request, "audit.html", context)


@router.get("/audit/verify")
async def verify(
    request: Request,
    viewer: Viewer,
    last: Annotated[int, Query(ge=1, le=_VERIFIED_MAX)] = _VERIFIED_DEFAULT,
) -> Response:
    """Recompute the hashes of the last records; `pointwork audit verify` does all of them."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway
    report = await asyncio.to_thread(AuditChain(gateway.engine).verify_last, last)
    context = {"place": "audit", "report": report, "last": last, "last_max": _VERIFIED_MAX}
    return page(request, "audit_verify.html", context)


@router.get("/audit/{sequence}")
async def show_record(
    request: Request, viewer: Viewer, sequence: Annotated[int, Path(ge=1, le=_SEQUENCE_MAX)]
) -> Response:
    """One record in full. No record holds the text of a task."""
    require(viewer, Right.READ_RECORD)
    gateway: Gateway = request.app.state.gateway
    found = await asyncio.to_thread(AuditChain(gateway.engine).find, sequence)
    if found is None:
        raise ProblemError(404, "no_such_record", f"the audit chain has no record {sequence}")
    context = {"place": "audit", "record": found, "line": _line(found)}
    return page(request, "audit_record.html", context)


def _line(record: AuditRecord) -> str:
    """The outcome's line as `pointwork audit log` has it; empty for every other record."""
    if record.kind != "outcome":
        return ""
    try:
        return render_log_line(TaskOutcome.model_validate(record.body["outcome"]))
    except (ValidationError, KeyError):
        return "an outcome that this version cannot read"
