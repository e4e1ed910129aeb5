"""The real small model, pulled once a machine, and real llama.cpp servers on it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.weights import pull

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
