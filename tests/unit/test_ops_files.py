"""What `ops/` hands to a host holds: the service, the container, their settings and the runbook."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pointwork.cli.main import build_app
from pointwork.policy.documents.load import load_library
from workers.settings import Settings

ROOT = Path(__file__).parents[2]
OPS = ROOT / "ops"
UNIT = OPS / "systemd" / "pointwork-gpu.service"
RUNBOOK = ROOT / "docs" / "operating" / "gpu.md"
HOST = "rtx5090"
BAD_POLICY = 3
_SECRET = re.compile(r"key=|token|password|secret", re.IGNORECASE)


def unit() -> dict[str, list[str]]:
    """Every value of the service's keys."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, is_set, value = line.partition("=")
        if is_set and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def compose() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((OPS / "compose/gpu.yaml").read_text())
    return service


def stated_settings() -> dict[str, str]:
    """Those of the example, the ones behind a ``#`` included, as a shell reads them."""
    lines = (OPS / "gpu.env.example").read_text().splitlines()
    stated = [each.removeprefix("#") for each in lines if re.match(r"#?POINTWORK_\w+=", each)]
    return {
        name: "".join(shlex.split(value)) for name, _, value in (e.partition("=") for e in stated)
    }


def longest_generation_seconds() -> int:
    library = load_library(ROOT / "policies", HOST)
    models = {name: each for p in library.packs for name, each in library.active(p).models.items()}
    return max(
        models[name].model.timeout_seconds for name in library.of_this_host.host.local_models
    )


def test_the_service_has_no_secret_on_its_command_line_nor_in_its_file() -> None:
    given = unit()
    assert given["EnvironmentFile"] == ["/etc/pointwork/gpu.env"]
    assert "Environment" not in given
    assert not _SECRET.search(given["ExecStart"][0])


def test_the_service_comes_back_by_itself_and_is_given_time_to_stop() -> None:
    given = unit()
    assert given["Restart"] == ["always"]
    assert given["KillMode"] == ["mixed"]
    drain_seconds = int(stated_settings()["POINTWORK_DRAIN_SECONDS"])
    assert drain_seconds >= longest_generation_seconds()
    assert int(given["TimeoutStopSec"][0]) >= drain_seconds + 60
    assert compose()["services"]["gpu"]["stop_grace_period"] == f"{given['TimeoutStopSec'][0]}s"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("DevicePolicy", "closed"),
        ("CapabilityBoundingSet", ""),
        ("User", "pointwork"),
        ("UMask", "0077"),
    ],
)
def test_the_service_may_touch_little_of_its_host(key: str, value: str) -> None:
    assert unit()[key] == [value]
    assert all("nvidia" in each for each in unit()["DeviceAllow"])


def test_what_the_service_starts_is_a_command_line_that_the_workers_take(tmp_path: Path) -> None:
    """It gets as far as the policy, which names no such host; wrong arguments would end it by 2."""
    python, *arguments = shlex.split(unit()["ExecStart"][0])
    assert python == f"{unit()['WorkingDirectory'][0]}/.venv/bin/python"
    there = [str(tmp_path) if each == "/var/lib/pointwork" else each for each in arguments]
    assert str(tmp_path) in there
    ended = subprocess.run(
        [sys.executable, *there],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "POINTWORK_HOST": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, "hosts/none.yaml" in ended.stderr) == (BAD_POLICY, True)
    assert str(BAD_POLICY) in unit()["RestartPreventExitStatus"][0].split()


def test_systemd_finds_no_fault_with_the_service(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("there is no systemd-analyze")
    python = shlex.split(unit()["ExecStart"][0])[0]
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(python, sys.executable))
    checked = subprocess.run([program, "verify", copy], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_container_has_the_card_and_the_command_of_the_service() -> None:
    service = compose()["services"]["gpu"]
    assert service["command"] == ["python", *shlex.split(unit()["ExecStart"][0])[1:]]
    assert service["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    ]
    assert service["profiles"] == ["gpu"]
    assert service["restart"] == "unless-stopped"
    assert service["env_file"] == ["gpu.env"]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert not {"environment", "image"} & service.keys()
    volumes = {each.partition(":")[0] for each in service["volumes"]}
    assert volumes == compose()["volumes"].keys()


def test_everything_the_image_is_built_from_exists() -> None:
    build = compose()["services"]["gpu"]["build"]
    context = (OPS / "compose" / build["context"]).resolve()
    assert context == ROOT
    dockerfile = (context / build["dockerfile"]).read_text()
    copied = [each.split()[1:-1] for each in dockerfile.splitlines() if each.startswith("COPY ")]
    assert copied
    assert not [name for names in copied for name in names if not (context / name).exists()]


def test_every_setting_of_the_example_is_one_that_the_workers_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stated = stated_settings()
    assert stated["POINTWORK_HOST"] == HOST
    known = {f"POINTWORK_{name.upper()}" for name in Settings.model_fields}
    assert stated.keys() <= known
    for name, value in stated.items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read.vllm_command == ("/opt/vllm/bin/vllm", "serve")
    assert read.profile == "production"


def runbook_commands() -> list[list[str]]:
    text = RUNBOOK.read_text()
    quoted = re.findall(r"`(pointwork [^`]+)`", text)
    shown = re.findall(r"^ {4,}(pointwork [^#\n]+)", text, re.MULTILINE)
    return [each.split()[1:] for each in dict.fromkeys(quoted + shown)]


@pytest.mark.parametrize("words", runbook_commands(), ids=" ".join)
def test_every_command_of_the_runbook_is_one_there_is(words: list[str]) -> None:
    found: Any = typer.main.get_command(build_app())
    rest = list(words)
    while hasattr(found, "commands"):
        found = found.commands[rest.pop(0)]
    options = {name for each in found.params for name in each.opts}
    assert {each for each in rest if each.startswith("--")} <= options


@pytest.mark.req("DC-17")
@pytest.mark.parametrize(
    "what", ["Rolling a policy back", "Retention", "Key rotation", "Draining a worker", "The GPU"]
)
def test_each_runbook_is_named_in_ops_and_its_section_exists(what: str) -> None:
    row = next(
        line
        for line in (OPS / "README.md").read_text().splitlines()
        if line.startswith(f"| {what}")
    )
    for path, anchor in re.findall(r"\]\(([^)#]+)#?([^)]*)\)", row):
        text = (OPS / path).read_text()
        heads = [head.lower().replace(" ", "-") for head in re.findall(r"^#+ (.+)$", text, re.M)]
        assert not anchor or anchor in heads
