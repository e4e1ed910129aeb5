"""Where a process may be made to end, and who may ask for it."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pointwork.failpoints import EXIT_STATUS, Failpoint, ending_at, reach
from workers.settings import Settings

PASS_TWO_POINTS = """
import sys
from pathlib import Path
from pointwork.failpoints import Failpoint, arm, reach
arm(Failpoint.AFTER_BODY, Path(sys.argv[1]))
reach(Failpoint.AFTER_SENT_COMMIT)
print("first", flush=True)
reach(Failpoint.AFTER_BODY)
print("second", flush=True)
"""


def passing(once: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PASS_TWO_POINTS, str(once)]
    return subprocess.Popen(command, env={}, stdout=subprocess.PIPE, text=True)


def test_a_point_that_nobody_armed_is_passed() -> None:
    for point in Failpoint:
        reach(point)
        assert ending_at(point, len)("work") == 4


def test_of_all_processes_that_reach_an_armed_point_one_ends_there(tmp_path: Path) -> None:
    children = [passing(tmp_path / "reached") for _ in range(3)]
    outputs = [child.communicate(timeout=60)[0].split() for child in children]
    ended = [child.returncode for child in children]

    assert sorted(ended) == [0, 0, EXIT_STATUS]
    assert outputs[ended.index(EXIT_STATUS)] == ["first"]
    assert sorted(outputs) == [["first"], ["first", "second"], ["first", "second"]]


def test_a_process_started_again_passes_the_point_it_ended_at(tmp_path: Path) -> None:
    (tmp_path / "reached").touch()
    child = passing(tmp_path / "reached")

    assert child.communicate(timeout=60)[0].split() == ["first", "second"]
    assert child.returncode == 0


def test_production_refuses_a_failpoint_and_says_what_to_unset(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POINTWORK_FAILPOINT", "after_body")
    monkeypatch.setenv("POINTWORK_FAILPOINT_ONCE", str(tmp_path / "reached"))
    assert Settings(profile="development").failpoint is Failpoint.AFTER_BODY
    with pytest.raises(ValidationError, match="POINTWORK_PROFILE is production; unset"):
        Settings(profile="production")


def test_a_failpoint_without_its_file_is_refused() -> None:
    with pytest.raises(ValidationError, match="without POINTWORK_FAILPOINT_ONCE; name the file"):
        Settings(failpoint=Failpoint.AFTER_BODY)


def test_a_failpoint_there_is_none_of_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTWORK_FAILPOINT", "after_lunch")
    with pytest.raises(ValidationError, match="before_reserve_commit"):
        Settings()
