"""Embeddings from OpenAI, and from local servers that speak its ``/v1/embeddings``, such as vLLM
and llama.cpp with bge-m3 (CX-24)."""

from collections.abc import Sequence

import httpx2
import numpy as np
import openai
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import TokenUsage
from pointwork.providers.call import Call, UnreadableEventError
from pointwork.providers.departure import Clearance
from pointwork.providers.dialects import OPENAI, Dialect
from pointwork.providers.egress import (
    KEY_PLACEHOLDER,
    Exchange,
    http_client,
    keep_content_out_of_logs,
)
from pointwork.providers.embedding_port import EmbeddingResponse, Vectors, space_id
from pointwork.providers.failures import provider_error, provider_request_id

TIMEOUT_SECONDS = 30.0


class OpenAIEmbedder:
    """One model of one endpoint. ``api_key`` is None where the endpoint asks for none.

    ``revision`` is the administrator's word for what the endpoint serves, such as a commit of the
    weights; a vendor names none, so it is the day the model was taken into use.
    """

    def __init__(
        self,
        endpoint: str,
        base_url: str,
        api_key: str | None,
        *,
        model: str,
        revision: str,
        dimensions: int,
        dialect: Dialect = OPENAI,
        timeout_seconds: float = TIMEOUT_SECONDS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        keep_content_out_of_logs("openai._base_client")
        credential = None if api_key is None else ("authorization", f"Bearer {api_key}")
        self._endpoint = endpoint
        self._model = model
        self._dimensions = dimensions
        self._dialect = dialect
        self._timeout_seconds = timeout_seconds
        self._space = space_id(model, revision, dimensions)
        self._client = openai.AsyncOpenAI(
            api_key=KEY_PLACEHOLDER,
            base_url=base_url,
            max_retries=0,
            http_client=http_client(base_url, credential=credential, transport=transport),
        )

    @property
    def space(self) -> str:
        return self._space

    @property
    def dimensions(self) -> int:
        return self._dimensions

    async def embed(
        self, texts: Sequence[str], clearance: Clearance | None = None
    ) -> EmbeddingResponse:
        """One vector a text, made to unit length here whatever the endpoint does.

        Raises:
            ProviderError: the call failed; MALFORMED_RESPONSE for vectors of another number or
                length than asked for, WRONG_MODEL where another model made them.
        """
        reading = _Reading(self._endpoint, self._model, len(texts), self._dimensions, self._dialect)
        call = Call(
            endpoint=self._endpoint,
            clearance=clearance,
            timeout_seconds=self._timeout_seconds,
            vendor_errors=(openai.OpenAIError,),
            error_body=_error_body,
        )

        async def read(exchange: Exchange) -> None:
            reading.take(await self._answer(texts), provider_request_id(exchange.headers))

        return await call.run(reading, read)

    async def _answer(self, texts: Sequence[str]) -> object:
        """The SDK's object, which it builds without checking any type.

        Raises:
            UnreadableEventError: the answer is no JSON; the parser's own error would quote it.
        """
        try:
            # Asked for in base64 the SDK decodes it itself; not every local server speaks that.
            return await self._client.embeddings.create(
                model=self._model, input=list(texts), encoding_format="float"
            )
        except (ValueError, TypeError, AttributeError, LookupError):
            pass
        raise UnreadableEventError

    async def aclose(self) -> None:
        await self._client.close()


class _Wire(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="ignore", hide_input_in_errors=True)


class _Item(_Wire):
    index: int
    embedding: list[float]


class _Meter(_Wire):
    prompt_tokens: int = Field(ge=0)


class _Answer(_Wire):
    model: str = ""
    data: list[_Item]
    usage: _Meter | None = None


class _Reading:
    """One answer with vectors, checked whole before anyone may store it."""

    def __init__(
        self, endpoint: str, model: str, texts: int, dimensions: int, dialect: Dialect
    ) -> None:
        self._endpoint = endpoint
        self._model = model
        self._shape = (texts, dimensions)
        self._dialect = dialect
        self._answer = _Answer(data=[])
        self._request_id = ""

    @property
    def has_text(self) -> bool:
        return False

    def take(self, answer: object, request_id: str) -> None:
        self._request_id = request_id
        try:
            self._answer = _Answer.model_validate(answer)
        except ValidationError:
            pass
        else:
            return
        raise UnreadableEventError

    def completion(self) -> EmbeddingResponse:
        served = self._answer.model
        # Local servers accept any name and serve what is loaded (design 11).
        if not self._dialect.is_requested_model(self._model, served):
            raise provider_error(
                self._endpoint, Kind.WRONG_MODEL, provider_request_id=self._request_id
            )
        meter = self._answer.usage
        usage = TokenUsage(input_tokens=meter.prompt_tokens, output_tokens=0) if meter else None
        return EmbeddingResponse(
            vectors=self._vectors(),
            served_model=served,
            usage=usage,
            provider_request_id=self._request_id,
        )

    def _vectors(self) -> Vectors:
        items = sorted(self._answer.data, key=lambda item: item.index)
        rows = [item.embedding for item in items]
        is_whole = [item.index for item in items] == list(range(self._shape[0])) and all(
            len(row) == self._shape[1] for row in rows
        )
        if is_whole:
            vectors = np.asarray(rows, dtype=np.float64).reshape(self._shape)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            if np.isfinite(lengths).all() and (lengths > 0).all():
                unit: Vectors = (vectors / lengths).astype(np.float32)
                return unit
        raise UnreadableEventError


def _error_body(error: Exception) -> object:
    return error.body if isinstance(error, openai.APIError) else None
