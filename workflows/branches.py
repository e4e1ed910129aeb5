"""Several models answer one task side by side; where they differ, a person chooses (OM-52 to 63).

Nothing here prefers one of several answers: equal ones are one answer, one that is alone is the
answer, and answers that differ go to a person as they are.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

import workflows.call_steps as call_steps
import workflows.calls as calls
from workflows.failures import read_failure
from workflows.trail import Ending, Trail

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.approval import ApprovalRequest, Verdict
    from pointwork.contract.branches import BranchOption, Comparison, Selection
    from pointwork.contract.canonical import canonical_bytes, sha256_hex
    from pointwork.contract.decision import Candidate, FailedAttempt, GrantKind
    from pointwork.contract.failures import FailureType
    from pointwork.contract.outcome import (
        BranchState,
        BranchSummary,
        CheckResult,
        Invocation,
        Reservation,
        ReserveOutcome,
        Settlement,
        TaskStatus,
    )
    from pointwork.contract.reasons import ReasonCode
    from pointwork.contract.steps import Compare, Verify
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.documents.approval_times import ApprovalTimes

Enter = Callable[[TaskStatus], None]
"""Tells people which state the task enters."""


@dataclass(frozen=True)
class Branch:
    """One model's part: its answer, or what kept it from answering."""

    candidate: Candidate
    number: int
    invocation: Invocation | None = None
    state: BranchState = BranchState.ANSWERED
    cause: str = ""
    failed: FailedAttempt | None = None
    cost_nano_usd: int = 0
    settlement: Settlement = Settlement.EXACT
    letter: str | None = None

    def summary(self) -> BranchSummary:
        answered = self.invocation if self.state is BranchState.ANSWERED else None
        return BranchSummary(
            number=self.number,
            model=self.candidate.model,
            vendor=self.candidate.vendor,
            state=self.state,
            cause=self.cause,
            letter=self.letter,
            answer=answered.answer if answered else None,
            cost_nano_usd=self.cost_nano_usd,
            settlement=self.settlement,
        )


@dataclass(frozen=True)
class Disagreement:
    """Answers that differ: by letter, in the order in which a person sees them."""

    branches: tuple[Branch, ...]
    comparison: Comparison


async def answer(trail: Trail, bundle: PolicyBundle, enter: Enter) -> Ending | Disagreement | None:
    """Hold, call and compare. None where no model answered and the plan is to be made anew."""
    plan = trail.decided().plan
    candidates = plan.candidates[: plan.branches]
    numbered = list(zip(candidates, trail.begin_branches(candidates), strict=True))
    enter(TaskStatus.RESERVING)
    held = await call_steps.hold_and_redact(trail, numbered, bundle)
    if held[0].outcome is ReserveOutcome.OVERRIDE_OVER:
        trail.override_over(candidates, held[0])
        return None
    if trail.take_raise(candidates):
        return None
    dropped = _dropped(trail, numbered, held)
    running = [each for each, one in zip(numbered, held, strict=True) if call_steps.is_held(one)]
    if not running:
        return _over_budget(trail, dropped, held)
    enter(TaskStatus.INVOKING)
    ended = await _all(trail, running, bundle)
    answered = [each for each in ended if each.state is BranchState.ANSWERED]
    if len(answered) > 1:
        return await _compared(trail, answered, [*dropped, *ended], bundle, enter)
    _note(trail, [*dropped, *ended])
    trail.failed += [each.failed for each in ended if each.failed is not None]
    if not answered:
        trail.last, trail.last_cause = ended[-1].candidate, ended[-1].cause
        return None
    (alone,) = answered
    why = "; ".join(f"{b.candidate.model}: {b.cause}" for b in (*dropped, *ended) if b.cause)
    reason = f"1 of {len(numbered)} models answered, so nothing was compared. {why}".strip()
    return Ending(
        TaskStatus.SUCCEEDED, reason=reason, candidate=alone.candidate, invocation=alone.invocation
    )


def _dropped(
    trail: Trail, numbered: Sequence[call_steps.NumberedCall], held: Sequence[Reservation]
) -> list[Branch]:
    """Those for which no money could be held; nobody is called for them."""
    found = []
    for (candidate, number), one in zip(numbered, held, strict=True):
        if call_steps.is_held(one):
            continue
        trail.estimate_nano_usd -= candidate.estimate_nano_usd
        cause = f"{FailureType.BUDGET_EXCEEDED} by {one.refused_by or one.outcome}"
        found.append(Branch(candidate, number, state=BranchState.DROPPED, cause=cause))
    return found


