"""What a host profile may say of the runtime that serves its models (CX-69, CX-76)."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pointwork.policy.documents.load import load_library
from pointwork.policy.documents.release import Profile
from pointwork.policy.documents.strict_yaml import PolicyError

OLLAMA = "runtime: {kind: ollama, url: http://127.0.0.1:11434}\n"


@pytest.fixture
def policies(repository: Path, tmp_path: Path) -> Path:
    """The shipped documents, but for the pack that production takes only when it is released."""
    copy = shutil.copytree(repository / "policies", tmp_path / "policies")
    shutil.rmtree(copy / "socioprophet")
    return copy


def refusal_of(load: Callable[[], object]) -> str:
    with pytest.raises(PolicyError) as refused:
        load()
    return str(refused.value)


def test_the_workstation_is_served_by_vllm_with_llama_cpp_as_its_fallback(policies: Path) -> None:
    runtime = load_library(policies, "rtx5090").all()[0].host.runtime
    assert (runtime.kind, runtime.fallback) == ("vllm", "llama_cpp")


@pytest.mark.parametrize("host", ["embedded", "laptop"])
def test_a_profile_that_says_nothing_is_served_by_llama_cpp_and_keeps_its_hash(
    policies: Path, host: str
) -> None:
    library = load_library(policies, host)
    assert library.all()[0].host.runtime.kind == "llama_cpp"
    assert "runtime" not in library.all()[0].host.model_dump()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: vllm", "kind: vlm", ("runtime.kind", "'vlm'", "'llama_cpp'")),
        ("kind: vllm", "kind: llama_cpp", ("fallback is for kind vllm", "llama_cpp; remove it")),
        ("kind: vllm", "kind: ollama", ("fallback is for kind vllm", "remove it")),
        ("kind: vllm", "kind: vllm\n  url: http://127.0.0.1:1", ("is for kind ollama", "remove")),
        ("fallback: llama_cpp", "fallback: ollama", ("runtime.fallback", "'ollama'")),
        ("sleep_level: 1", "sleep_level: 3", ("runtime.sleep_level", "3")),
        ('gpu_memory_utilization: "0.9"', "prestart: false", ("utilization is missing", '"0.85"')),
        ('utilization: "0.9"', "utilization: 0.9", ("quote it",)),
        ('utilization: "0.9"', 'utilization: "1.2"', ("utilization", "'1.2'")),
        ('utilization: "0.9"', 'utilization: "0.95"', ("0.95 of 32768 MB", "29768", "lower it")),
        ("14b: 8192", "14c: 8192", ("runtime.context_tokens.ministral-3-14c", "add it there")),
        ("14b: 8192", "14b: 0", ("runtime.context_tokens.ministral-3-14b", "0")),
        ("--tool-call-parser, mistral", "--api-key, x", ("--api-key is not the host's", "remove")),
        (
            "--tool-call-parser, mistral",
            "--max_model_len=9",
            ("--max-model-len is not the host's",),
        ),
        ("sleep_level: 1", "attached: {x: http://127.0.0.1:1}", ("runtime.attached.x: not among",)),
        (
            "sleep_level: 1",
            "attached: {ministral-3-14b: http://10.0.0.7:8000}",
            ("attached.ministral-3-14b", "'http://10.0.0.7:8000' is not on this host", "give http"),
        ),
        (
            "sleep_level: 1",
            "attached: {ministral-3-14b: http://127.0.0.1:8000}",
            ("runtime.weights.ministral-3-14b: its server is attached", "remove it"),
        ),
    ],
)
def test_a_bad_runtime_is_refused_with_field_value_and_remedy(
    policies: Path, old: str, new: str, says: tuple[str, ...]
) -> None:
    path = policies / "hosts" / "rtx5090.yaml"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    said = refusal_of(lambda: load_library(policies, "rtx5090"))
    assert said.startswith(f"{path}: line ")
    assert all(part in said for part in says), said


def test_vllm_without_a_card_is_refused(policies: Path) -> None:
    path = policies / "hosts" / "embedded.yaml"
    path.write_text(path.read_text() + 'runtime: {kind: vllm, gpu_memory_utilization: "0.9"}\n')
    assert "the host has no gpu; state the card" in refusal_of(
        lambda: load_library(policies, "embedded")
    )


@pytest.mark.parametrize(
    "url", ["http://10.0.0.7:11434", "https://127.0.0.1:1", "http://localhost"]
)
def test_an_ollama_elsewhere_is_refused(policies: Path, url: str) -> None:
    path = policies / "hosts" / "embedded.yaml"
    path.write_text(path.read_text() + OLLAMA.replace("http://127.0.0.1:11434", url))
    assert f"'{url}' is not on this host; give http://127.0.0.1:PORT" in refusal_of(
        lambda: load_library(policies, "embedded")
    )


@pytest.mark.req("CX-76")
@pytest.mark.parametrize("where", ["runtime.kind", "endpoints.ollama", "endpoints.desk"])
def test_ollama_is_refused_in_production_and_starts_in_development(
    policies: Path, where: str
) -> None:
    host, catalogue = policies / "hosts" / "embedded.yaml", policies / "models.yaml"
    if where == "runtime.kind":
        path = host
        host.write_text(host.read_text() + OLLAMA)
    else:
        path = catalogue
        name = where.removeprefix("endpoints.")
        dialect = "" if name == "ollama" else ", dialect: ollama"
        entry = f"  {name}: {{adapter: openai, site: local, base_url: http://127.0.0.1:11434/v1"
        text = catalogue.read_text()
        catalogue.write_text(text.replace("endpoints:\n", f"endpoints:\n{entry}{dialect}}}\n", 1))

    def start(profile: Profile) -> object:
        return load_library(policies, "embedded", profile=profile)

    said = refusal_of(lambda: start("production"))
    assert said.startswith(f"{path}: line ")
    assert f"{where}: Ollama is for development, and POINTWORK_PROFILE is production" in said
    assert "set POINTWORK_PROFILE=development" in said
    assert start("development")


def test_production_starts_where_nothing_is_served_by_ollama(policies: Path) -> None:
    assert load_library(policies, "embedded", profile="production")
