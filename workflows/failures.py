"""Reading an activity's failure back into the words of the contract, without its text."""

from temporalio import workflow
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutType,
    is_cancelled_exception,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeoutError,
)

from workflows.calls import CONTENT_UNAVAILABLE
from workflows.trail import Ending

with workflow.unsafe.imports_passed_through():
    from pointwork.contract.decision import Candidate, Site
    from pointwork.contract.failures import FailureType, ProviderFailureKind
    from pointwork.contract.outcome import InvocationFailure, Settlement, TaskStatus

_STATUS = {
    FailureType.BUDGET_EXCEEDED: TaskStatus.DENIED,
    FailureType.REDACTION_FAILED: TaskStatus.DENIED,
}


def read_failure(error: ActivityError, candidate: Candidate) -> InvocationFailure:
    """The failure of one call.

    Raises:
        ActivityError: the same error, where it is no provider's failure (a cancel, a refused
            budget, a bug).
    """
    cause = error.cause
    if is_cancelled_exception(error):
        raise error
    if isinstance(cause, ApplicationError) and cause.type in set(ProviderFailureKind):
        detail = cause.details[0]
        return InvocationFailure.model_validate(detail)
    if isinstance(cause, TemporalTimeoutError):
        lost_worker = cause.type is TimeoutType.HEARTBEAT and candidate.site is Site.LOCAL
        return InvocationFailure(
            attempt_id="",
            model=candidate.model,
            kind=(
                ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE
                if lost_worker
                else ProviderFailureKind.TIMEOUT
            ),
            cost_nano_usd=candidate.estimate_nano_usd,
            settlement=Settlement.AT_LEAST,
        )
    raise error


def internal(error: ActivityError) -> Ending:
    """The ending for a step that failed for good: the fact if it is one, else the step's name."""
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in set(FailureType):
        failure = FailureType(cause.type)
        status = _STATUS.get(failure, TaskStatus.FAILED)
        return Ending(status, failure, failure.sentence)
    if isinstance(cause, ApplicationError) and cause.type == CONTENT_UNAVAILABLE:
        failure = FailureType.CONTENT_UNAVAILABLE
        return Ending(TaskStatus.FAILED, failure, failure.sentence)
    kind = cause.type if isinstance(cause, ApplicationError) else type(cause).__name__
    failure = FailureType.INTERNAL
    return Ending(TaskStatus.FAILED, failure, f"{failure.sentence} ({error.activity_type}: {kind})")
