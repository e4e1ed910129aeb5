"""How each activity is called: its queue, its time limits and who retries."""

from collections.abc import Awaitable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

with workflow.unsafe.imports_passed_through():
    from activities.approval import ApprovalActivities
    from activities.cache import CacheActivities
    from activities.classify import ClassifyActivities
    from activities.compose import ComposeActivities
    from activities.invoke import InvokeActivities
    from activities.outcome import OutcomeActivities
    from activities.redact import RedactActivities
    from activities.reserve import ReserveActivities
    from activities.signals import SignalActivities
    from activities.verify import VerifyActivities
    from pointwork.contract.approval import OpenApproval
    from pointwork.contract.decision import Classification, RedactionSummary
    from pointwork.contract.names import TaskQueue
    from pointwork.contract.outcome import (
        CheckResult,
        Invocation,
        Invoke,
        Reservation,
        TaskOutcome,
    )
    from pointwork.contract.snapshot import Snapshot
    from pointwork.contract.steps import (
        ApprovalStep,
        Compose,
        Composed,
        FindCached,
        KeepAnswer,
        LogOutcome,
        Redact,
        Reserve,
        Verify,
    )
    from pointwork.contract.task import TaskRequest

CONTENT_UNAVAILABLE = "ContentUnavailableError"
"""The vault's own error: asking again does not bring erased content back."""
ATTEMPT_CLOSED = "AttemptClosedError"
"""The ledger's own error: a call that ended, or whose task did, is not begun again."""

LEDGER_RETRY = RetryPolicy(initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0)
"""Ledger steps are idempotent and a task cannot end without them, so they are retried for ever."""
STEP_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    backoff_coefficient=2.0,
    maximum_attempts=6,
    non_retryable_error_types=[CONTENT_UNAVAILABLE],
)
INVOKE_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_attempts=5,
    non_retryable_error_types=[CONTENT_UNAVAILABLE, ATTEMPT_CLOSED],
)
"""Only a lost worker or a bug is retried here; a provider's failure is never, the plan decides."""
LOCAL_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=10),
    maximum_attempts=50,
    non_retryable_error_types=[CONTENT_UNAVAILABLE, ATTEMPT_CLOSED],
)
"""A lost GPU worker takes all that waits in its lane with it, mostly never sent, and no money."""
STEP_TIMEOUT = timedelta(seconds=60)
REDACT_TIME_PER_BYTE = timedelta(microseconds=2500)
"""Reading for names costs some 200 us a byte; other texts wait for the same reader."""
HEARTBEAT_TIMEOUT = timedelta(seconds=10)
CALL_MARGIN = timedelta(seconds=30)
"""Start-to-close exceeds the client's own timeout, so that the client reports first."""


def classify(request: TaskRequest) -> Awaitable[Classification]:
    return workflow.execute_activity_method(
        ClassifyActivities.classify,
        request,
        task_queue=TaskQueue.CLASSIFY,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=STEP_RETRY,
        summary="class and sensitivity",
    )


def read_signals(request: TaskRequest) -> Awaitable[Snapshot | None]:
    return workflow.execute_activity_method(
        SignalActivities.read_signals,
        request,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=STEP_RETRY,
        summary="budgets, health, residency",
    )


def reserve(step: Reserve) -> Awaitable[Reservation]:
    return workflow.execute_activity_method(
        ReserveActivities.budget_reserve,
        step,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=LEDGER_RETRY,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=f"hold for {step.invoke.candidate.model}",
    )


def redact(step: Redact) -> Awaitable[RedactionSummary]:
    return workflow.execute_activity_method(
        RedactActivities.redact,
        step,
        task_queue=TaskQueue.REDACT,
        start_to_close_timeout=STEP_TIMEOUT + REDACT_TIME_PER_BYTE * step.content.bytes,
        retry_policy=STEP_RETRY,
        summary="replace what must not leave",
    )


def invoke(call: Invoke, give_up_after: timedelta) -> Awaitable[Invocation]:
    """Cancelling waits until the worker has recorded what the stopped call may have cost."""
    return workflow.execute_activity_method(
        InvokeActivities.invoke_model,
        call,
        task_queue=call.candidate.task_queue,
        start_to_close_timeout=_call_timeout(call, give_up_after),
        schedule_to_close_timeout=give_up_after,
        heartbeat_timeout=HEARTBEAT_TIMEOUT,
        retry_policy=LOCAL_RETRY if call.candidate.task_queue == TaskQueue.GPU else INVOKE_RETRY,
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
        summary=f"{call.candidate.model}, attempt {call.number}",
    )


def _call_timeout(call: Invoke, give_up_after: timedelta) -> timedelta:
    """A call of the local card waits for its turn in the worker; heartbeats tell a lost one."""
    if call.candidate.task_queue == TaskQueue.GPU:
        return give_up_after
    return timedelta(seconds=call.candidate.timeout_seconds) + CALL_MARGIN


def verify(step: Verify, summary: str = "answer satisfies its schema") -> Awaitable[CheckResult]:
    return workflow.execute_activity_method(
        VerifyActivities.parallel_verify,
        step,
        task_queue=TaskQueue.VERIFY,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=STEP_RETRY,
        summary=summary,
    )


def compose(step: Compose) -> Awaitable[Composed]:
    return workflow.execute_activity_method(
        ComposeActivities.compose_review,
        step,
        task_queue=TaskQueue.VERIFY,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=STEP_RETRY,
        summary=f"task and answer, for {step.kind}",
    )


def find_cached(step: FindCached) -> Awaitable[Invocation | None]:
    return workflow.execute_activity_method(
        CacheActivities.find_cached,
        step,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=STEP_RETRY,
        summary="an equal request's answer",
    )


def keep_answer(step: KeepAnswer) -> Awaitable[bool]:
    return workflow.execute_activity_method(
        CacheActivities.keep_answer,
        step,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=STEP_RETRY,
        summary="serve equal requests",
    )


def human_approval(step: ApprovalStep) -> Awaitable[OpenApproval]:
    return workflow.execute_activity_method(
        ApprovalActivities.human_approval,
        step,
        task_queue=TaskQueue.APPROVALS,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=LEDGER_RETRY,
        summary=f"{step.action} approval: {step.request.reason}",
    )


def log_outcome(step: LogOutcome) -> Awaitable[TaskOutcome]:
    return workflow.execute_activity_method(
        OutcomeActivities.log_outcome,
        step,
        task_queue=TaskQueue.LEDGER,
        start_to_close_timeout=STEP_TIMEOUT,
        retry_policy=LEDGER_RETRY,
        summary=f"settle and record: {step.outcome.status}",
    )
