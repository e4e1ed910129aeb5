"""An answer to a redacted prompt, as its caller reads it."""

from typing import Protocol

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.tools import ToolCall
from pointwork.providers.port import CompletionResponse, ProviderError


class StreamRestoring(Protocol):
    def feed(self, chunk: str) -> str:
        """What can be shown after ``chunk``."""
        ...

    def finish(self) -> str: ...


class Restorer(Protocol):
    def restore(self, text: str, mapping: bytes) -> tuple[str, int]:
        """The text with its placeholders filled in, and how many the model made up."""
        ...

    def restore_arguments(self, arguments: str, mapping: bytes) -> tuple[str, int] | None:
        """Likewise of a call's arguments, still JSON; None where that cannot be."""
        ...

    def stream(self, mapping: bytes) -> StreamRestoring:
        """The same for a text that comes in pieces."""
        ...


def restored(
    response: CompletionResponse, mapping: bytes | None, restorer: Restorer
) -> tuple[str, tuple[ToolCall, ...], int]:
    """Text and calls with their originals, and the number of placeholders the model made up.

    Raises:
        ProviderError: a call cannot be restored.
    """
    if mapping is None:
        return response.text, response.tool_calls, 0
    text, unknown = restorer.restore(response.text, mapping)
    calls = []
    for call in response.tool_calls:
        original = restorer.restore_arguments(call.arguments, mapping)
        if original is None:
            raise ProviderError(
                ProviderFailureKind.MALFORMED_RESPONSE,
                "two keys of a tool call stand for one value",
                usage=response.usage,
                provider_request_id=response.provider_request_id,
            )
        calls.append(call.model_copy(update={"arguments": original[0]}))
        unknown += original[1]
    return text, tuple(calls), unknown
