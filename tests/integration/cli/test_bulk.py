"""``pointwork bulk`` on real workers with scripted models: files, runs, results."""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import TaskStatus
from pointwork.ledger.bulk_runs import BulkBook, BulkState
from tests.fakes.scripted_provider import Fails, Hangs, Says
from tests.integration.cli.conftest import Call, CallAside, command, row_counts
from tests.workflows.stack import Stack

LOCAL = ("--class", "bulk_generation", "--sensitivity", "public")
CANARY = "the lighthouse keeper counts eleven geese"
ANSWER = "seven lanterns under the pier"


def write(path: Path, *items: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in items))
    return path


def texts(*ids: str) -> list[dict[str, Any]]:
    return [{"id": each, "text": f"{CANARY} {each}"} for each in ids]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def ended(stack: Stack, run_id: str) -> BulkState:
    book = BulkBook(stack.parts.engine)
    async with asyncio.timeout(60):
        while not (found := await asyncio.to_thread(book.find, run_id)).state.has_ended:
            await asyncio.sleep(0.05)
    return found.state


async def test_a_files_answers_stand_in_its_order_and_only_in_the_file_that_was_named(
    stack: Stack, pointwork: CallAside, tmp_path: Path
) -> None:
    items = [
        *texts("a", "b"),
        {"id": "c", "messages": [{"role": "user", "content": CANARY}]},
        {"id": "d", "text": CANARY, "task_class": "summarisation_formatting"},
        {"id": "e", "text": CANARY, "sensitivity": "internal", "max_output_tokens": 9},
    ]
    stack.script.write("order:a", Says(ANSWER))
    stack.script.write("order:b", Fails(ProviderFailureKind.INVALID_REQUEST))
    path, answers = write(tmp_path / "in.jsonl", *items), tmp_path / "out.jsonl"

    called = await pointwork("bulk", path, *LOCAL, "--id", "order", "--results", answers)

    assert called.code == ExitCode.NO_ANSWER
    found = lines(answers)
    assert [each["id"] for each in found] == ["a", "b", "c", "d", "e"]
    assert found[0] == {
        "id": "a",
        "task_id": "order:a",
        "status": "succeeded",
        "text": ANSWER,
        "model": "smollm2-135m",
        "cost_usd": found[0]["cost_usd"],
        "reason": "",
    }
    assert (found[1]["status"], found[1]["text"]) == ("failed", None)
    assert "failed" in found[1]["reason"]
    assert [each["text"] for each in found[2:]] == ["A plain answer."] * 3
    assert answers.stat().st_mode & 0o777 == 0o600
    for said in (called.out, called.err):
        assert CANARY not in said
        assert ANSWER not in said
    request = stack.script.calls["order:e"][0].request
    assert request.max_output_tokens == 9
    outcome = stack.outcomes.find("order:d")
    assert outcome is not None
    assert outcome.task_class == "summarisation_formatting"


async def test_the_same_command_again_pays_for_nothing_and_another_file_is_refused(
    stack: Stack, pointwork: CallAside, tmp_path: Path
) -> None:
    path = write(tmp_path / "in.jsonl", *texts("a", "b", "c"))
    first = await pointwork("bulk", path, *LOCAL, "--id", "twice", "--json")
    again = await pointwork("bulk", path, *LOCAL, "--id", "twice", "--json")

    assert first.code == again.code == ExitCode.OK
    document = json.loads(again.out)
    assert (document["state"], document["done"], document["total"]) == ("completed", 3, 3)
    assert json.loads(first.out) == document
    assert [len(stack.script.calls[f"twice:{each}"]) for each in "abc"] == [1, 1, 1]

    write(path, *texts("a", "b", "d"))
    other = await pointwork("bulk", path, *LOCAL, "--id", "twice")
    assert other.code == ExitCode.BAD_INPUT
    assert "another file" in other.err
    write(path, *texts("a", "b"), {"id": "c", "text": "something else"})
    other = await pointwork("bulk", path, *LOCAL, "--id", "twice")
    assert other.code == ExitCode.BAD_INPUT
    assert "item 'c'" in other.err


