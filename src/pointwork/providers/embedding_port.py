"""The port to every model that turns texts into vectors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pointwork.contract.outcome import TokenUsage
from pointwork.providers.departure import Clearance

Vectors = NDArray[np.float32]
"""One row a text, each of unit length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingResponse:
    """``usage`` is None where the endpoint sent none; a model on this host meters nothing."""

    vectors: Vectors = field(repr=False)
    served_model: str
    usage: TokenUsage | None = None
    provider_request_id: str = ""


class Embedder(Protocol):
    """One model at one revision. Equal texts give equal vectors where the model is local."""

    @property
    def space(self) -> str:
        """``<model>@<revision>/<dimensions>/<normalised>``: what else is in another space."""
        ...

    @property
    def dimensions(self) -> int: ...

    async def embed(
        self, texts: Sequence[str], clearance: Clearance | None = None
    ) -> EmbeddingResponse:
        """Embed each text, with no retry; without a clearance nowhere but in the house.

        Raises:
            ProviderError: the call failed; nothing of ``texts`` is in it.
        """
        ...

    async def aclose(self) -> None: ...


def space_id(model: str, revision: str, dimensions: int) -> str:
    """The id of the space of unit vectors that one revision of a model makes."""
    return f"{model}@{revision}/{dimensions}/normalised"
