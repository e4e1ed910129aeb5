"""``pointwork inbox``, ``approve`` and ``deny``: what waits, and a person's signed verdict."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.declaring import refuse_credentials
from pointwork.cli.deployment import connect, open_ledger
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir, TaskIdArgument
from pointwork.cli.owner import OWNER, key_id_of, load_key
from pointwork.cli.screen import Screen, age, table, usd
from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.contract.waiting import NO_MONEY, WaitingMoney

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

    from pointwork.contract.approval import SignedVerdict
    from pointwork.ledger.approvals import ApprovalBook

_VALID_FOR = timedelta(minutes=10)
"""How long a signed verdict may travel; it is delivered at once."""
_REASON_CHARACTERS_MIN, _REASON_CHARACTERS_MAX = 8, 500

Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; it is recorded.")]
As = Annotated[str, typer.Option("--as", help="Who decides; needs a key on this machine.")]


def inbox(state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False) -> None:
    """What waits for a person: for how long, up to which amount, and what waiting costs."""
    from pointwork.ledger.approvals import ApprovalBook
    from pointwork.ledger.waiting import Waiting

    engine = open_ledger(state_dir)
    book = ApprovalBook(engine)
    waiting = book.waiting()
    money = Waiting(engine).money([each.task_id for each in waiting])
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document([_document(book, each, money) for each in waiting])
    if not waiting:
        return screen.say("Nothing waits for a person.")
    now = datetime.now(UTC)
    figures = ["UP TO", "HELD", "SPENT", "AGE", "LEFT"]
    rows = table("TASK", "ASKS FOR", "BY", "YES", *figures, right=figures, shrink=["TASK"])
    for each in waiting:
        left = max(0.0, (each.expires_at - now).total_seconds())
        held = money.get(each.task_id, NO_MONEY)
        rows.add_row(
            each.task_id,
            each.asks_for.replace("_", " "),
            each.requester,
            f"{len(book.verdicts(each.approval_id))} of {each.approvers_min}",
            usd(each.ceiling_nano_usd),
            usd(held.held_nano_usd),
            usd(held.spent_nano_usd),
            age((now - each.opened_at).total_seconds()),
            age(left),
        )
    screen.show(rows)
    screen.say()
    for each in waiting:
        screen.say(f"{each.task_id}: {each.reason.sentence}")
        if each.active_policy is not None:
            now_active = f"{each.active_policy.pack} {each.active_policy.version}"
            screen.say(f"{each.task_id}: {now_active} is active now; the task keeps its own.")
    if any(each.asks_for is GrantKind.CHOICE for each in waiting):
        screen.note("`pointwork choose ID` shows the answers that a choice is between.")
    if any(each.asks_for is GrantKind.OVERRIDE for each in waiting):
        screen.note("`pointwork override list` shows overrides, `override acknowledge ID` answers.")
    if all(each.asks_for in (GrantKind.CHOICE, GrantKind.OVERRIDE) for each in waiting):
        return None
    return screen.note('See `pointwork explain ID`, then `pointwork approve ID --reason "..."`.')


def _document(
    book: "ApprovalBook", request: ApprovalRequest, money: "Mapping[str, WaitingMoney]"
) -> dict[str, Any]:
    held = money.get(request.task_id, NO_MONEY)
    return request.model_dump(mode="json") | {
        "approved_by": [each.approver for each in book.verdicts(request.approval_id)],
        "held_nano_usd": held.held_nano_usd,
        "spent_nano_usd": held.spent_nano_usd,
    }


def approve(
    task_id: TaskIdArgument,
    reason: Reason,
    approver: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Let a held task run, up to the amount it asked for."""
    return _decide(task_id, ApprovalVerdict.APPROVED, reason, approver, state_dir, as_json)


def deny(
    task_id: TaskIdArgument,
    reason: Reason,
    approver: As = OWNER,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """End a held task: it is denied."""
    return _decide(task_id, ApprovalVerdict.REJECTED, reason, approver, state_dir, as_json)


def _decide(
    task_id: str,
    verdict: ApprovalVerdict,
    reason: str,
    approver: str,
    state_dir: Path,
    as_json: bool,
) -> int:
    check_reason(reason)
    request = waiting_for(open_ledger(state_dir), task_id)
    if request.asks_for is GrantKind.OVERRIDE:
        remedy = "`pointwork override acknowledge` or `pointwork override strike` answers it"
        raise CliError(f"{task_id} is an override and no task", remedy)
    if request.asks_for is GrantKind.CHOICE and verdict is ApprovalVerdict.APPROVED:
        problem = f"task {task_id} waits for a choice between answers"
        raise CliError(problem, f"see them with `pointwork choose {task_id}`")
    signed = signed_verdict(request, verdict, reason, approver, state_dir)
    asyncio.run(deliver(state_dir, signed))
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(signed.verdict.model_dump(mode="json"))
    elif request.approvers_min > 1 and verdict is ApprovalVerdict.APPROVED:
        needed = f"{request.approvers_min} persons must approve"
        screen.say(f"{approver} approves task {task_id}; {needed}, see `pointwork inbox`.")
    else:
        screen.say(f"Task {task_id} is {verdict}; `pointwork show {task_id}` follows it.")
    return ExitCode.OK


def waiting_for(engine: "Engine", task_id: str) -> ApprovalRequest:
    """What the task asks a person.

    Raises:
        CliError: it asks nothing.
    """
    from pointwork.ledger.approvals import ApprovalBook

    for each in ApprovalBook(engine).waiting():
        if each.task_id == task_id:
            return each
    problem = f"task {task_id!r} waits for no approval"
    raise CliError(problem, "see `pointwork inbox` for those that do")


def check_reason(reason: str, option: str = "--reason") -> None:
    """Refuse what is no sentence, or holds a credential.

    Raises:
        CliError: with the bounds.
    """
    length = len(reason.strip())
    if not _REASON_CHARACTERS_MIN <= length <= _REASON_CHARACTERS_MAX:
        raise CliError(
            f"{option} has {length} characters",
            f"say why in {_REASON_CHARACTERS_MIN} to {_REASON_CHARACTERS_MAX}",
        )
    refuse_credentials(option, reason)


def signed_verdict(
    request: ApprovalRequest,
    verdict: ApprovalVerdict,
    reason: str,
    approver: str,
    state_dir: Path,
    *,
    choice: str | None = None,
) -> "SignedVerdict":
    """The verdict of ``approver``, whose key lies on this machine."""
    from pointwork.contract.approval import Verdict
    from pointwork.verdicts import sign

    key = load_key(state_dir, approver)
    now = datetime.now(UTC)
    unsigned = Verdict(
        approval_id=request.approval_id,
        task_id=request.task_id,
        verdict=verdict,
        approver=approver,
        reason=reason.strip(),
        request_sha256=request.request_sha256,
        policy_sha256=request.policy_sha256,
        ceiling_nano_usd=request.ceiling_nano_usd,
        decided_at=now,
        expires_at=now + _VALID_FOR,
        token_id=f"token-{uuid.uuid4()}",
        choice=choice,
    )
    return sign(unsigned, key, key_id_of(approver, key.public_key().public_bytes_raw()))


async def deliver(state_dir: Path, signed: "SignedVerdict") -> None:
    await (await connect(state_dir)).client.submit_verdict(signed)
