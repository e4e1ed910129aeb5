"""One interface to every maker's models behind OpenRouter: the OpenAI adapter, in its dialect.

The adapter is handed in, since only the workers wire concrete ones. Retries and failover belong
to the task's workflow, which reserves the money for each (JG-38 to JG-41).
"""

from typing import Protocol

from pointwork.contract.decision import Candidate
from pointwork.contract.prompt import Prompt
from pointwork.policy.documents.catalogue import Endpoint
from pointwork.providers.dialects import OPENROUTER, Dialect
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress, Provider

DIALECT = "openrouter"
"""What the catalogue's endpoints of this interface say under ``dialect``."""


class Connect(Protocol):
    """How an adapter for OpenAI's Chat Completions is built."""

    def __call__(
        self, endpoint: str, base_url: str, api_key: str | None, *, dialect: Dialect
    ) -> Provider: ...


class OpenRouterClient:
    """One connection. Close it with ``aclose``."""

    def __init__(self, connect: Connect, name: str, endpoint: Endpoint, api_key: str) -> None:
        """``endpoint`` is the catalogue's row ``name``.

        Raises:
            ValueError: the row is of another interface.
        """
        if endpoint.dialect != DIALECT or endpoint.base_url is None:
            msg = f"endpoints.{name} has dialect {endpoint.dialect!r}; take one of {DIALECT!r}"
            raise ValueError(msg)
        self._provider = connect(name, endpoint.base_url, api_key, dialect=OPENROUTER)

    async def complete(
        self,
        candidate: Candidate,
        prompt: Prompt,
        *,
        request_id: str,
        temperature: float = 0.0,
        on_progress: OnProgress | None = None,
    ) -> CompletionResponse:
        """Call the candidate's model once; the answer streams in and ``on_progress`` counts it.

        Args:
            candidate: what a decision chose; its policy's temperature goes before the argument.
            prompt: what the model is given.
            request_id: ours, sent along for correlation.
            temperature: where the policy states none.
            on_progress: called with the characters received so far.

        Raises:
            ProviderError: the call failed; ``kind`` is the same word for every maker.
        """
        stated = candidate.temperature
        request = CompletionRequest(
            model=candidate.served_as,
            prompt=prompt,
            max_output_tokens=candidate.max_output_tokens,
            temperature=temperature if stated is None else float(stated),
            timeout_seconds=float(candidate.timeout_seconds),
            request_id=request_id,
        )
        return await self._provider.complete(request, on_progress)

    async def aclose(self) -> None:
        await self._provider.aclose()
