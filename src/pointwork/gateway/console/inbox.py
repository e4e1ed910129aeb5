"""Everything that waits for a person, and deciding it (OM-56, OM-58)."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict, SignedVerdict, Verdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.failures import TaskNotFoundError, TaskRefusedError
from pointwork.contract.task import TaskId
from pointwork.contract.waiting import NO_MONEY
from pointwork.gateway.console.access import Posted, Signed, Viewer, require
from pointwork.gateway.console.asked import read_asked
from pointwork.gateway.console.just_answered import remember_answered
from pointwork.gateway.console.pages import page
from pointwork.gateway.console.reasons import BadFormError, check_reason
from pointwork.gateway.console.sessions import PATH
from pointwork.gateway.console.signing import sign_shown
from pointwork.gateway.console.task_facts import running_decision
from pointwork.gateway.permissions import Right, may_read
from pointwork.gateway.problems import ProblemError, bad_request
from pointwork.gateway.tasks.routes import readable
from pointwork.ledger.console_keys import NoConsoleKeyError
from pointwork.ledger.waiting import Waiting

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

router = APIRouter()


@router.get("/inbox")
async def inbox(request: Request, viewer: Viewer) -> Response:
    """Oldest first; whoever may read the record sees everything, others what they asked for."""
    gateway: Gateway = request.app.state.gateway

    def read() -> list[dict[str, Any]]:
        asked = [
            each
            for each in gateway.approvals.waiting()
            if may_read(viewer.identity, each.requester)
        ]
        money = Waiting(gateway.engine).money([each.task_id for each in asked])
        return [
            {
                "request": each,
                "money": money.get(each.task_id, NO_MONEY),
                "approved": len(gateway.approvals.verdicts(each.approval_id)),
                "is_override": each.asks_for is GrantKind.OVERRIDE,
            }
            for each in asked
        ]

    waiting = await asyncio.to_thread(read)
    context = {
        "place": "inbox",
        "waiting": waiting,
        "live_url": f"{PATH}/live?inbox=1",
        "state": ",".join(sorted(e["request"].task_id for e in waiting if not e["is_override"])),
        "held_nano_usd": sum(each["money"].held_nano_usd for each in waiting),
    }
    return page(request, "inbox.html", context)


@router.get("/inbox/{task_id}")
async def show_approval(
    task_id: TaskId, request: Request, viewer: Viewer, blind: str = ""
) -> Response:
    """What is asked, with everything that is bound; ``blind`` leaves models and costs out."""
    gateway: Gateway = request.app.state.gateway
    found = await asyncio.to_thread(gateway.approvals.open_of, task_id)
    if found is None:
        await readable(gateway, task_id, viewer.identity)
        return RedirectResponse(f"{PATH}/tasks/{task_id}", 303)
    if _seen(viewer, found).asks_for is GrantKind.OVERRIDE:
        return RedirectResponse(f"{PATH}/overrides/{task_id}", 303)
    return await _approval_page(request, viewer, found, is_blind=bool(blind))


@router.post("/inbox/{task_id}")
async def decide(task_id: TaskId, request: Request, viewer: Viewer, fields: Posted) -> Response:
    """Sign the person's verdict on what they were shown, and deliver it to the task."""
    gateway: Gateway = request.app.state.gateway
    found = await asyncio.to_thread(gateway.approvals.find, fields.get("approval_id", ""))
    if found is None or found.task_id != task_id:
        raise _not_found(task_id)
    _seen(viewer, found)
    require(viewer, Right.APPROVE)
    if found.asks_for is GrantKind.OVERRIDE:
        remedy = f"{PATH}/overrides/{task_id} is the page that answers it"
        raise bad_request("not_a_task", f"{task_id} is an override and no task; {remedy}")
    given = len(await asyncio.to_thread(gateway.approvals.verdicts, found.approval_id))
    try:
        signed = await asyncio.to_thread(_signed, request, viewer, found, fields)
        await gateway.client.submit_verdict(signed)
    except (BadFormError, NoConsoleKeyError, TaskRefusedError, TaskNotFoundError) as error:
        is_fault = isinstance(error, BadFormError)
        return await _refused(request, viewer, fields, str(error), status=400 if is_fault else 409)
    said = _said(signed.verdict, is_last=found.approvers_min - given <= 1)
    response = RedirectResponse(f"{PATH}/tasks/{task_id}?said={said}", 303)
    remember_answered(response, request, found)
    return response


def _signed(
    request: Request, viewer: Signed, found: ApprovalRequest, fields: Mapping[str, str]
) -> SignedVerdict:
    """The verdict on what the form showed, whatever stands there by now: the task compares."""
    check_reason(fields.get("reason", ""))
    verdict = _verdict_named(fields.get("verdict", ""))
    is_chosen = found.asks_for is GrantKind.CHOICE and verdict is ApprovalVerdict.APPROVED
    if is_chosen and not fields.get("choice"):
        raise BadFormError("Choose one of the answers first.")
    choice = fields.get("choice") if is_chosen else None
    return sign_shown(request, viewer, found, fields, verdict, choice=choice)


def _verdict_named(name: str) -> ApprovalVerdict:
    try:
        return ApprovalVerdict(name)
    except ValueError:
        raise BadFormError("Press one of the two buttons.") from None


def _said(verdict: Verdict, *, is_last: bool) -> str:
    if verdict.verdict is ApprovalVerdict.REJECTED:
        return "rejected"
    if verdict.choice is not None:
        return "chosen"
    return "approved" if is_last else "counted"


def explained(why: str) -> str:
    """A refused verdict in the words of the rule, and what they mean where they do not say it."""
    if "may not answer this approval" not in why:
        return why
    return (
        f"{why}. You could not approve yet when it was asked; who may is read anew with a reminder"
    )


async def _refused(
    request: Request, viewer: Signed, fields: Mapping[str, str], why: str, *, status: int
) -> Response:
    """The page as it stands now, with the words of the rule and what the person had typed."""
    gateway: Gateway = request.app.state.gateway
    task_id = request.path_params["task_id"]
    found = await asyncio.to_thread(gateway.approvals.open_of, task_id)
    if found is None:
        raise ProblemError(409, "verdict_refused", why)
    why = explained(why)
    is_blind = bool(fields.get("blind"))
    return await _approval_page(
        request, viewer, found, is_blind=is_blind, why=why, fields=fields, status=status
    )


async def _approval_page(
    request: Request,
    viewer: Signed,
    found: ApprovalRequest,
    *,
    is_blind: bool,
    why: str = "",
    fields: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    gateway: Gateway = request.app.state.gateway
    given = fields or {}
    running = await running_decision(gateway, found.task_id)
    context = {
        "place": "inbox",
        "asked": await asyncio.to_thread(read_asked, gateway, viewer, found, running),
        "is_blind": is_blind,
        "why": why,
        "reason": given.get("reason", ""),
        "choice": given.get("choice", ""),
    }
    return page(request, "approval.html", context, status=status)


def _seen(viewer: Signed, found: ApprovalRequest) -> ApprovalRequest:
    if not may_read(viewer.identity, found.requester):
        raise _not_found(found.task_id)
    return found


def _not_found(task_id: str) -> TaskNotFoundError:
    return TaskNotFoundError(f"nothing about {task_id!r} waits that is yours to see")
