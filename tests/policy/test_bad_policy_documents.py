"""Bad documents are refused in one sentence that says where, what and how to mend it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pointwork.policy.documents.load import load_library, load_pack
from pointwork.policy.documents.strict_yaml import PolicyError
from tests.fakes.policy_facts import POLICIES
from tests.policy.bad_documents import ALIAS_BOMB, BAD, Bad

ROOT = Path(__file__).parents[2]
GROWTH_BYTES_MAX = 50 * 2**20


def refusal_of(load: Callable[[], object]) -> str:
    with pytest.raises(PolicyError) as caught:
        load()
    return str(caught.value)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_pack_is_refused_with_place_value_and_remedy(bad: Bad, tmp_path: Path) -> None:
    path = tmp_path / "1.0.yaml"
    path.write_bytes(bad.document)
    said = refusal_of(lambda: load_pack(path, POLICIES, "embedded"))
    assert said.startswith(f"{path}: ")
    assert said.isprintable()
    assert len(said) < 400 + len(str(path))
    for part in bad.says:
        assert part in said
    if bad.at:
        text = bad.document.decode()
        line = text[: text.index(bad.at)].count("\n") + 1
        assert f": line {line}: " in said


def test_every_kind_of_broken_document_is_tried() -> None:
    assert len(BAD) >= 40
    assert len({bad.name for bad in BAD}) == len(BAD)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own figures")
def test_refusing_all_of_them_takes_no_memory_to_speak_of(tmp_path: Path) -> None:
    assert len(ALIAS_BOMB) == 236
    for number, bad in enumerate(BAD):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "1.0.yaml").write_bytes(bad.document)
    child = subprocess.run(
        [sys.executable, "-m", "tests.policy.refuse_documents", *tmp_path.glob("*/1.0.yaml")],
        capture_output=True,
        cwd=ROOT,
        env={},
        timeout=120,
        check=True,
    )
    found = json.loads(child.stdout)
    assert len(found["refusals"]) == len(BAD)
    assert found["grown_bytes"] < GROWTH_BYTES_MAX


def test_a_missing_document_a_folder_and_a_link_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "1.0.yaml"
    link.symlink_to(POLICIES / "omega" / "1.0.yaml")
    for path, says in (
        (tmp_path / "2.0.yaml", "is not a file"),
        (tmp_path, "is not a file"),
        (link, "symbolic link"),
    ):
        said = refusal_of(partial(load_pack, path, POLICIES, "embedded"))
        assert said.startswith(f"{path}: ")
        assert says in said


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A copy of the shipped documents, free to be spoiled."""
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def _spoil(path: Path, old: str, new: str) -> int:
    """Replace ``old`` once; the number of its line."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("models.yaml", "model: grok-4.5,", "model: grok-99,", ("grok-99", "state one")),
        ("models.yaml", "input_per_mtok: 11000000", "input_per_mtok: -1", ("-1", "or equal to 0")),
        ("models.yaml", "input_per_mtok: 11000000", "input_per_mtok: 1.5", ("1.5", "integer")),
        ("models.yaml", "input_per_mtok: 11000000", "input_per_mtok: true", ("True", "integer")),
        ("models.yaml", "endpoint: xai", "endpoint: elsewhere", ("'elsewhere'", "add it")),
        ("models.yaml", "adapter: anthropic", "adapter: fax", ("'fax'", "'openai'")),
        ("models.yaml", "site: local", "site: moon", ("moon",)),
        ("models.yaml", "quality: 3", "quality: high", ("'high'", "integer")),
        ("models.yaml", "quality: 3", "quality: 0", ("0", "or equal to 1")),
        ("models.yaml", "context_tokens: 8192", "context_tokens: 0", ("0", "or equal to 1")),
        ("models.yaml", "timeout_seconds: 600", "timeout_seconds: 7201", ("7201", "7200")),
        ("models.yaml", "lane: local", "lane: cellar", ("'cellar'",)),
        ("models.yaml", "task_queue: gpu-5090", "task_queue: nowhere", ("'nowhere'",)),
        ("models.yaml", "kind: embedding", "kind: fax", ("'fax'", "'embedding'")),
        ("models.yaml", "effort: high", "effort: all", ("'all'", "'high'")),
        ("models.yaml", "is_expensive: true", "is_expensive: very", ("'very'", "boolean")),
        ("models.yaml", "load_ratio_max:", "load_ratio_most:", ("unknown key",)),
        ("models.yaml", "kv_reserve_mb:", "kv_reserves_mb:", ("unknown key",)),
        ("models.yaml", "profile: urn:", "profile: ern:", ("pattern",)),
        ("models.yaml", "as_of: 2026-11-21", "as_of: soon", ("'soon'",)),
        ("hosts/rtx5090.yaml", "llm_models_max: 1", "llm_models_max: 2", ("2",)),
        ("hosts/embedded.yaml", "[smollm2-135m]", "[gpt-9]", ("'gpt-9'", "models.yaml")),
        ("hosts/embedded.yaml", "requests: 1", "requests: 100", ("100", "64")),
        ("omega/1.0.yaml", "pack: omega", "pack: codex", ("'codex'", "align")),
    ],
)
def test_a_bad_document_beside_the_pack_is_refused_just_so(
    policies: Path, file: str, old: str, new: str, says: tuple[str, ...]
) -> None:
    line = _spoil(policies / file, old, new)
    host = Path(file).stem if file.startswith("hosts/") else "embedded"
    said = refusal_of(lambda: load_library(policies, host))
    assert said.startswith(f"{policies / file}: line {line}: ")
    assert all(part in said for part in says), said


@pytest.mark.parametrize("host", ["../models", "..", "/etc/passwd", "", "a/b", "nowhere"])
def test_a_host_that_is_no_name_of_a_profile_is_refused(policies: Path, host: str) -> None:
    assert "hosts" in refusal_of(lambda: load_library(policies, host))


def test_a_folder_of_policies_without_a_pack_is_refused(policies: Path) -> None:
    for pack in (each.parent for each in list(policies.glob("*/[0-9]*.yaml"))):
        shutil.rmtree(pack, ignore_errors=True)
    assert "holds no pack" in refusal_of(lambda: load_library(policies, "embedded"))


@pytest.mark.parametrize(
    ("old", "new", "at", "says"),
    [
        ("vram_mb: 32768", "vram_mb: 9000", "local_models:", "more than the card has"),
        ("vram_mb: 32768", "vram_mb: 3000", "gpu:", "gpu.slices take 3000 of 3000 MB"),
        ("{model: yolo,", "{model: yulu,", "gpu:", "'yulu' is not in models.yaml"),
    ],
)
def test_a_card_that_does_not_hold_what_its_host_serves_is_refused(
    policies: Path, old: str, new: str, at: str, says: str
) -> None:
    path = policies / "hosts" / "rtx5090.yaml"
    text = path.read_text()
    _spoil(path, old, new)
    said = refusal_of(lambda: load_library(policies, "rtx5090"))
    assert f": line {text[: text.index(at)].count(chr(10)) + 1}: {at}" in said
    assert says in said


def test_a_catalogue_of_one_vendor_is_refused(policies: Path) -> None:
    catalogue = policies / "models.yaml"
    kept = catalogue.read_text().partition("  gpt-5.1:\n")[0]
    catalogue.write_text(kept)
    for other in ("codex", "juggernaut", "socioprophet"):
        shutil.rmtree(policies / other, ignore_errors=True)
    said = refusal_of(lambda: load_library(policies, "embedded"))
    assert "vendors_min is 2" in said
    assert "huggingface" in said


def test_one_bad_document_among_good_ones_loads_nothing(policies: Path) -> None:
    (policies / "omega" / "1.1.yaml").write_text("pack: omega\n")
    assert "1.1.yaml" in refusal_of(lambda: load_library(policies, "embedded"))


def test_the_shipped_documents_load() -> None:
    assert "omega" in load_library(POLICIES, "embedded").packs
