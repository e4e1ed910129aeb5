"""The steps of one task, from its sealed content to one recorded outcome (design 1).

This is workflow code: deterministic, and driven by ``RouteTask``. It is imported once a process
instead of once a workflow, which saves some ten milliseconds a task; so the sandbox does not watch
it, and a test does (``tests/unit/test_workflow_code.py``).
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

import workflows.advising as advising
import workflows.branches as branches
import workflows.caching as caching
import workflows.call_steps as call_steps
import workflows.calls as calls
import workflows.executors as executors
import workflows.reviewing as reviewing
from workflows.approval_desk import (
    ApprovalDesk,
    approval_request,
    claimed_approver,
    is_approved,
    read_verdict,
)
from workflows.completion import finish
from workflows.display import details, show
from workflows.failures import internal, read_failure
from workflows.trail import Ending, Trail

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.approval import ApprovalRequest, Verdict
    from pointwork.contract.canonical import canonical_json, sha256_hex
    from pointwork.contract.decision import (
        Candidate,
        DecisionInput,
        DecisionRecord,
        Effect,
        FailedAttempt,
        Grant,
        Plan,
    )
    from pointwork.contract.failures import FailureType
    from pointwork.contract.outcome import (
        Invocation,
        InvocationFailure,
        Reservation,
        TaskOutcome,
        TaskStatus,
        TaskView,
    )
    from pointwork.contract.reasons import ReasonCode
    from pointwork.contract.snapshot import PolicyRef
    from pointwork.contract.steps import LogOutcome
    from pointwork.contract.task import TaskRequest
    from pointwork.policy.bundle import PolicyBundle
    from pointwork.policy.decide import decide
    from pointwork.temporal import BUNDLE_EXTERN, REFUSED_EXTERN

_DENIED_AS = {
    ReasonCode.BUDGET: (TaskStatus.DENIED, FailureType.BUDGET_EXCEEDED),
    ReasonCode.CANDIDATES_EXHAUSTED: (TaskStatus.FAILED, FailureType.PROVIDERS_EXHAUSTED),
    ReasonCode.ALREADY_FAILED: (TaskStatus.FAILED, FailureType.PROVIDERS_EXHAUSTED),
}


class Routing:
    """The state and the steps of one running task."""

    def __init__(self, request: TaskRequest) -> None:
        self._trail = Trail(request, workflow.now())
        self._desk = ApprovalDesk()
        self._status = TaskStatus.CLASSIFYING
        self._ended: TaskOutcome | None = None

    async def run(self) -> TaskOutcome:
        """Route, then record.

        Raises:
            ApplicationError: its type is the FailureType that ended the task.
        """
        ending = await self._end()
        outcome = self._trail.outcome(ending, workflow.now())
        self._ended, self._status = outcome, ending.status
        await caching.keep(self._trail, self.plan, ending)
        outcome = await self._heard_beside(outcome, ending)
        record = None if self._trail.is_recorded else self._trail.record
        recorded = await finish(calls.log_outcome(LogOutcome(outcome=outcome, record=record)))
        show(self._trail, self._status, recorded.cost_nano_usd)
        await workflow.wait_condition(workflow.all_handlers_finished)
        if recorded.status is TaskStatus.CANCELLED:
            raise asyncio.CancelledError
        if recorded.failure is not None:
            raise _failure(recorded)
        return recorded

    async def _heard_beside(self, outcome: TaskOutcome, ending: Ending) -> TaskOutcome:
        """The outcome with a second opinion and a critique beside it, where owed and given."""
        plan = self.plan
        if plan is None or (plan.adviser is None and plan.critic is None):
            return outcome
        bundle = _bundle(plan.policy)
        said = {
            "advice": await advising.advise(self._trail, ending, bundle),
            "critique": await reviewing.criticise(self._trail, ending, bundle),
        }
        return outcome.model_copy(
            update={**said, "estimate_nano_usd": self._trail.estimate_nano_usd}
        )

    async def answer(self) -> TaskOutcome:
        """The outcome as soon as it is known, before the record is written."""
        await workflow.wait_condition(lambda: self._ended is not None)
        if self._ended is None or self._ended.failure is not None:
            raise _failure(self._ended)
        return self._ended

    def check_verdict(self, given: object) -> None:
        """Refuse what is no valid verdict on the open approval; the refusal is recorded.

        Raises:
            ApplicationError: VERDICT_REFUSED, with the rule that refuses it.
        """
        try:
            self._desk.check(read_verdict(given), workflow.now())
        except ApplicationError as error:
            self._note_refusal(given, error.message)
            raise

    def take_verdict(self, given: object) -> None:
        self._desk.take(read_verdict(given))

    def _note_refusal(self, given: object, fault: str) -> None:
        note = workflow.extern_functions().get(REFUSED_EXTERN)
        if note is None or workflow.unsafe.is_replaying():
            return
        task_id, asked = self._trail.request.task_id, self._desk.open_request
        note(task_id, asked.approval_id if asked else "", claimed_approver(given), fault)

    def view(self) -> TaskView:
        trail, waiting = self._trail, self._desk.open_request
        return TaskView(
            task_id=trail.request.task_id,
            status=self._status,
            waits_for=waiting.asks_for if waiting else "",
            model=trail.last.model if trail.last else None,
            attempt=trail.attempts,
            estimate_nano_usd=trail.estimate_nano_usd,
            cost_nano_usd=self._ended.cost_nano_usd if self._ended else 0,
            approval_id=waiting.approval_id if waiting else None,
            started_at=trail.started_at,
        )

    @property
    def plan(self) -> Plan | None:
        return self._trail.record.plan if self._trail.record else None

    @property
    def record(self) -> DecisionRecord | None:
        """The latest decision with all it read; None before the first."""
        return self._trail.record

    async def _end(self) -> Ending:
        """Every way a task can end, as a value; nothing but a bug raises from here."""
        limit = asyncio.timeout(self._trail.request.constraints.deadline_seconds)
        try:
            async with limit:
                return await self._route()
        except (TimeoutError, ActivityError, asyncio.CancelledError) as error:
            # A step cut off by the deadline ends in its own cancel error, not in TimeoutError.
            if limit.expired():
                failure = FailureType.DEADLINE_EXCEEDED
                return Ending(TaskStatus.FAILED, failure, failure.sentence)
            if isinstance(error, ActivityError) and not is_cancelled_exception(error):
                return internal(error)
            return Ending(TaskStatus.CANCELLED, reason="The task was cancelled.")

    async def _route(self) -> Ending:
        trail, request = self._trail, self._trail.request
        trail.classification, trail.snapshot = await asyncio.gather(
            calls.classify(request), calls.read_signals(request)
        )
        if trail.snapshot is None:
            reason = f"No pack is named {request.pack!r}; `pointwork policy list` names them."
            return Ending(TaskStatus.DENIED, FailureType.POLICY_DENIED, reason)
        bundle = _bundle(trail.snapshot.policy)
        while True:
            plan = self._decide(bundle)
            if plan.effect is Effect.DENY:
                return _denial(plan)
            if plan.effect is Effect.HOLD:
                ending = await self._ask(bundle)
            elif plan.branches > 1:
                ending = await self._answer_side_by_side(bundle)
            elif plan.on_judged_fail == "deny" and plan.judge is None:
                return reviewing.blocked(reviewing.NOBODY)
            else:
                ending = await self._attempt(plan.candidates[0], bundle)
            if ending is not None:
                return await reviewing.judged(trail, ending, bundle, self._enter, self._verdict_on)

    def _decide(self, bundle: PolicyBundle) -> Plan:
        trail = self._trail
        given = trail.decision_input()
        trail.decisions += 1
        trail.record = DecisionRecord(
            decision_id=f"{trail.request.task_id}/decision/{trail.decisions}",
            task_id=trail.request.task_id,
            input=given,
            plan=decide(given, bundle),
            decided_at=workflow.now(),
            snapshot_sha256=_metrics_sha256(given, bundle),
        )
        trail.is_recorded = False
        return trail.record.plan

    async def _ask(self, bundle: PolicyBundle) -> Ending | None:
        """Hold until a person decides. None where they approved: the task is decided anew."""
        request = approval_request(self._trail.decided(), bundle.pack.approvals)
        approved = await self._verdict_on(request, bundle)
        if isinstance(approved, Ending):
            return approved
        request, verdict = approved
        self._trail.grants.append(
            Grant(
                kind=request.asks_for,
                approval_id=request.approval_id,
                approver=verdict.approver,
                ceiling_nano_usd=verdict.ceiling_nano_usd,
            )
        )
        return None

    async def _verdict_on(
        self, request: ApprovalRequest, bundle: PolicyBundle
    ) -> tuple[ApprovalRequest, Verdict] | Ending:
        """A person's approval and what was asked last, or how the task ends without one."""
        self._status = TaskStatus.PENDING_APPROVAL
        show(self._trail, self._status, waits_for=request.asks_for)
        answered = await self._desk.ask(request, bundle.pack.approvals)
        show(self._trail, self._status)
        verdict = answered.verdict
        if verdict is None:
            failure = FailureType.APPROVAL_EXPIRED
            return Ending(TaskStatus.EXPIRED, failure, failure.sentence)
        if not is_approved(verdict):
            failure = FailureType.APPROVAL_REJECTED
            return Ending(TaskStatus.DENIED, failure, failure.sentence)
        return answered.request, verdict

    async def _answer_side_by_side(self, bundle: PolicyBundle) -> Ending | None:
        """Several models answer. Where they differ, a person chooses or nobody does (OM-59)."""
        found = await branches.answer(self._trail, bundle, self._enter)
        if not isinstance(found, branches.Disagreement):
            return found
        request = branches.choice_request(self._trail, found, bundle.pack.approvals)
        approved = await self._verdict_on(request, bundle)
        if isinstance(approved, Ending):
            return branches.unresolved(approved)
        return branches.chosen(found, *approved)

    def _enter(self, status: TaskStatus) -> None:
        self._status = status
        workflow.set_current_details(details(self._trail, status))

    async def _attempt(self, candidate: Candidate, bundle: PolicyBundle) -> Ending | None:
        """Reserve, call, verify. None where the attempt failed and the plan is to be made anew."""
        trail, retry = self._trail, bundle.pack.retry
        if executors.is_executor(candidate):
            return await self._execute(candidate)
        cached = await caching.find(trail, self.plan)
        if cached is not None:
            trail.begin_attempt(candidate)
            trail.is_cached = True
            return Ending(TaskStatus.SUCCEEDED, candidate=candidate, invocation=cached)
        for transport_retries in range(retry.transport_retries_max + 1):
            number = trail.begin_attempt(candidate)
            held = await self._prepare(candidate, number, bundle)
            if not call_steps.is_held(held):
                return call_steps.after_refusal(trail, candidate, held)
            if trail.take_raise([candidate]):
                return None
            self._enter(TaskStatus.INVOKING)
            try:
                give_up_after = timedelta(seconds=bundle.pack.deadline_seconds)
                call = call_steps.call_of(trail, candidate, number)
                invocation = await calls.invoke(call, give_up_after)
            except ActivityError as error:
                failed = read_failure(error, candidate)
                attempt = FailedAttempt(
                    model=candidate.model, kind=failed.kind, transport_retries=transport_retries
                )
                wait_seconds = self._retry_wait(failed, attempt, bundle)
                if wait_seconds is None or transport_retries == retry.transport_retries_max:
                    trail.last_cause = failed.kind
                    trail.failed.append(attempt)
                    return None
                await workflow.sleep(wait_seconds, summary=f"before retrying {candidate.model}")
            else:
                return await self._finish(candidate, invocation, bundle)
        return None

    async def _finish(
        self, candidate: Candidate, invocation: Invocation, bundle: PolicyBundle
    ) -> Ending | None:
        """Check what the model said; where it owes it, first have it question its own draft."""
        if not self._trail.decided().plan.self_critique:
            return await self._check(candidate, invocation)
        final = await reviewing.self_criticised(self._trail, candidate, invocation, bundle)
        return await self._check(candidate, final) if isinstance(final, Invocation) else final

    async def _execute(self, candidate: Candidate) -> Ending | None:
        """An executor of the house answers, uncharged. None where it could not."""
        trail = self._trail
        trail.begin_attempt(candidate)
        self._status = TaskStatus.INVOKING
        try:
            invocation = await executors.execute(candidate, trail.request)
        except ActivityError as error:
            trail.last_cause = executors.failure_kind(error, candidate)
            trail.failed.append(FailedAttempt(model=candidate.model, kind=trail.last_cause))
            return None
        return await self._check(candidate, invocation)

    async def _prepare(
        self, candidate: Candidate, number: int, bundle: PolicyBundle
    ) -> Reservation:
        """Hold the money and, where the text leaves the house, redact it, side by side."""
        self._status = TaskStatus.RESERVING
        (held,) = await call_steps.hold_and_redact(self._trail, [(candidate, number)], bundle)
        return held

    def _retry_wait(
        self, failed: InvocationFailure, attempt: FailedAttempt, bundle: PolicyBundle
    ) -> int | None:
        """Seconds to wait before the same model is tried again; None where it is not.

        Another permitted model goes before a second try of this one (OM-11).
        """
        retry, given = bundle.pack.retry, self._trail.decision_input()
        if not failed.kind.is_transient:
            return None
        without = given.model_copy(update={"failed": (*given.failed, attempt)})
        if decide(without, bundle).effect is Effect.RUN:
            return None
        wait_seconds = failed.retry_after_seconds or retry.backoff_seconds
        return wait_seconds if wait_seconds <= retry.retry_after_seconds_max else None

    async def _check(self, candidate: Candidate, invocation: Invocation) -> Ending | None:
        """Verify the answer where the plan obliges it; a refused answer is a failed attempt."""
        done = Ending(TaskStatus.SUCCEEDED, candidate=candidate, invocation=invocation)
        if not call_steps.is_checked(self._trail):
            return done
        self._status = TaskStatus.VERIFYING
        result = await call_steps.check(self._trail, invocation)
        if result.passed:
            return done
        self._trail.last_cause = f"{result.check}: {result.detail}"
        self._trail.failed.append(FailedAttempt(model=candidate.model))
        return None