async def test_a_run_is_paused_resumed_and_cancelled_from_the_command_line(
    stack: Stack, pointwork: CallAside, tmp_path: Path
) -> None:
    stack.script.write("steered:b", Hangs())
    path = write(tmp_path / "in.jsonl", *texts("a", "b", "c", "d"))
    started = await pointwork(
        "bulk", path, *LOCAL, "--id", "steered", "--in-flight", 1, "--no-wait"
    )
    assert (started.code, started.out) == (ExitCode.OK, "steered\n")
    await stack.script.called("steered:b")

    assert (await pointwork("bulk", "pause", "steered")).code == ExitCode.OK
    paused = json.loads((await pointwork("bulk", "status", "steered", "--json")).out)
    assert (paused["state"], paused["paused"]) == ("running", "person")
    assert (paused["in_flight"], paused["done"]) == (1, 1)
    partly = tmp_path / "partly.jsonl"
    written = await pointwork("bulk", "results", "steered", partly)
    assert written.code == ExitCode.WAITING
    assert [each["status"] for each in lines(partly)] == ["succeeded", *["unfinished"] * 3]

    assert (await pointwork("bulk", "resume", "steered")).code == ExitCode.OK
    assert "running" in (await pointwork("bulk", "status", "steered")).out
    assert (await pointwork("bulk", "cancel", "steered")).code == ExitCode.OK
    assert await ended(stack, "steered") is BulkState.CANCELLED
    assert (await pointwork("bulk", "results", "steered", partly)).code == ExitCode.OK
    assert [each["status"] for each in lines(partly)] == ["succeeded", *["cancelled"] * 3]
    listed = json.loads((await pointwork("bulk", "list", "--json")).out)["runs"]
    (run,) = [each for each in listed if each["run_id"] == "steered"]
    assert (run["state"], run["done"], run["cancelled"]) == ("cancelled", 1, 3)
    again = await pointwork("bulk", "cancel", "steered")
    assert (again.code, "has ended" in again.err) == (ExitCode.BAD_INPUT, True)


async def test_a_watcher_leaves_a_paused_run_and_says_how_it_goes_on(
    stack: Stack, pointwork: CallAside, tmp_path: Path
) -> None:
    items = texts(*(f"i{number}" for number in range(1, 13)))
    for item in items[:10]:
        invalid = Fails(ProviderFailureKind.INVALID_REQUEST)
        stack.script.write(f"outage:{item['id']}", invalid)
    path = write(tmp_path / "in.jsonl", *items)
    called = await pointwork("bulk", path, *LOCAL, "--id", "outage", "--in-flight", 1)

    assert called.code == ExitCode.WAITING
    assert "pointwork bulk resume outage" in called.err
    assert "Every permitted model failed" in called.err
    await pointwork("bulk", "resume", "outage")
    watched = await pointwork("bulk", "watch", "outage")
    assert watched.code == ExitCode.NO_ANSWER
    assert "completed" in watched.out


async def test_ctrl_c_leaves_the_run_going_and_says_so(
    stack: Stack, served_dir: Path, tmp_path: Path
) -> None:
    stack.script.write("left:a", Hangs())
    path = write(tmp_path / "in.jsonl", *texts("a", "b"))
    process = await asyncio.create_subprocess_exec(
        *command("bulk", path, "--id", "left", *LOCAL, "--state-dir", served_dir),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await stack.script.called("left:a")
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(60):
        while b"running" not in said:
            line = await process.stderr.readline()
            assert line, said
            said += line
    os.kill(process.pid, signal.SIGINT)
    async with asyncio.timeout(30):
        out, err = await process.communicate()

    assert process.returncode == ExitCode.INTERRUPTED
    assert out == b""
    assert b"run left goes on" in err
    assert b"Traceback" not in err
    await stack.client.cancel("left:a")
    assert await ended(stack, "left") is BulkState.COMPLETED
    outcome = stack.outcomes.find("left:a")
    assert outcome is not None
    assert outcome.status is TaskStatus.CANCELLED


async def test_results_of_an_erased_text_say_so_and_replace_the_old_file(
    stack: Stack, pointwork: CallAside, tmp_path: Path
) -> None:
    path, answers = write(tmp_path / "in.jsonl", *texts("a", "b")), tmp_path / "out.jsonl"
    answers.write_text("old\n")
    await pointwork("bulk", path, *LOCAL, "--id", "erased", "--results", answers)
    assert [each["text"] for each in lines(answers)] == ["A plain answer."] * 2
    await pointwork("erase", "erased:a", "--reason", "asked for", "--yes")
    await pointwork("bulk", "results", "erased", answers)
    first, second = lines(answers)
    assert first["text"] is None
    assert "erased" in first["reason"]
    assert second["text"] == "A plain answer."
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".part"] == []


