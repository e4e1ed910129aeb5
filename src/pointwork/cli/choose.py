"""``pointwork choose``: answers that differ, side by side, and a person's signed choice of one."""

import asyncio
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from pointwork.cli.approvals import (
    As,
    check_reason,
    deliver,
    signed_verdict,
    waiting_for,
)
from pointwork.cli.deployment import open_ledger, open_vault
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir, TaskIdArgument
from pointwork.cli.owner import OWNER
from pointwork.cli.screen import Screen, facts, listed, shown, table, usd
from pointwork.contract.approval import ApprovalRequest, ApprovalVerdict
from pointwork.contract.decision import GrantKind
from pointwork.policy.reading.outcome_words import measured_words

if TYPE_CHECKING:
    from sqlalchemy import Engine

_LINE_STYLES = {"+": "green", "-": "red", "@": "cyan"}

Chosen = Annotated[
    str | None, typer.Argument(metavar="[ANSWER]", help="Letter of the answer; none shows all.")
]
Why = Annotated[
    str | None, typer.Option("--reason", help="Why this one, in a sentence; it is recorded.")
]
Blind = Annotated[
    bool, typer.Option("--blind", help="Hide which model gave which answer, and what each cost.")
]


def choose(
    task_id: TaskIdArgument,
    answer: Chosen = None,
    reason: Why = None,
    approver: As = OWNER,
    blind: Blind = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Look at answers that differ, or choose one of them. Nobody else does (OM-59).

    Without ANSWER every answer is printed in full, with what differs.
    """
    engine = open_ledger(state_dir)
    request = _waiting_choice(engine, task_id)
    screen = Screen(as_json=as_json)
    if answer is None:
        if reason is not None:
            problem = "--reason is given without an answer to choose"
            raise CliError(problem, f"name one of {_letters(request)}")
        return _show(screen, request, _texts(engine, state_dir, request), blind=blind)
    letter = answer.upper()
    if letter not in {each.letter for each in request.options}:
        raise CliError(f"{answer!r} is none of the answers", f"name one of {_letters(request)}")
    if reason is None:
        problem = "--reason is missing"
        raise CliError(problem, f'say why: `pointwork choose {task_id} {letter} --reason "..."`')
    check_reason(reason)
    signed = signed_verdict(
        request, ApprovalVerdict.APPROVED, reason, approver, state_dir, choice=letter
    )
    asyncio.run(deliver(state_dir, signed))
    if as_json:
        screen.document(signed.verdict.model_dump(mode="json"))
    else:
        said = f"Answer {letter} is the answer of task {task_id}"
        screen.say(f"{said}; `pointwork show {task_id} --answer` prints it.")
    return ExitCode.OK


def _waiting_choice(engine: "Engine", task_id: str) -> ApprovalRequest:
    request = waiting_for(engine, task_id)
    if request.asks_for is not GrantKind.CHOICE:
        asked = request.asks_for.replace("_", " ")
        problem = f"task {task_id} waits for an approval ({asked}), not for a choice"
        raise CliError(problem, f"see `pointwork explain {task_id}`, then `pointwork approve`")
    return request


def _letters(request: ApprovalRequest) -> str:
    return listed(each.letter for each in request.options)


def _texts(engine: "Engine", state_dir: Path, request: ApprovalRequest) -> list[str]:
    """Every answer in full, opened from the vault."""
    from pointwork.ledger.content import SealedContent

    content = SealedContent(open_vault(engine, state_dir))
    return [content.answer_text(request.task_id, each.answer) for each in request.options]


def _show(screen: Screen, request: ApprovalRequest, texts: Sequence[str], *, blind: bool) -> int:
    if screen.as_json:
        screen.document(_document(request, texts, blind=blind))
        return ExitCode.OK
    compared, total = request.comparison, sum(each.cost_nano_usd for each in request.options)
    measured = compared.measured if compared else None
    screen.show(
        facts(
            [
                ("task", request.task_id),
                ("question", request.reason.sentence),
                ("differs at", listed(compared.differences) if compared else "unknown"),
                *([("compared", measured_words(measured))] if measured else []),
                ("cost", f"{usd(total)} for all answers; choosing costs nothing"),
                ("until", request.expires_at.isoformat(timespec="seconds")),
            ]
        )
    )
    for option, text in zip(request.options, texts, strict=True):
        whose = "" if blind else f": {option.model}, {usd(option.cost_nano_usd)}"
        screen.line()
        screen.line(f"=== Answer {option.letter}{whose}", style="bold")
        screen.text(text)
    screen.line()
    screen.line("=== What differs", style="bold")
    if compared is not None and compared.kind == "json":
        _show_members(screen, request, texts)
    else:
        for line in _unified(request, texts):
            screen.out.print(Text(shown(line), _LINE_STYLES.get(line[:1], "")), soft_wrap=True)
    screen.note(f'Choose with `pointwork choose {request.task_id} LETTER --reason "..."`.')
    return ExitCode.OK


def _unified(request: ApprovalRequest, texts: Sequence[str]) -> Iterator[str]:
    """Each answer against the first one shown."""
    names = [f"Answer {each.letter}" for each in request.options]
    first = texts[0].splitlines()
    for name, text in zip(names[1:], texts[1:], strict=True):
        yield from difflib.unified_diff(first, text.splitlines(), names[0], name, lineterm="")


def _show_members(screen: Screen, request: ApprovalRequest, texts: Sequence[str]) -> None:
    from pointwork.executors.differing import member_values

    letters = [each.letter for each in request.options]
    rows = table("PLACE", *letters, shrink=letters)
    for path, values in member_values(texts):
        rows.add_row(shown(path), *(shown(each) for each in values))
    screen.show(rows)


def _document(request: ApprovalRequest, texts: Sequence[str], *, blind: bool) -> dict[str, Any]:
    options = []
    for option, text in zip(request.options, texts, strict=True):
        whose = {"model": option.model, "cost_nano_usd": option.cost_nano_usd}
        options.append({"letter": option.letter, **({} if blind else whose), "answer": text})
    compared = request.comparison
    return {
        "task_id": request.task_id,
        "approval_id": request.approval_id,
        "disagreement": True,
        "expires_at": request.expires_at.isoformat(),
        "cost_nano_usd": sum(each.cost_nano_usd for each in request.options),
        "comparison": compared.model_dump(mode="json") if compared else None,
        "answers": options,
    }
