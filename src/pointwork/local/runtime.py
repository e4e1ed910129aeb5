"""The port to whatever serves the local model: at most one model is in memory at a time."""

from typing import Literal, Protocol

from pointwork.contract.failures import PointworkError
from pointwork.contract.local_run import ModelBuild

RuntimeKind = Literal["vllm", "llama_cpp", "ollama"]
"""Whose server answers: its dialect of the OpenAI API is its own."""


class LocalModelUnavailableError(PointworkError):
    """The local model cannot serve. The text names the model and the remedy."""


class LocalRuntime(Protocol):
    """Loads one model at a time behind an OpenAI-compatible endpoint on loopback (DC-21)."""

    @property
    def kind(self) -> RuntimeKind:
        """Whose server answers at the address that ``ensure_loaded`` gave last."""
        ...

    @property
    def build(self) -> ModelBuild | None:
        """What exactly ``ensure_loaded`` loaded last; None before the first load."""
        ...

    async def ensure_loaded(self, model: str) -> str:
        """Make ``model`` the loaded one and return its base URL (``http://127.0.0.1:PORT/v1``).

        Another loaded model is stopped first, running generations included: callers keep a swap
        away from them (``LocalProvider`` does).

        Raises:
            LocalModelUnavailableError: the model is unknown, not pulled, or did not start.
        """
        ...

    def loaded(self) -> str | None:
        """The model in memory, or None where ``ensure_loaded`` is to be asked before the next call.

        A server that died counts as none.
        """
        ...

    async def unload(self) -> None:
        """Free the device. Nothing happens where nothing is loaded."""
        ...

    async def health(self) -> bool:
        """Whether the loaded model's server answers; False where nothing is loaded."""
        ...

    async def aclose(self) -> None:
        """Unload for good and give the device back."""
        ...