def _over_budget(trail: Trail, dropped: list[Branch], held: Sequence[Reservation]) -> Ending:
    _note(trail, dropped)
    failure = FailureType.BUDGET_EXCEEDED
    refused_by = held[0].refused_by or held[0].outcome
    reason = f"{failure.sentence} Refused by {refused_by}."
    return Ending(TaskStatus.DENIED, failure, reason)


async def _all(
    trail: Trail, running: Sequence[call_steps.NumberedCall], bundle: PolicyBundle
) -> list[Branch]:
    """Every call at once (OM-52). Trouble of one branch does not cost the answers of the others.

    Raises:
        ActivityError: no branch answered, and one of them failed as no provider's call does.
    """
    give_up_after = timedelta(seconds=bundle.pack.deadline_seconds)
    results = await asyncio.gather(
        *(_one(trail, *each, give_up_after) for each in running), return_exceptions=True
    )
    ended: list[Branch] = []
    strange: BaseException | None = None
    for (candidate, number), result in zip(running, results, strict=True):
        if isinstance(result, Branch):
            ended.append(result)
            continue
        if not isinstance(result, ActivityError):
            raise result
        strange = strange or result
        branch = Branch(
            candidate,
            number,
            state=BranchState.FAILED,
            cause=_strange_cause(result),
            cost_nano_usd=candidate.estimate_nano_usd,
            settlement=Settlement.AT_LEAST,
        )
        ended.append(branch)
    if strange is not None and all(each.state is not BranchState.ANSWERED for each in ended):
        _note(trail, ended)
        raise strange
    return ended


async def _one(trail: Trail, candidate: Candidate, number: int, give_up_after: timedelta) -> Branch:
    """One call and the check its answer owes; its failure is a value.

    Raises:
        ActivityError: it is no provider's failure.
    """
    try:
        call = call_steps.call_of(trail, candidate, number)
        invocation = await calls.invoke(call, give_up_after)
    except ActivityError as error:
        failure = read_failure(error, candidate)
        return Branch(
            candidate,
            number,
            state=BranchState.FAILED,
            cause=failure.kind,
            failed=FailedAttempt(model=candidate.model, kind=failure.kind),
            cost_nano_usd=failure.cost_nano_usd,
            settlement=failure.settlement,
        )
    made = Branch(
        candidate,
        number,
        invocation,
        cost_nano_usd=invocation.cost_nano_usd,
        settlement=invocation.settlement,
    )
    if not call_steps.is_checked(trail):
        return made
    result = await call_steps.check(trail, invocation)
    if result.passed:
        return made
    return replace(
        made,
        state=BranchState.FAILED,
        cause=f"{result.check}: {result.detail}",
        failed=FailedAttempt(model=candidate.model),
    )


def _strange_cause(error: ActivityError) -> str:
    cause = error.cause
    kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
    return kind or FailureType.INTERNAL


async def _compared(
    trail: Trail,
    answered: Sequence[Branch],
    everyone: Sequence[Branch],
    bundle: PolicyBundle,
    enter: Enter,
) -> Ending | Disagreement:
    """The comparison is on record before anything follows from it (OM-55)."""
    enter(TaskStatus.VERIFYING)
    shown = lettered(trail.request.task_id, answered)
    _note(trail, [_by_number(shown, each) for each in everyone])
    result = await calls.verify(comparison_of(trail, shown, bundle), "answers side by side")
    return settled(trail, answered, shown, result)


def comparison_of(trail: Trail, shown: Sequence[Branch], bundle: PolicyBundle) -> Verify:
    """The comparison to make of the answers, by their class's rule."""
    record = trail.decided()
    rule = bundle.pack.classes[record.plan.task_class or ""].agreement
    return Verify(
        task_id=trail.request.task_id,
        answer=_made(shown[0]).answer,
        compare=Compare(
            comparison_id=f"{record.decision_id}/comparison",
            decision_id=record.decision_id,
            options=_options(shown),
            agreement=rule.for_answers if rule else None,
        ),
    )


