"""The real small model, pulled once a machine, and real llama.cpp servers on it."""

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.vllm import VllmRuntime
from pointwork.local.vllm_server import VllmModel, VllmServing
from pointwork.local.weights import pull
from tests.fakes.vllm_server import PROGRAM, Card

MODEL = "smollm2-135m"


@pytest.fixture(scope="session")
def smollm2(repository: Path) -> Path:
    """The weights; the pull locks its store, so that parallel test processes pull once."""
    return pull(MODEL, repository / ".pointwork" / "models", lambda _: None)


MakeRuntime = Callable[..., LlamaCppRuntime]


@pytest.fixture
async def make_runtime(tmp_path: Path) -> AsyncIterator[MakeRuntime]:
    """Builds runtimes with logs and lease under ``tmp_path``, and closes them."""
    made: list[LlamaCppRuntime] = []

    def make(
        models: dict[str, LlamaModel],
        *,
        lease: DeviceLease | None = None,
        api_key: str = "",
        load_timeout_seconds: float = 120.0,
    ) -> LlamaCppRuntime:
        runtime = LlamaCppRuntime(
            models,
            tmp_path / "logs",
            lease=lease or DeviceLease(tmp_path / "gpu.lease"),
            api_key=api_key,
            load_timeout_seconds=load_timeout_seconds,
        )
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        await runtime.aclose()


@pytest.fixture
def runtime(make_runtime: MakeRuntime, smollm2: Path) -> LlamaCppRuntime:
    """One with two names for the same weights, so that a swap between them is a real one."""
    return make_runtime({MODEL: LlamaModel(path=smollm2), "second": LlamaModel(path=smollm2)})


VLLM_KEY = "key-of-this-run"


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """The card that the made-up vLLM servers of a test share."""
    return Card(tmp_path / "card")


MakeVllm = Callable[..., VllmRuntime]


def _command(card: Card) -> tuple[str, ...]:
    return (sys.executable, str(PROGRAM), str(card.folder))


@pytest.fixture
def vllm_serving(card: Card) -> VllmServing:
    return VllmServing(command=_command(card), swap_timeout_seconds=60.0)


@pytest.fixture
async def make_vllm(tmp_path: Path, card: Card) -> AsyncIterator[MakeVllm]:
    """Builds runtimes of ``big`` and ``small`` with fields of ``VllmServing``, and closes them."""
    made: list[VllmRuntime] = []

    def make(
        *,
        lease: DeviceLease | None = None,
        attached: dict[str, str] | None = None,
        watch_seconds: float = 3600.0,
        **serving: Any,
    ) -> VllmRuntime:
        known = {"big": "maker/big-awq", "small": "maker/small"}
        settings = {"command": _command(card), "swap_timeout_seconds": 60.0, **serving}
        runtime = VllmRuntime(
            {
                model: VllmModel(source=source, attached_url=(attached or {}).get(model, ""))
                for model, source in known.items()
            },
            tmp_path / "logs",
            lease=lease or DeviceLease(tmp_path / "gpu.lease"),
            serving=VllmServing(**settings),
            api_key=VLLM_KEY,
            watch_seconds=watch_seconds,
        )
        made.append(runtime)
        return runtime

    yield make
    for runtime in made:
        await runtime.aclose()
