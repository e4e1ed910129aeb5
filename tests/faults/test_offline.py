"""Sensitive work in a network namespace of its own, where nothing but loopback exists (row 51)."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.faults.offline_house import TASKS

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 180
NAMESPACES = (("--user", "--map-root-user", "--net"), ("--net",))
"""The first needs no rights where the kernel allows it, the second needs root's."""


@cache
def unshared() -> tuple[str, ...]:
    """The command that runs another in a network namespace of its own; empty where none does."""
    program = shutil.which("unshare")
    for flags in NAMESPACES if program else ():
        command = (str(program), *flags)
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    return ()


def offline(what: str, folder: Path) -> Any:
    """What ``offline_house`` saw."""
    command = unshared()
    if not command:
        pytest.skip("this kernel or this user may make no network namespace (unshare --net)")
    child = subprocess.run(
        [*command, sys.executable, "-m", "tests.faults.offline_house", what, str(folder)],
        capture_output=True,
        cwd=ROOT,
        env={},
        timeout=SECONDS_MAX,
        check=False,
    )
    assert child.returncode == 0, child.stderr.decode()[-2000:]
    return json.loads(child.stdout)


def assert_nothing_tried_to_leave(seen: Any) -> None:
    assert seen["others"] == {}, "an interface besides loopback"
    assert seen["outside"] == []
    assert seen["sent_nowhere"] == 0


def test_fifty_sensitive_tasks_finish_and_no_packet_tries_to_leave(tmp_path: Path) -> None:
    seen = offline("tasks", tmp_path)
    assert seen["ended"] == ["succeeded, smollm2-135m"] * TASKS
    assert seen["model_calls"] == TASKS
    assert seen["loopback_packets"] > TASKS
    assert_nothing_tried_to_leave(seen)

    # The same deployment lets a public task out: here it is stopped by the kernel alone.
    control = seen["control"]
    assert "Every permitted model was tried and failed" in control["ended"]
    assert "api.openai.com" in control["outside"]
    assert control["sent_nowhere"] > 0


@pytest.mark.xdist_group("language")
def test_reading_a_text_for_names_asks_nobody_outside(tmp_path: Path) -> None:
    seen = offline("reading", tmp_path)
    assert seen["found"] > 0
    assert_nothing_tried_to_leave(seen)
