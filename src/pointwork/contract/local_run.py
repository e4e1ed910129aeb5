"""What a call on a model of the house ran on, and the electricity it used (CX-12, CX-13)."""

from typing import Annotated

from pydantic import Field

from pointwork.contract.money import NanoUsd
from pointwork.contract.task import Message, Name

Word = Annotated[str, Field(max_length=200)]


class ModelBuild(Message):
    """A local model exactly as it was loaded; a word is empty where its server does not tell."""

    revision: Word = ""
    """``sha256:…`` of the weights, or the commit or digest that whoever keeps them gives."""
    quantisation: Word = ""
    """As the weights name it: ``Q4_1``, ``awq``, ``bfloat16``."""
    runtime: Name
    """``vllm``, ``llama_cpp`` or ``ollama``."""
    runtime_version: Word = ""

    @property
    def words(self) -> str:
        """One line for people."""
        weights = " ".join(each for each in (self.quantisation, self.revision) if each)
        server = " ".join(each for each in (self.runtime, self.runtime_version) if each)
        return f"{weights or 'weights not told'} on {server}"


class LocalRun(Message):
    """One call on this host's card."""

    build: ModelBuild | None = None
    energy_millijoules: Annotated[int, Field(ge=0)] | None = None
    """Its share of what the card used while it ran; None where no meter is configured."""
    electricity_nano_usd: NanoUsd | None = None
    """That energy at the operator's tariff: what the call cost. None leaves the catalogue's price,
    an estimate of it by the token."""

    @property
    def words(self) -> str:
        """One line for people; empty where nothing is known."""
        told = [self.build.words] if self.build else []
        if self.energy_millijoules is not None:
            told.append(f"{self.energy_millijoules / 1000:.1f} J")
        return ", ".join(told)
