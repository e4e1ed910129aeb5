"""The entry point: light to start, and documented to the last exit code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pointwork.cli.errors import ExitCode, expected_errors
from pointwork.cli.main import main

HEAVY = ("temporalio", "sqlalchemy", "sqlmodel", "yaml", "numpy", "xllamacpp", "phonenumbers")
COMMANDS = [
    "up",
    "demo",
    "run",
    "decide",
    "list",
    "show",
    "explain",
    "cancel",
    "inbox",
    "approve",
]
COMMANDS += ["deny", "person", "access", "doctor", "version", "audit", "policy", "models"]

GROUPS = ("audit", "policy", "models", "person", "access")


def test_help_loads_none_of_the_heavy_modules() -> None:
    probe = (
        "import sys; from pointwork.cli.main import main; code = main(['--help']); "
        f"print([m for m in {HEAVY!r} if m in sys.modules], code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[] 0\n")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == ExitCode.OK
    shown = capsys.readouterr().out
    for name in COMMANDS:
        assert re.search(rf"^  {name}\s+\S", shown, re.MULTILINE), name
        assert main([name, "--help"]) == ExitCode.OK
        assert "--json" in capsys.readouterr().out or name in GROUPS


def test_every_exit_code_is_documented_with_its_name(repository: Path) -> None:
    document = (repository / "docs" / "exit-codes.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", document, re.MULTILINE))
    assert rows == {str(code.value): code.name.lower() for code in ExitCode}


def test_the_command_line_never_imports_the_deployment(repository: Path) -> None:
    imports = re.compile(r"^\s*(?:from|import) (?:workers|workflows|activities)\b", re.MULTILINE)
    for path in (repository / "src" / "pointwork" / "cli").glob("*.py"):
        assert not imports.search(path.read_text()), path.name


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    start = "from pointwork.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", start, "version"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (ExitCode.OK, b"")


def test_version_names_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == ExitCode.OK
    assert set(json.loads(capsys.readouterr().out)) >= {"pointwork", "python", "temporalio"}


def test_a_bug_is_no_expected_error_so_its_traceback_is_kept() -> None:
    assert not any(issubclass(ZeroDivisionError, each) for each in expected_errors())
    assert not any(issubclass(KeyError, each) for each in expected_errors())
