"""What one approval shows the person who decides, and what keeps them from deciding."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pointwork.contract.approval import ApprovalRequest
from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import DecisionRecord, Effect, Grant, GrantKind
from pointwork.contract.task import ContentRef
from pointwork.contract.waiting import NO_MONEY, WaitingMoney
from pointwork.executors.differing import Piece, marked, member_values
from pointwork.gateway.console.access import Signed
from pointwork.gateway.console.task_facts import Decided, decided_of
from pointwork.gateway.console.timeline import said_of
from pointwork.gateway.permissions import Right
from pointwork.ledger.approval_rules import GivenVerdict
from pointwork.ledger.content import SealedContent
from pointwork.ledger.given_answers import given_answers
from pointwork.ledger.task_record import TaskRecords
from pointwork.ledger.vault import ContentUnavailableError
from pointwork.ledger.waiting import Waiting
from pointwork.policy.bundle import UnknownBundleError
from pointwork.policy.decide import decide
from pointwork.policy.reading.outcome_words import measured_words

if TYPE_CHECKING:
    from pointwork.gateway.app import Gateway

_ERASED = "This text was erased, or cannot be opened with the keys at hand."


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer in full; ``letter`` is empty where there is nothing to choose."""

    letter: str
    model: str
    cost_nano_usd: int | None
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Asked:
    """An approval as its page shows it."""

    request: ApprovalRequest
    money: WaitingMoney
    verdicts: tuple[GivenVerdict, ...]
    decided: Decided | None
    """The decision that is bound, where one is on record."""
    is_bound: bool
    """Whether the digest is that of the decision on record."""
    granted: str
    """Who would answer once it is approved, and at what most; empty where nothing is opened."""
    barred: str
    """Why the person who looks may not answer; empty where they may."""
    answers: tuple[Answer, ...] | None
    """None where the person may not read them."""
    members: tuple[tuple[str, list[str]], ...]
    """Where JSON answers differ, with each answer's value there."""

    @property
    def is_choice(self) -> bool:
        return self.request.asks_for is GrantKind.CHOICE

    @property
    def measured(self) -> str:
        compared = self.request.comparison
        return measured_words(compared.measured) if compared and compared.measured else "exactly"

    @property
    def answers_nano_usd(self) -> int:
        return sum(each.cost_nano_usd for each in self.request.options)


def read_asked(
    gateway: "Gateway", viewer: Signed, request: ApprovalRequest, running: DecisionRecord | None
) -> Asked:
    """Reads ledger and vault. Texts of others' tasks that it opens are noted in the chain."""
    task_id = request.task_id
    record = running or gateway.outcomes.latest_decision(task_id)
    texts = _texts(gateway, viewer, request)
    return Asked(
        request=request,
        money=Waiting(gateway.engine).money([task_id]).get(task_id, NO_MONEY),
        verdicts=tuple(gateway.approvals.verdicts(request.approval_id)),
        decided=decided_of(record, gateway.library) if record else None,
        is_bound=record is not None
        and sha256_hex(canonical_json(record)) == request.request_sha256,
        granted=_granted(gateway, viewer, request, record) if record else "",
        barred=barred_from(gateway, viewer, request),
        answers=_answers(request, texts) if texts is not None else None,
        members=_members(request, [text for _, text in texts or ()]),
    )


def _granted(
    gateway: "Gateway", viewer: Signed, request: ApprovalRequest, record: DecisionRecord
) -> str:
    """The decision made again as if this person had approved; it changes nothing."""
    given = Grant(
        kind=request.asks_for,
        approval_id=request.approval_id,
        approver=viewer.name,
        ceiling_nano_usd=request.ceiling_nano_usd,
    )
    grants = (*record.input.grants, given)
    try:
        bundle = gateway.library.by_hash(record.plan.policy.bundle_sha256)
    except UnknownBundleError:
        return ""
    plan = decide(record.input.model_copy(update={"grants": grants}), bundle)
    is_opened = record.plan.effect is not Effect.RUN and plan.effect is Effect.RUN
    return said_of(plan) if is_opened else ""


def _texts(
    gateway: "Gateway", viewer: Signed, request: ApprovalRequest
) -> list[tuple[str, str]] | None:
    """Model and answer of what a person must look at; None where this one may not."""
    refs = [(each.model, each.answer) for each in request.options]
    if request.asks_for is GrantKind.UNPASSED_ANSWER:
        refs = given_answers(gateway.engine, request.task_id)
    if not refs:
        return []
    is_own = viewer.is_own(request.requester)
    if not (is_own or viewer.may(Right.READ_CONTENT)):
        return None
    if not is_own:
        what = f"the answers of {request.approval_id}"
        records = TaskRecords(gateway.engine)
        records.shown(request.task_id, viewer.name, what, datetime.now(UTC), once=True)
    return [(model, _text(gateway, request.task_id, ref)) for model, ref in refs]


def _text(gateway: "Gateway", task_id: str, ref: ContentRef) -> str:
    try:
        return SealedContent(gateway.vault).answer_text(task_id, ref)
    except ContentUnavailableError:
        return _ERASED


def _answers(request: ApprovalRequest, texts: Sequence[tuple[str, str]]) -> tuple[Answer, ...]:
    plain = [text for _, text in texts]
    if not request.options:
        return tuple(
            Answer("", model, None, (Piece(text, differs=False),)) for model, text in texts
        )
    return tuple(
        Answer(option.letter, option.model, option.cost_nano_usd, pieces)
        for option, pieces in zip(request.options, marked(plain), strict=True)
    )


def _members(request: ApprovalRequest, texts: Sequence[str]) -> tuple[tuple[str, list[str]], ...]:
    compared = request.comparison
    if compared is None or compared.kind != "json" or not texts:
        return ()
    return tuple(member_values(texts))


def barred_from(gateway: "Gateway", viewer: Signed, request: ApprovalRequest) -> str:
    """Why this person may not answer; empty where they may."""
    if not viewer.may(Right.APPROVE):
        return "You may look at this and not decide it: that takes the role approver or owner."
    if viewer.name == request.requester:
        return "You asked for this yourself; another person decides."
    keys = [each for each in gateway.approvals.keys(request.requester)]
    bars = {each.barred for each in keys if each.approver == viewer.name}
    return "" if "" in bars or not bars else sorted(bars)[0]