def settled(
    trail: Trail, answered: Sequence[Branch], shown: tuple[Branch, ...], result: CheckResult
) -> Ending | Disagreement:
    """Answers that count as one are one answer; anything else is for a person."""
    comparison = result.comparison
    if comparison is None:
        msg = f"parallel-verify compared nothing for decision {trail.decided().decision_id}"
        raise RuntimeError(msg)
    trail.comparison = comparison
    if not comparison.agree:
        return Disagreement(shown, comparison)
    # Equal answers are any of them; of unequal ones that count as one, no model's rank picks one.
    first = shown[0] if comparison.stands else answered[0]
    return Ending(TaskStatus.SUCCEEDED, candidate=first.candidate, invocation=first.invocation)


def lettered(task_id: str, answered: Sequence[Branch]) -> tuple[Branch, ...]:
    """In an order that only the task's id and the models' names give: no rank shows (OM-62)."""

    def place(branch: Branch) -> str:
        return sha256_hex(f"{task_id}/{branch.candidate.model}".encode())

    ordered = sorted(answered, key=place)
    return tuple(replace(each, letter="ABCDE"[at]) for at, each in enumerate(ordered))


def _by_number(shown: Sequence[Branch], branch: Branch) -> Branch:
    return next((each for each in shown if each.number == branch.number), branch)


def _options(shown: Sequence[Branch]) -> tuple[BranchOption, ...]:
    return tuple(
        BranchOption(
            letter=each.letter or "",
            model=each.candidate.model,
            answer=_made(each).answer,
            cost_nano_usd=each.cost_nano_usd,
        )
        for each in shown
    )


def _made(branch: Branch) -> Invocation:
    if branch.invocation is None:
        msg = f"branch {branch.number} has no answer"
        raise RuntimeError(msg)
    return branch.invocation


def _note(trail: Trail, branches: Sequence[Branch]) -> None:
    ordered = sorted(branches, key=lambda each: each.number)
    trail.branches += [each.summary() for each in ordered]


def choice_request(trail: Trail, found: Disagreement, times: ApprovalTimes) -> ApprovalRequest:
    """What a person is asked, bound by digest to the decision, every answer and the comparison."""
    record, options, now = trail.decided(), _options(found.branches), workflow.now()
    shown = {
        "record": record.model_dump(mode="json"),
        "options": [each.model_dump(mode="json") for each in options],
        "comparison": found.comparison.model_dump(mode="json"),
    }
    return ApprovalRequest(
        approval_id=f"{record.decision_id}/choice",
        task_id=record.task_id,
        requester=record.input.request.caller,
        asks_for=GrantKind.CHOICE,
        reason=ReasonCode.ANSWERS_DIFFER,
        ceiling_nano_usd=0,
        policy_sha256=record.plan.policy.bundle_sha256,
        request_sha256=sha256_hex(canonical_bytes(shown)),
        opened_at=now,
        expires_at=now + timedelta(seconds=times.expire_after_seconds),
        options=options,
        comparison=found.comparison,
    )


def selection_of(request: ApprovalRequest, verdict: Verdict) -> Selection | None:
    """The choice a person's verdict makes; None where it chooses nothing. The only way to one."""
    option = next((each for each in request.options if each.letter == verdict.choice), None)
    if option is None or request.comparison is None:
        return None
    return Selection(
        approval_id=request.approval_id,
        task_id=request.task_id,
        comparison_id=request.comparison.comparison_id,
        choice=option.letter,
        model=option.model,
        answer=option.answer,
        approver=verdict.approver,
        token_id=verdict.token_id,
        reason=verdict.reason,
        chosen_at=verdict.decided_at,
    )


def chosen(found: Disagreement, request: ApprovalRequest, verdict: Verdict) -> Ending:
    """The task ends with the chosen branch's answer, as that model gave it (OM-60)."""
    branch = next(each for each in found.branches if each.letter == verdict.choice)
    return Ending(
        TaskStatus.SUCCEEDED,
        candidate=branch.candidate,
        invocation=branch.invocation,
        selection=selection_of(request, verdict),
    )


def unresolved(ending: Ending) -> Ending:
    """Without a choice there is no answer, and the reason says that there were several (OM-59)."""
    return replace(ending, reason=f"{ending.reason} The answers differ and nobody chose one.")
