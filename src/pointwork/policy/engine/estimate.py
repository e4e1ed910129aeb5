"""Upper bounds on tokens, from facts alone. An estimate that is too low is a budget that leaks."""

from pointwork.contract.decision import Classification
from pointwork.contract.task import TaskRequest
from pointwork.policy.documents.catalogue import Model


def input_tokens_bound(classification: Classification) -> int:
    """Most input tokens a call can be charged for."""
    return classification.input_tokens_max


def input_tokens_likely(classification: Classification) -> int:
    """What the text probably takes up of a context: three bytes a token, on the careful side.

    The bound above would refuse texts that fit three times over. A text that is denser than this
    is refused by the endpoint itself (CONTEXT_TOO_LONG), and the next candidate is tried.
    """
    return -(-classification.input_tokens_max // 3)


def output_tokens_bound(request: TaskRequest, model: Model) -> int:
    """The ``max_tokens`` really sent: never absent, never more than the model can write."""
    return min(request.constraints.max_output_tokens, model.output_tokens_max)
