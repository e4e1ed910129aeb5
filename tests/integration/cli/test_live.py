"""``up`` and ``demo`` with nothing scripted: real server, real workers, real model."""

import json
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from pointwork.cli.errors import ExitCode
from pointwork.embedded import NotRunningError, read_endpoints
from pointwork.ledger.logline import parse_log_line
from tests.integration.cli.conftest import call_process, command
from tests.integration.cli.upping import MODEL, Up, lend_weights

pytestmark = pytest.mark.xdist_group("cli-live")


def test_up_makes_keys_and_ledger_and_tells_where_everything_is(up: Up) -> None:
    endpoints = read_endpoints(up.state_dir)
    for words in (endpoints.temporal_address, endpoints.ui_url, str(up.state_dir), "pointwork run"):
        assert words in up.said
    for name in ("master.key", "keys/owner.key"):
        assert (up.state_dir / name).stat().st_mode & 0o077 == 0
    assert json.loads(call_process("doctor", "--state-dir", up.state_dir, "--json").out)["ok"]


def test_a_task_runs_to_a_real_answer_and_replays(up: Up) -> None:
    options = ("--state-dir", up.state_dir)
    task = ("run", "-", "--type", "summarize", "--id", "live-1", "--max-tokens", "40", "--json")
    called = call_process(*task, *options, stdin=b"Say in one sentence: the train is late today.")
    document = json.loads(called.out)
    assert (called.code, document["status"]) == (ExitCode.OK, "succeeded")
    assert document["answer"].strip()
    assert document["outcome"]["served_model"] == MODEL

    replayed = call_process("audit", "replay", "live-1", *options)
    assert replayed.code == ExitCode.OK
    assert "1 of 1 the same" in replayed.out


def test_a_second_up_on_the_same_folder_is_refused(up: Up) -> None:
    called = call_process("up", "--state-dir", up.state_dir)
    assert called.code == ExitCode.UNAVAILABLE
    assert f"process {up.process.pid}" in called.error_lines[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_stops_cleanly_on_a_signal_and_leaves_no_process(
    number: signal.Signals, repository: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="pw-up-") as folder:
        state_dir = Path(folder) / "state"
        lend_weights(repository, state_dir)
        started = Up(state_dir, Path(folder) / "up.log")
        children = started.children
        assert children
        assert started.stop(number) == ExitCode.OK
        assert not any(each.is_running() for each in children)
        with pytest.raises(NotRunningError):
            read_endpoints(state_dir)


def test_the_demonstration_holds_and_prints_table_log_and_replays(
    repository: Path, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="pw-demo-") as folder:
        state_dir = Path(folder) / "state"
        lend_weights(repository, state_dir)
        done = subprocess.run(
            command("demo", "--state-dir", state_dir, "--json"),
            capture_output=True,
            text=True,
            timeout=540,
            check=False,
            # No vendor's key: one task shows what happens without.
            env={"PATH": "/usr/bin:/bin", "HOME": folder},
        )
    document = json.loads(done.stdout)
    assert [each["differences"] for each in document["tasks"] if each["differences"]] == []
    assert all(each["ok"] for each in document["replays"])
    assert (done.returncode, document["ok"]) == (ExitCode.OK, True)
    names = [path.stem for path in sorted((repository / "examples" / "tasks").glob("*.yaml"))]
    assert [each["name"] for each in document["tasks"]] == names
    for line, each in zip(document["log"], document["tasks"], strict=True):
        assert parse_log_line(line).task_id == each["task_id"]
    by_name = {each["name"]: each for each in document["tasks"]}
    ticket = by_name["04-summarise-ticket"]["outcome"]
    assert ticket["sensitivity"] == "sensitive"
    assert {each["kind"] for each in ticket["findings"]} >= {"EMAIL", "IBAN", "PASSWORD"}
    denied = by_name["05-decide-database"]["plan"]["rejected"]
    assert "no_credentials" in {each["reason"] for each in denied}
