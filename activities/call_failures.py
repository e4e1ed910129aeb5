"""What the workflow is told of a call that failed, was refused, or brought too much."""

from temporalio.exceptions import ApplicationError

from pointwork.contract.failures import FailureType, ProviderFailureKind
from pointwork.contract.outcome import InvocationFailure, Invoke, Settlement
from pointwork.contract.steps import BudgetRefusal
from pointwork.contract.task import CONTENT_BYTES_MAX
from pointwork.providers.departure import DepartureRefusedError
from pointwork.providers.port import CompletionResponse, ProviderError


def too_large(call: Invoke, response: CompletionResponse, bytes_count: int) -> ProviderError:
    """A failed attempt with the cost it had: a repeat would be paid for and end the same way."""
    return ProviderError(
        ProviderFailureKind.TRUNCATED,
        f"the answer of {call.candidate.model} has {bytes_count} bytes, more than the "
        f"{CONTENT_BYTES_MAX} the vault takes, and was not kept; ask for a shorter one",
        usage=response.usage,
        provider_request_id=response.provider_request_id,
    )


def application_error(failure: InvocationFailure, error: ProviderError) -> ApplicationError:
    return ApplicationError(str(error), failure, type=failure.kind, non_retryable=True)


def egress_refused(call: Invoke, attempt_id: str, error: DepartureRefusedError) -> ApplicationError:
    """No attempt was begun, so nothing was charged; another candidate may still be tried."""
    kind = ProviderFailureKind.EGRESS_REFUSED
    failure = InvocationFailure(
        attempt_id=attempt_id,
        model=call.candidate.model,
        kind=kind,
        retry_after_seconds=None,
        cost_nano_usd=0,
        settlement=Settlement.EXACT,
    )
    return ApplicationError(str(error), failure, type=kind, non_retryable=True)


def budget_exceeded(call: Invoke, error: Exception) -> ApplicationError:
    window = str(getattr(error, "window", "task"))
    refusal = BudgetRefusal(window=window, amount_nano_usd=call.candidate.estimate_nano_usd)
    message = f"{FailureType.BUDGET_EXCEEDED.sentence} Refused by {window}."
    return ApplicationError(message, refusal, type=FailureType.BUDGET_EXCEEDED, non_retryable=True)
