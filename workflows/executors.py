"""Candidates no language model answers: retrieval, local embeddings, computer vision (R-17)."""

from collections.abc import Awaitable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from workflows.calls import CONTENT_UNAVAILABLE
from workflows.failures import read_failure

with workflow.unsafe.imports_passed_through():
    from temporalio.common import RetryPolicy

    from activities.detect import DetectActivities
    from activities.embed import EmbedActivities
    from activities.retrieve import RetrieveActivities
    from pointwork.contract.decision import Candidate, Site
    from pointwork.contract.executors import (
        DetectStep,
        EmbeddingsMade,
        EmbedStep,
        ExecutorFailure,
        ObjectsDetected,
        Retrieved,
        RetrieveStep,
    )
    from pointwork.contract.failures import ProviderFailureKind
    from pointwork.contract.outcome import FinishReason, Invocation, Settlement, TokenUsage
    from pointwork.contract.task import TaskRequest

CORPUS_DEFAULT = "default"
"""Searched where the task names no corpus."""

_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200),
    maximum_attempts=3,
    non_retryable_error_types=[CONTENT_UNAVAILABLE],
)
_KINDS = {
    ExecutorFailure.INPUT_REFUSED: ProviderFailureKind.INVALID_REQUEST,
    ExecutorFailure.CORPUS_UNAVAILABLE: ProviderFailureKind.INVALID_REQUEST,
}


def is_executor(candidate: Candidate) -> bool:
    """Whether an executor of the house answers; a charged embedding outside is a model's call."""
    return candidate.kind != "llm" and candidate.site is Site.LOCAL


async def execute(candidate: Candidate, request: TaskRequest) -> Invocation:
    """Let the executor answer. Nothing is charged, so there is neither hold nor attempt row.

    Raises:
        ActivityError: the executor could not; ``failure_kind`` reads why.
    """
    made = await _run(candidate, request)
    return Invocation(
        attempt_id="",
        answer=made.answer,
        served_model=candidate.served_as,
        finish_reason=FinishReason.STOP,
        usage=TokenUsage(input_tokens=0, output_tokens=0),
        cost_nano_usd=0,
        settlement=Settlement.EXACT,
        duration_ms=0,
    )


def failure_kind(error: ActivityError, candidate: Candidate) -> ProviderFailureKind:
    """What kept the executor from answering.

    Raises:
        ActivityError: the same error, where it is no executor's failure.
    """
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in tuple(ExecutorFailure):
        failure = ExecutorFailure(cause.type)
        return _KINDS.get(failure, ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE)
    return read_failure(error, candidate).kind


def _run(
    candidate: Candidate, request: TaskRequest
) -> Awaitable[Retrieved | EmbeddingsMade | ObjectsDetected]:
    limit = timedelta(seconds=candidate.timeout_seconds)
    match candidate.kind:
        case "retrieval":
            return workflow.execute_activity_method(
                RetrieveActivities.stage0_retrieve,
                RetrieveStep(
                    task_id=request.task_id,
                    content=request.content,
                    corpus=request.corpus or CORPUS_DEFAULT,
                ),
                task_queue=candidate.task_queue,
                start_to_close_timeout=limit,
                retry_policy=_RETRY,
                summary="ranked passages, no model",
            )
        case "embedding":
            return workflow.execute_activity_method(
                EmbedActivities.embed,
                EmbedStep(task_id=request.task_id, content=request.content),
                task_queue=candidate.task_queue,
                start_to_close_timeout=limit,
                retry_policy=_RETRY,
                summary=f"embeddings by {candidate.model}",
            )
        case _:
            return workflow.execute_activity_method(
                DetectActivities.detect_objects,
                DetectStep(task_id=request.task_id, content=request.content),
                task_queue=candidate.task_queue,
                start_to_close_timeout=limit,
                retry_policy=_RETRY,
                summary=f"objects by {candidate.model}",
            )
