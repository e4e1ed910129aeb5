"""What serves a host's local models (CX-69, CX-76)."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from pointwork.contract.addresses import is_loopback_url
from pointwork.contract.task import Name
from pointwork.policy.documents.document import Document, Exact

_SET_BY_POINTWORK = frozenset(
    {
        *(
            "--host",
            "--port",
            "--uds",
            "--root-path",
            "--api-key",
            "--served-model-name",
            "--model",
        ),
        *("--enable-sleep-mode", "--gpu-memory-utilization", "--max-model-len", "--max-num-seqs"),
        *("--revision", "--config", "--middleware", "--enable-log-requests", "--api-server-count"),
        *("--ssl-keyfile", "--ssl-certfile", "--trust-remote-code"),
    }
)
"""Arguments of ``vllm serve`` that the driver sets, or that would undo what it relies on."""

LoopbackUrl = Annotated[str, Field(max_length=200)]


class VllmWeights(Document):
    """What vLLM needs to serve a model, besides its weights."""

    source: Annotated[str, Field(max_length=500, pattern=r"^[^-\s]\S*$")] | None = None
    """Id of a repository in the host's own cache; None is the model's folder in the state
    directory, ``models/<catalogue id>``."""
    revision: Name | None = None
    """The commit of a repository; None takes what the cache has."""
    arguments: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = ()
    """Further ones of ``vllm serve``, each option and each value an entry of its own."""

    @field_validator("arguments")
    @classmethod
    def _are_left_to_the_host(cls, arguments: tuple[str, ...]) -> tuple[str, ...]:
        for each in arguments:
            option = each.partition("=")[0].replace("_", "-")
            if option in _SET_BY_POINTWORK:
                msg = f"{option} is not the host's to set; remove it"
                raise ValueError(msg)
        return arguments


class HostRuntime(Document):
    """Whose server answers on this host, and who stands in for it.

    llama.cpp needs no more than its kind. vLLM needs its share of the card, and may name llama.cpp
    as its fallback. Ollama is for development and needs an address.
    """

    kind: Literal["vllm", "llama_cpp", "ollama"] = "llama_cpp"
    fallback: Literal["llama_cpp"] | None = None
    fallback_retry_seconds: Annotated[int, Field(ge=1, le=86_400)] = 300
    """How long the fallback serves before the primary is tried again; doubles up to an hour."""
    sleep_level: Literal[0, 1, 2] = 1
    """Of vLLM's servers between swaps: 1 keeps the weights in the host's memory, 2 reads them
    from disk again, 0 stops the server."""
    gpu_memory_utilization: Annotated[Exact, Field(gt=0, le=1)] | None = None
    """Share of the card that a vLLM server claims; needed where ``kind`` is vllm."""
    start_timeout_seconds: Annotated[int, Field(ge=1, le=7_200)] = 900
    swap_timeout_seconds: Annotated[int, Field(ge=1, le=3_600)] = 120
    prestart: bool = False
    """Whether every model's server is started, and put to sleep, before the first task."""
    context_tokens: dict[Name, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """By catalogue id: the longest request with its answer, where the card has no room for what
    the catalogue says."""
    weights: dict[Name, VllmWeights] = Field(default_factory=dict)
    """By catalogue id: where a model is not in its folder, or needs further arguments."""
    attached: dict[Name, LoopbackUrl] = Field(default_factory=dict)
    """By catalogue id: ``http://127.0.0.1:PORT`` of servers that somebody else runs; they are put
    to sleep and woken, never started nor stopped."""
    url: LoopbackUrl | None = None
    """Of the running Ollama, such as ``http://127.0.0.1:11434``."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        if self.kind != "vllm":
            for field in ("fallback", "weights", "attached", "prestart", "gpu_memory_utilization"):
                if getattr(self, field):
                    msg = f"{field} is for kind vllm, and kind is {self.kind}; remove it"
                    raise ValueError(msg)
        elif self.gpu_memory_utilization is None:
            msg = 'gpu_memory_utilization is missing; state vLLM\'s share of the card, as in "0.85"'
            raise ValueError(msg)
        if (self.kind == "ollama") is not (self.url is not None):
            problem = "is missing" if self.url is None else f"is for kind ollama, not {self.kind}"
            remedy = "give http://127.0.0.1:11434" if self.url is None else "remove it"
            msg = f"url {problem}; {remedy}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _stays_on_this_host(self) -> Self:
        """What is sent there is neither redacted nor held back."""
        addresses = {f"attached.{name}": url for name, url in self.attached.items()}
        for field, url in {**addresses, **({"url": self.url} if self.url else {})}.items():
            if not is_loopback_url(url):
                msg = f"{field}: {url!r:.80} is not on this host; give http://127.0.0.1:PORT"
                raise ValueError(msg)
        return self

    def check_models(self, local_models: tuple[str, ...]) -> None:
        """Whether it speaks of no other than ``local_models``, and once of each.

        Raises:
            ValueError: it does not; the text names field and remedy.
        """
        for field in ("context_tokens", "weights", "attached"):
            for name in getattr(self, field):
                if name not in local_models:
                    msg = (
                        f"runtime.{field}.{name}: not among local_models; add it there or remove it"
                    )
                    raise ValueError(msg)
        for name in self.attached:
            if name in self.weights:
                msg = (
                    f"runtime.weights.{name}: its server is attached and was given them; remove it"
                )
                raise ValueError(msg)
