"""A local model told by its own weights: by real files, and by servers that say what they are."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pointwork.contract.local_run import ModelBuild
from pointwork.local.builds import (
    RecordedRuntime,
    cached_commit,
    file_revision,
    folder_quantisation,
    folder_revision,
)
from pointwork.local.lane import LocalLane, Ticket
from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaModel
from pointwork.local.runtime import LocalModelUnavailableError
from pointwork.local.vllm import VllmRuntime
from pointwork.local.vllm_server import VllmModel, VllmServing
from pointwork.local.weights import CATALOGUE
from tests.fakes.local_runtime import FakeRuntime
from tests.integration.local.conftest import MODEL, MakeRuntime

BUILD = ModelBuild(revision="sha256:aa", runtime="llama_cpp")
PULLED = f"sha256:{CATALOGUE[MODEL].sha256}"


@pytest.mark.req("CX-13")
async def test_pinned_weights_are_served_and_their_build_is_told(
    make_runtime: MakeRuntime, smollm2: Path
) -> None:
    runtime = make_runtime({MODEL: LlamaModel(path=smollm2, revision=PULLED)})
    assert runtime.build is None
    await runtime.ensure_loaded(MODEL)
    assert runtime.build is not None
    assert (runtime.build.revision, runtime.build.quantisation) == (PULLED, "Q4_1")


@pytest.mark.req("CX-13")
async def test_other_weights_than_the_pinned_ones_are_not_served(
    make_runtime: MakeRuntime, smollm2: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copy(smollm2, tmp_path / "changed.gguf"))
    with changed.open("ab") as file:
        file.write(b"\0")
    runtime = make_runtime({MODEL: LlamaModel(path=changed, revision=PULLED)})
    with pytest.raises(LocalModelUnavailableError, match=f"not {PULLED}; run `pointwork models"):
        await runtime.ensure_loaded(MODEL)
    assert (runtime.loaded(), runtime.build, runtime.pid) == (None, None, None)


def test_a_file_is_read_again_when_it_changed_and_not_before(tmp_path: Path) -> None:
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"one")
    first, then = file_revision(weights), weights.stat()
    assert first == f"sha256:{hashlib.sha256(b'one').hexdigest()}"
    # The same size and time stand for the same bytes: a file of many gigabytes is read once.
    weights.write_bytes(b"two")
    os.utime(weights, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert file_revision(weights) == first
    os.utime(weights, ns=(then.st_atime_ns, then.st_mtime_ns + 1))
    assert file_revision(weights) == f"sha256:{hashlib.sha256(b'two').hexdigest()}"


def test_a_folder_of_weights_has_another_revision_when_any_file_of_it_has(tmp_path: Path) -> None:
    assert folder_revision(tmp_path) == ""
    (tmp_path / "model-1.safetensors").write_bytes(b"one")
    (tmp_path / "model-2.safetensors").write_bytes(b"two")
    before = folder_revision(tmp_path)
    assert before == folder_revision(tmp_path)
    (tmp_path / "model-2.safetensors").write_bytes(b"three")
    assert before != folder_revision(tmp_path)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"quantization_config": {"quant_method": "awq"}, "torch_dtype": "float16"}, "awq"),
        ({"torch_dtype": "bfloat16"}, "bfloat16"),
        ({}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_folder_says_how_its_weights_are_quantised(
    tmp_path: Path, config: object, named: str
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    assert folder_quantisation(tmp_path) == named


@pytest.mark.req("CX-13")
@pytest.mark.parametrize(
    "known",
    [
        lambda folder: VllmModel(source=str(folder)),
        lambda folder: VllmModel(source=str(folder), revision="3f2a9c1"),
        lambda folder: VllmModel(source="maker/big-awq", revision="3f2a9c1"),
    ],
    ids=["a folder", "a folder whatever revision is named", "a commit"],
)
async def test_vllm_tells_its_version_and_the_weights_it_was_given(
    vllm_serving: VllmServing, tmp_path: Path, known: Callable[[Path], VllmModel]
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text('{"quantization_config": {"quant_method": "fp8"}}')
    model = known(folder)
    lease = DeviceLease(tmp_path / "gpu.lease")
    runtime = VllmRuntime({"big": model}, tmp_path / "logs", lease=lease, serving=vllm_serving)
    await runtime.ensure_loaded("big")
    is_folder = model.source == str(folder)
    assert runtime.build == ModelBuild(
        revision=folder_revision(folder) if is_folder else model.revision,
        quantisation="fp8" if is_folder else "",
        runtime="vllm",
        runtime_version="0.32.0",
    )
    await runtime.aclose()


@pytest.mark.parametrize(
    ("revision", "told"),
    [("", "77aa01"), ("main", "77aa01"), ("v2", "88bb02"), ("99cc03", "99cc03")],
)
def test_a_branch_or_tag_is_told_as_the_commit_that_the_cache_has_for_it(
    tmp_path: Path, revision: str, told: str
) -> None:
    refs = tmp_path / "hub" / "models--maker--big-awq" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("77aa01")
    (refs / "v2").write_text("88bb02\n")
    environment = {"HF_HOME": str(tmp_path)}
    assert cached_commit("maker/big-awq", revision, environment) == told
    assert cached_commit("maker/another", revision, environment) == revision


async def test_a_swap_whose_record_failed_sends_nobody_to_the_model_before() -> None:
    noted = list[tuple[str, bool]]()
    runtime = FakeRuntime(build=BUILD)

    async def record(model: str, build: ModelBuild) -> bool:
        is_away = model == "b" and ("b", True) not in noted
        noted.append((model, is_away))
        if is_away:
            raise OSError("the ledger is away")
        return False

    lane = LocalLane(RecordedRuntime(runtime, record), load_pauses_seconds=(0.0,))
    async with lane.place(Ticket(model="a", bound_seconds=15)) as of_a:
        pass
    async with lane.place(Ticket(model="b", bound_seconds=15)) as of_b:
        assert noted[-2:] == [("b", True), ("b", False)]
        assert of_b != of_a
        assert lane.status().loaded == "b"
    await lane.aclose()


async def test_nobody_is_served_by_a_build_that_is_not_on_record() -> None:
    noted = list[str]()

    async def record(model: str, build: ModelBuild) -> bool:
        noted.append(model)
        if len(noted) == 1:
            raise OSError("the ledger is away")
        return False

    runtime = RecordedRuntime(FakeRuntime(build=BUILD), record)
    lane = LocalLane(runtime, load_pauses_seconds=(0.0,))
    async with lane.place(Ticket(model="a", bound_seconds=15)):
        assert noted == ["a", "a"]
        assert lane.status().build == BUILD
    await lane.aclose()


async def test_a_change_is_logged_with_what_is_loaded_now(caplog: pytest.LogCaptureFixture) -> None:
    async def record(model: str, build: ModelBuild) -> bool:
        return True

    runtime = RecordedRuntime(FakeRuntime(build=BUILD), record)
    await runtime.ensure_loaded("a")
    assert "a is another build than it was on this host" in caplog.text
    assert "sha256:aa" in caplog.text