BAD = [
    ("not JSON", "line 1: is not JSON"),
    ('["id"]', "line 1: is a list"),
    ('{"text": "x"}', "id null is not allowed"),
    ('{"id": 7, "text": "x"}', "id 7 is not allowed; use a string"),
    ('{"id": "a b", "text": "x"}', 'id "a b" is not allowed'),
    ('{"id": "a"}', "text and messages are both missing"),
    ('{"id": "a", "text": "x", "messages": []}', "text and messages are both given"),
    ('{"id": "a", "text": " "}', "the prompt is empty"),
    ('{"id": "a", "text": 5}', "text is a number; give a string"),
    ('{"id": "a", "text": "\\ud800"}', "surrogate"),
    ('{"id": "a", "messages": []}', "messages is no list of messages"),
    ('{"id": "a", "messages": [{"role": "user"}]}', "messages.0 is no message"),
    ('{"id": "a", "messages": [{"role": "bard", "content": "x"}]}', 'messages.0.role "bard"'),
    ('{"id": "a", "messages": [{"role": "user", "content": 5}]}', "messages.0.content is a number"),
    ('{"id": "a", "text": "x", "task_class": "poetry"}', 'task_class "poetry" is not known'),
    ('{"id": "a", "text": "x", "sensitivity": "secret"}', 'sensitivity "secret" is not known'),
    ('{"id": "a", "text": "x", "max_output_tokens": 0}', "max_output_tokens 0 is not allowed"),
    ('{"id": "a", "text": "x", "max_output_tokens": true}', "max_output_tokens true"),
    ('{"id": "a", "text": "x", "wish": 1}', 'key "wish" is not known; use id, text'),
]


@pytest.mark.parametrize(("line", "told"), BAD, ids=[told for _, told in BAD])
def test_a_bad_line_is_refused_with_its_number_field_value_and_remedy(
    call: Call, state_dir: Path, ledger: Engine, tmp_path: Path, line: str, told: str
) -> None:
    path, before = tmp_path / "in.jsonl", row_counts(ledger)
    path.write_text(f"{line}\n")
    called = call("bulk", path, *LOCAL, "--state-dir", state_dir)
    assert called.code == ExitCode.BAD_INPUT
    assert told in called.err
    assert "nothing was started" in called.err
    assert row_counts(ledger) == before


def test_all_bad_lines_are_told_at_once_and_a_text_never_is(
    call: Call, state_dir: Path, ledger: Engine, tmp_path: Path
) -> None:
    path, before = tmp_path / "in.jsonl", row_counts(ledger)
    good = json.dumps({"id": "a", "text": CANARY})
    path.write_text(f"\ufeff{good}\n\n{good}\n" + f'"{CANARY}"\n' * 25)
    called = call("bulk", path, *LOCAL, "--state-dir", state_dir)
    assert "has 26 bad lines" in called.err
    assert "line 3: id 'a' is that of line 1 too" in called.err
    assert "line 22: is a string" in called.err
    assert "line 23" not in called.err
    assert "and 6 more" in called.err
    assert CANARY not in called.err
    path.write_bytes(b'{"id": "a", "text": "\xff"}\n')
    assert "line 1: is not UTF-8 at byte 21" in call("bulk", path, "--state-dir", state_dir).err
    assert row_counts(ledger) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("gone.jsonl",), "gone.jsonl does not exist"),
        (("folder",), "folder is not a regular file"),
        (("empty.jsonl",), "empty.jsonl holds no item"),
        (("good.jsonl", "--class", "poetry"), "--class 'poetry'"),
        (("good.jsonl", "--pack", "alpha"), "alpha"),
        (("good.jsonl", "--id", "a:b"), "--id 'a:b' is not allowed"),
        (("good.jsonl", "--caller", "a b"), "--caller 'a b' is not allowed"),
        (("good.jsonl", "--in-flight", "0"), "--in-flight"),
        (("good.jsonl", "--priority", "9"), "--priority"),
        (("good.jsonl", "--results", "folder"), "--results folder is not a regular file"),
        (("good.jsonl", "--results", "no/where"), "--results no/where does not exist"),
        (("good.jsonl", "--results", "x", "--no-wait"), "--results and --no-wait"),
        (("status", "unknown"), "no bulk run 'unknown'"),
        (("results", "unknown", "out.jsonl"), "no bulk run 'unknown'"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_a_wrong_option_is_told_and_nothing_is_written(
    call: Call,
    state_dir: Path,
    ledger: Engine,
    tmp_path: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jsonl").write_text("\n\n")
    write(tmp_path / "good.jsonl", *texts("a"))
    before = row_counts(ledger)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POINTWORK_POLICIES_DIR", str(repository / "policies"))
    called = call("bulk", *arguments, "--state-dir", state_dir)
    assert called.code == ExitCode.BAD_INPUT
    assert told in called.err
    assert row_counts(ledger) == before
    assert not (tmp_path / "out.jsonl").exists()


def test_without_a_deployment_a_good_file_is_not_started(
    call: Call, state_dir: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "in.jsonl", *texts("a"))
    called = call("bulk", path, *LOCAL, "--state-dir", state_dir)
    assert called.code == ExitCode.UNAVAILABLE
    assert "pointwork up" in called.err
