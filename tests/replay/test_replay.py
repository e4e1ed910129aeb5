"""Old histories on today's code: the same commands, inputs, results and decisions."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory

from pointwork.contract.decision import DecisionRecord
from pointwork.policy.bundle import PolicyBundle, PolicyLibrary
from workers.replay import check_decision
from workers.strict_replay import replay_strictly

FOLDER = Path(__file__).parent
HISTORIES = sorted((FOLDER / "histories").glob("*.json"))
OF_TASKS = [path for path in HISTORIES if not path.stem.startswith("bulk-run")]
"""A bulk run decides nothing itself."""


@pytest.fixture(scope="module")
def recorded_library() -> PolicyLibrary:
    """Every bundle that some recorded history pins, found by its hash."""
    bundles = [
        PolicyBundle.model_validate_json(path.read_bytes())
        for path in sorted((FOLDER / "bundles").glob("*.json"))
    ]
    return PolicyLibrary([], bundles)


def read(path: Path) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(path.read_text())
    return raw


def payload(data: str) -> Any:
    return json.loads(base64.b64decode(data))


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value, separators=(",", ":")).encode()).decode()


@pytest.mark.req("DC-25")
@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_history_replays_to_the_same_inputs_and_result(
    path: Path, recorded_library: PolicyLibrary
) -> None:
    history = WorkflowHistory.from_json(path.stem, read(path))
    assert await replay_strictly(history, recorded_library) == []


@pytest.mark.parametrize("path", OF_TASKS, ids=lambda path: path.stem)
def test_every_decision_in_a_history_comes_out_the_same_again(
    path: Path, recorded_library: PolicyLibrary
) -> None:
    records = list(decisions(read(path)))
    assert records
    assert [check_decision(each, recorded_library).problem for each in records] == [None] * len(
        records
    )


def decisions(raw: dict[str, Any]) -> list[DecisionRecord]:
    found = []
    for event in raw["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes")
        if scheduled is None:
            continue
        value = payload(scheduled["input"]["payloads"][0]["data"])
        if scheduled["activityType"]["name"] in ("budget-reserve", "log-outcome"):
            record = value.get("record")
            if record is not None:
                found.append(DecisionRecord.model_validate(record))
    return found


def test_there_is_a_history_for_each_way_a_task_can_end() -> None:
    names = {path.stem for path in HISTORIES}
    assert {"success", "fallback", "denial", "cancel", "failure"} <= names
    assert {"bulk-run", "bulk-run-cancelled"} <= names


def alter_activity_result(raw: dict[str, Any]) -> None:
    for event in raw["events"]:
        completed = event.get("activityTaskCompletedEventAttributes")
        if completed:
            value = payload(completed["result"]["payloads"][0]["data"])
            if isinstance(value, dict) and "input_bytes" in value:
                value["input_bytes"] += 1
                value["input_tokens_max"] += 1
                completed["result"]["payloads"][0]["data"] = encoded(value)


def alter_activity_input(raw: dict[str, Any]) -> None:
    for event in raw["events"]:
        scheduled = event.get("activityTaskScheduledEventAttributes")
        if scheduled and scheduled["activityType"]["name"] == "invoke-model":
            value = payload(scheduled["input"]["payloads"][0]["data"])
            value["temperature"] = 1.5
            scheduled["input"]["payloads"][0]["data"] = encoded(value)


def alter_result(raw: dict[str, Any]) -> None:
    completed = raw["events"][-1]["workflowExecutionCompletedEventAttributes"]
    value = payload(completed["result"]["payloads"][0]["data"])
    value["cost_nano_usd"] = 1
    completed["result"]["payloads"][0]["data"] = encoded(value)


@pytest.mark.parametrize(
    "alter", [alter_activity_result, alter_activity_input, alter_result], ids=lambda f: f.__name__
)
async def test_a_history_that_was_altered_does_not_pass(
    alter: Callable[[dict[str, Any]], None], recorded_library: PolicyLibrary
) -> None:
    raw = read(FOLDER / "histories" / "success.json")
    alter(raw)
    history = WorkflowHistory.from_json("altered", raw)
    assert await replay_strictly(history, recorded_library)


def test_a_decision_whose_stored_plan_was_altered_is_found(
    recorded_library: PolicyLibrary,
) -> None:
    (record,) = decisions(read(FOLDER / "histories" / "success.json"))
    forged = record.plan.model_copy(update={"candidates": ()})
    check = check_decision(record.model_copy(update={"plan": forged}), recorded_library)
    assert not check.ok
