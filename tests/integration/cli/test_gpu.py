"""`pointwork gpu status`: what the worker said of its lane, how old that is, and the VRAM plan."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.contract.local_run import LocalRun
from tests.fakes.lane_reports import BUSY, CODER, IDLE, LOADING, MINISTRAL, report_lane
from tests.integration.cli.conftest import Call, Called
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, reserve


@pytest.fixture
def status(call: Call, state_dir: Path) -> Call:
    def run(*arguments: object) -> Called:
        return call("gpu", "status", "--state-dir", state_dir, *arguments)

    return run


def lines(called: Called) -> list[str]:
    """Each line with single spaces."""
    assert called.code == ExitCode.OK
    return [" ".join(line.split()) for line in called.out.splitlines()]


def test_a_busy_lane_is_told_in_full_beside_the_bounds_of_its_host(
    status: Call, ledger: Engine
) -> None:
    report_lane(ledger, BUSY)
    said = lines(status("--host", "rtx5090"))
    for line in (
        f"loaded {CODER}",
        f"build {BUSY['build'].words}",
        "in flight 1 of 4",
        "swaps 3; loads took 41.2 s in all",
        "served 118, of which 5 began past their bound",
        "longest wait 93.4 s",
        "did not load llama-3.2-1b: CUDA ran out of memory",
        f"{CODER} 7 2 min",
        f"{MINISTRAL} 2 1 min",
        "A task of host rtx5090 is to begin within 15 s at priority 1 and 2, 90 s at 3, "
        "900 s at 4 and 5.",
    ):
        assert line in said
    assert any(re.fullmatch(r"worker 4711@rig, reported \d+ s ago", line) for line in said)
    assert not any("Nothing new" in line for line in said)


def test_while_a_model_loads_its_name_is_shown_and_none_is_loaded(
    status: Call, ledger: Engine
) -> None:
    report_lane(ledger, LOADING)
    said = lines(status())
    assert "loaded none" in said
    assert f"loading {MINISTRAL}" in said


def test_the_memory_of_the_card_is_planned_for_every_model_of_the_host(status: Call) -> None:
    said = lines(status("--host", "rtx5090"))
    assert f"{CODER} Qwen3-Coder-30B-A3B-Instruct 32768 3000 16384 8192 5192 yes" in said
    assert f"{MINISTRAL} Ministral-3-14B 32768 3000 28672 1024 72 yes" in said
    assert "Slices: bge-m3 2000, yolo 1000." in said


def test_a_host_without_a_card_on_record_says_that_it_has_no_plan(status: Call) -> None:
    assert "Host embedded states no card (gpu), so it has no VRAM plan." in lines(status())


def test_the_host_is_the_one_that_the_workers_take_from_the_environment(
    status: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POINTWORK_HOST", "laptop")
    assert any("A task of host laptop" in line for line in lines(status()))


def test_before_any_worker_reported_the_command_to_run_is_named(status: Call) -> None:
    said = " ".join(lines(status("--host", "rtx5090")))
    assert "No GPU worker has ever reported to this ledger." in said
    assert "POINTWORK_HOST=rtx5090" in said
    assert "python -m workers gpu" in said


@pytest.mark.parametrize(
    ("told", "minutes", "silence", "words"),
    [
        (BUSY, 1, "none", ""),
        (IDLE, 300, "idle", "no cause for alarm"),
        (BUSY, 3, "under way", "look whether the worker still runs"),
        (BUSY, 13, "overdue", "the worker is gone, or it hangs"),
        (LOADING, 13, "under way", "It may take up to 17 min"),
        (LOADING, 20, "overdue", "Start it anew"),
    ],
)
def test_an_old_report_says_whether_its_age_is_alarming(
    status: Call, ledger: Engine, told: dict[str, Any], minutes: int, silence: str, words: str
) -> None:
    """A generation of this host may take 10 minutes, a load 17; either is given 2 more."""
    report_lane(ledger, told, timedelta(minutes=minutes))
    said = lines(status("--host", "rtx5090"))
    assert any(words in line for line in said)
    assert any("Nothing new for" in line for line in said) is (silence != "none")
    document = json.loads(status("--host", "rtx5090", "--json").out)
    assert document["lane"]["silence"] == silence
    assert 0 <= document["lane"]["age_seconds"] - 60 * minutes < 60


def test_a_wait_is_counted_on_from_the_report(status: Call, ledger: Engine) -> None:
    report_lane(ledger, BUSY, timedelta(minutes=5))
    assert f"{CODER} 7 7 min" in lines(status("--host", "rtx5090"))


def test_the_document_has_every_fact(status: Call, ledger: Engine) -> None:
    report = report_lane(ledger, BUSY)
    document = json.loads(status("--host", "rtx5090", "--json").out)
    lane = document["lane"]
    for queue in lane["queues"]:
        queue["oldest_seconds"] = 0
    told = report.model_dump(mode="json")
    for queue in told["queues"]:
        queue["oldest_seconds"] = 0
    assert lane.items() >= told.items()
    assert lane["failed_loads"] == [{"model": "llama-3.2-1b", "reason": "CUDA ran out of memory"}]
    assert document["wait_bounds"] == {
        "interactive_seconds": 15,
        "standard_seconds": 90,
        "bulk_seconds": 900,
    }
    assert [each["headroom_mb"] for each in document["vram"]] == [5192, 72]


def test_the_empty_document_says_so_by_null(status: Call) -> None:
    document = json.loads(status("--json").out)
    assert (document["host"], document["lane"], document["vram"]) == ("embedded", None, None)


def test_a_folder_without_a_ledger_is_unavailable_and_an_unknown_host_bad_policy(
    call: Call, state_dir: Path, tmp_path: Path
) -> None:
    nowhere = call("gpu", "status", "--state-dir", tmp_path / "none")
    assert (nowhere.code, len(nowhere.error_lines)) == (ExitCode.UNAVAILABLE, 1)
    unknown = call("gpu", "status", "--state-dir", state_dir, "--host", "none")
    assert (unknown.code, len(unknown.error_lines)) == (ExitCode.BAD_POLICY, 1)


def test_electricity_is_told_by_model_and_where_there_is_none_how_to_meter_it(
    call: Call, state_dir: Path, ledger: Engine
) -> None:
    called = call("gpu", "electricity", "--state-dir", state_dir)
    assert "Set POINTWORK_ELECTRICITY_METER" in called.out
    filled = Ledger(f"sqlite:///{state_dir / 'ledger.db'}", ledger)
    accept(filled.vault, "t-1")
    reserve(filled.budgets, "t-1")
    filled.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    run = LocalRun(energy_millijoules=7_200_000, electricity_nano_usd=640_000)
    filled.attempts.finish("t-1/1", **answer(local_run=run))
    said = lines(call("gpu", "electricity", "--state-dir", state_dir))
    assert said[1:] == ["small-local 1 2.000 $0.000640000"]
    document = json.loads(call("gpu", "electricity", "--state-dir", state_dir, "--json").out)
    (model,) = document["models"]
    assert (model["energy_millijoules"], model["cost_nano_usd"]) == (7_200_000, 640_000)
    later = call("gpu", "electricity", "--state-dir", state_dir, "--since", "2999-01-01")
    assert "No call was metered" in later.out
    bad = call("gpu", "electricity", "--state-dir", state_dir, "--since", "soon")
    assert "give a day of the calendar as YYYY-MM-DD" in bad.err
