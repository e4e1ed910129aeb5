"""An endpoint that the catalogue calls local has an address that no name service can move."""

import shutil
from pathlib import Path

import pytest

from pointwork.policy.documents.load import load_library
from pointwork.policy.documents.strict_yaml import PolicyError
from tests.fakes.policy_facts import POLICIES

ENDPOINT = "  local-gpu:\n    adapter: local\n    site: local\n    task_queue: gpu-5090\n"


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def at(policies: Path, base_url: str, site: str = "local") -> int:
    """Give the local endpoint an address; the number of its line."""
    catalogue = policies / "models.yaml"
    text = catalogue.read_text()
    assert ENDPOINT in text
    served = (
        f'  local-gpu:\n    adapter: openai\n    base_url: "{base_url}"\n'
        f"    site: {site}\n    dialect: vllm\n"
    )
    catalogue.write_text(text.replace(ENDPOINT, served))
    return text[: text.index(ENDPOINT)].count("\n") + 3


@pytest.mark.parametrize(
    "base_url",
    [
        "https://gpu.house.example/v1",
        "http://gpu:8000/v1",
        "https://api.openai.com/v1",
        "https://8.8.8.8/v1",
        "http://172.32.0.1:8000/v1",
        "http://100.64.0.1:8000/v1",
        "http://169.254.169.254/v1",
        "http://[2001:4860:4860::8888]/v1",
        "http://[fe80::1]/v1",
        "http://127.0.0.1.nip.io/v1",
        "http://localhost.attacker.example/v1",
        "http://127.0.0.1@attacker.example/v1",
        "http://2130706433/v1",
        "http://127.1/v1",
        "http://0.0.0.0:8000/v1",
        "http://[::1",
        "127.0.0.1:8000",
        "",
    ],
)
def test_a_local_endpoint_at_any_other_address_is_refused_with_place_and_remedy(
    policies: Path, base_url: str
) -> None:
    line = at(policies, base_url)
    with pytest.raises(PolicyError) as caught:
        load_library(policies, "embedded")
    said = str(caught.value)
    assert said.startswith(f"{policies / 'models.yaml'}: line {line}: ")
    assert "endpoints.local-gpu.base_url" in said
    assert "loopback or private address" in said


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost:11434/v1",
        "http://[::1]:8000/v1",
        "http://10.1.2.3:8000/v1",
        "https://192.168.1.20/v1",
        "http://172.31.255.1:8000/v1",
        "http://[fd00::7]:8000/v1",
    ],
)
def test_a_loopback_or_private_address_is_taken(policies: Path, base_url: str) -> None:
    at(policies, base_url)
    assert load_library(policies, "embedded").packs


def test_an_endpoint_that_is_not_called_local_may_have_a_name(policies: Path) -> None:
    at(policies, "https://gpu.house.example/v1", site="private")
    assert load_library(policies, "embedded").packs