def _bundle(ref: PolicyRef) -> PolicyBundle:
    bundle: PolicyBundle = workflow.extern_functions()[BUNDLE_EXTERN](ref)
    return bundle


def _metrics_sha256(given: DecisionInput, bundle: PolicyBundle) -> str:
    """Where metrics may move the order, the record says which ones those were (JG-13)."""
    return "" if bundle.pack.overlay is None else sha256_hex(canonical_json(given.snapshot))


def _denial(plan: Plan) -> Ending:
    """A sentence that names each refused model and its rule, so that a person can act on it."""
    reason = plan.reason or ReasonCode.NO_CANDIDATE
    status, failure = _DENIED_AS.get(reason, (TaskStatus.DENIED, FailureType.POLICY_DENIED))
    listed = "; ".join(
        f"{each.model}: {each.reason}" + (f" ({each.detail})" if each.detail else "")
        for each in plan.rejected
    )
    return Ending(status, failure, f"{reason.sentence} {listed}".strip())


def _failure(outcome: TaskOutcome | None) -> ApplicationError:
    if outcome is None or outcome.failure is None:
        return ApplicationError("The task was cancelled.", type="CANCELLED", non_retryable=True)
    return ApplicationError(outcome.reason, outcome, type=outcome.failure, non_retryable=True)
