"""Facts that end a task, and failures of one model call, each a stable word."""

from enum import StrEnum


class FailureType(StrEnum):
    """``ApplicationError.type`` of a task that did not succeed: a fact, never retried."""

    POLICY_DENIED = "POLICY_DENIED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    APPROVAL_REJECTED = "APPROVAL_REJECTED"
    APPROVAL_EXPIRED = "APPROVAL_EXPIRED"
    PROVIDERS_EXHAUSTED = "PROVIDERS_EXHAUSTED"
    VERIFICATION_FAILED = "VERIFICATION_FAILED"
    REDACTION_FAILED = "REDACTION_FAILED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CONTENT_UNAVAILABLE = "CONTENT_UNAVAILABLE"
    INTERNAL = "INTERNAL"

    @property
    def sentence(self) -> str:
        return _FAILURE_SENTENCES[self]


_FAILURE_SENTENCES: dict[FailureType, str] = {
    FailureType.POLICY_DENIED: "The policy pack permits no model for this task.",
    FailureType.BUDGET_EXCEEDED: "The budget does not cover the worst case of this task.",
    FailureType.APPROVAL_REJECTED: "A person refused this task.",
    FailureType.APPROVAL_EXPIRED: "No person decided on this task before its approval expired.",
    FailureType.PROVIDERS_EXHAUSTED: "Every permitted model was tried and failed.",
    FailureType.VERIFICATION_FAILED: "The answer did not pass the check the task requires.",
    FailureType.REDACTION_FAILED: "The text could not be redacted, so it was not sent.",
    FailureType.DEADLINE_EXCEEDED: "The task's deadline passed before an answer was ready.",
    FailureType.CONTENT_UNAVAILABLE: "The task's content is not in the vault.",
    FailureType.INTERNAL: "A step failed for a reason outside the policy; see the worker's log.",
}


class ProviderFailureKind(StrEnum):
    """What went wrong with one model call, the same words for every vendor."""

    RATE_LIMITED = "RATE_LIMITED"
    OVERLOADED = "OVERLOADED"
    TIMEOUT = "TIMEOUT"
    CONNECTION_FAILED = "CONNECTION_FAILED"
    STREAM_INTERRUPTED = "STREAM_INTERRUPTED"
    INVALID_REQUEST = "INVALID_REQUEST"
    CONTEXT_TOO_LONG = "CONTEXT_TOO_LONG"
    AUTHENTICATION_FAILED = "AUTHENTICATION_FAILED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    QUOTA_EXHAUSTED = "QUOTA_EXHAUSTED"
    CONTENT_FILTERED = "CONTENT_FILTERED"
    TRUNCATED = "TRUNCATED"
    EMPTY_ANSWER = "EMPTY_ANSWER"
    MALFORMED_RESPONSE = "MALFORMED_RESPONSE"
    WRONG_MODEL = "WRONG_MODEL"
    LOCAL_MODEL_UNAVAILABLE = "LOCAL_MODEL_UNAVAILABLE"
    EGRESS_REFUSED = "EGRESS_REFUSED"
    """Our own door refused the call at the moment of sending: nothing left the house."""

    @property
    def is_outage(self) -> bool:
        """The provider could not serve; nothing is known about the model's quality (R-5)."""
        return self not in _ANSWERED_BUT_FAILED

    @property
    def is_transient(self) -> bool:
        """The same call may succeed a little later."""
        return self in _TRANSIENT

    @property
    def blames_endpoint(self) -> bool:
        """The failure says something about the endpoint, not about this one request."""
        return self in _ENDPOINT_ILL

    @property
    def may_have_been_charged(self) -> bool:
        """The request may have reached a meter, so its hold is not released as if unused."""
        return self in _MAYBE_CHARGED


_ANSWERED_BUT_FAILED = frozenset(
    {
        ProviderFailureKind.CONTENT_FILTERED,
        ProviderFailureKind.TRUNCATED,
        ProviderFailureKind.EMPTY_ANSWER,
        ProviderFailureKind.WRONG_MODEL,
    }
)
_TRANSIENT = frozenset(
    {
        ProviderFailureKind.RATE_LIMITED,
        ProviderFailureKind.OVERLOADED,
        ProviderFailureKind.TIMEOUT,
        ProviderFailureKind.CONNECTION_FAILED,
        ProviderFailureKind.STREAM_INTERRUPTED,
        ProviderFailureKind.MALFORMED_RESPONSE,
        ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE,
    }
)
_ENDPOINT_ILL = frozenset(
    {
        ProviderFailureKind.RATE_LIMITED,
        ProviderFailureKind.OVERLOADED,
        ProviderFailureKind.TIMEOUT,
        ProviderFailureKind.CONNECTION_FAILED,
        ProviderFailureKind.STREAM_INTERRUPTED,
        ProviderFailureKind.AUTHENTICATION_FAILED,
        ProviderFailureKind.QUOTA_EXHAUSTED,
        ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE,
    }
)
_MAYBE_CHARGED = frozenset(
    {
        ProviderFailureKind.TIMEOUT,
        ProviderFailureKind.STREAM_INTERRUPTED,
        ProviderFailureKind.CONTENT_FILTERED,
        ProviderFailureKind.TRUNCATED,
        ProviderFailureKind.EMPTY_ANSWER,
        ProviderFailureKind.MALFORMED_RESPONSE,
        ProviderFailureKind.WRONG_MODEL,
    }
)


class PointworkError(Exception):
    """Base of every error a caller of the library may catch. Its text never holds content."""


class TaskRefusedError(PointworkError):
    """The task was not accepted; nothing was started and nothing is owed."""


class TaskIdReusedError(TaskRefusedError):
    """The task id was used before with other content or other declarations."""


class TaskNotFoundError(PointworkError):
    """No task with this id is known."""


class TaskFailedError(PointworkError):
    """The task ended without an answer; ``failure`` says which fact ended it."""

    def __init__(self, failure: FailureType, reason: str, task_id: str) -> None:
        super().__init__(f"{task_id}: {reason}")
        self.failure = failure
        self.reason = reason
        self.task_id = task_id


class ServiceUnavailableError(PointworkError):
    """A service Pointwork stands on (Temporal, the ledger) cannot be reached."""
