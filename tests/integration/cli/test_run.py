"""``run``, ``show``, ``list``, ``cancel`` and approvals, on real workers with scripted models."""

import asyncio
import json
import os
import signal
from pathlib import Path

from pointwork.cli.errors import ExitCode
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import TaskStatus
from tests.fakes.scripted_provider import Fails, Hangs, Says
from tests.integration.cli.conftest import CallAside, command
from tests.workflows.stack import Stack

LOCAL = ("--class", "summarisation_formatting", "--sensitivity", "public")
CLOUD = ("--class", "high_stakes_logic", "--sensitivity", "public")
CANARY = "the heron counts quietly to eleven"


async def test_the_answer_alone_is_on_stdout_and_the_route_on_stderr(
    stack: Stack, pointwork: CallAside
) -> None:
    stack.script.write("run-1", Says("Fresh bread."))

    called = await pointwork("run", CANARY, "--id", "run-1", *LOCAL)

    assert called.code == ExitCode.OK
    assert called.out == "Fresh bread.\n"
    for words in (
        "run-1",
        "succeeded",
        "summarisation_formatting (declared)",
        "smollm2-135m",
        "omega 1.0",
        "gpt-5.4-mini",
        "A cheaper sufficient model is available",
        "of at most $",
    ):
        assert words in called.err, words
    assert CANARY not in called.err


async def test_with_json_stdout_is_exactly_one_document(stack: Stack, pointwork: CallAside) -> None:
    stack.script.write("run-2", Says("One."))

    called = await pointwork("run", "Count.", "--id", "run-2", *LOCAL, "--json")

    document = json.loads(called.out)
    assert (document["status"], document["answer"]) == ("succeeded", "One.")
    assert document["outcome"]["audit_sequence"] >= 1
    assert document["plan"]["candidates"][0]["model"] == "smollm2-135m"


async def test_a_fallback_is_told_with_its_cause(stack: Stack, pointwork: CallAside) -> None:
    stack.script.write("run-3", Fails(ProviderFailureKind.OVERLOADED), Says("Second try."))

    called = await pointwork("run", "Decide.", "--id", "run-3", *CLOUD)

    assert called.out == "Second try.\n"
    assert "fallback" in called.err
    assert "OVERLOADED" in called.err


async def test_a_task_without_a_class_ends_with_code_1_and_what_would_help(
    stack: Stack, pointwork: CallAside
) -> None:
    called = await pointwork("run", "Hm.", "--id", "run-4")

    assert (called.code, called.out) == (ExitCode.NO_ANSWER, "")
    assert called.error_lines == [
        "error: The task's class is unknown, and no model runs without one. "
        "See `pointwork explain run-4`."
    ]
    explained = await pointwork("explain", "run-4")
    assert "A declared class, with --class" in explained.out
    assert "exploratory_reasoning is closest" in explained.out


async def test_a_held_task_ends_the_wait_and_runs_once_the_owner_approves(
    stack: Stack, pointwork: CallAside
) -> None:
    held = await pointwork("run", "Decide.", "--id", "run-5", "--class", "high_stakes_logic")
    assert held.code == ExitCode.WAITING
    assert "pointwork approve run-5" in held.err

    waiting = await pointwork("inbox")
    assert "run-5" in waiting.out
    assert "data classification" in waiting.out
    assert (await pointwork("show", "run-5", "--answer")).code == ExitCode.WAITING

    stranger = await pointwork("approve", "run-5", "--reason", "looks right", "--as", "ann")
    assert stranger.code == ExitCode.BAD_INPUT
    approved = await pointwork("approve", "run-5", "--reason", "nothing private in it")
    assert approved.code == ExitCode.OK

    outcome = await stack.recorded("run-5")
    assert outcome.status is TaskStatus.SUCCEEDED
    assert (await pointwork("show", "run-5", "--answer")).out == "A plain answer.\n"
    assert "run-5" not in (await pointwork("inbox")).out


async def test_a_rejected_task_is_denied(stack: Stack, pointwork: CallAside) -> None:
    await pointwork("run", "Decide.", "--id", "run-6", "--class", "high_stakes_logic")
    rejected = await pointwork("deny", "run-6", "--reason", "not our business")
    assert rejected.code == ExitCode.OK
    assert (await stack.recorded("run-6")).status is TaskStatus.DENIED


async def test_the_requester_cannot_approve_their_own_task(
    stack: Stack, pointwork: CallAside
) -> None:
    task = ("run", "Decide.", "--id", "run-7", "--class", "high_stakes_logic")
    await pointwork(*task, "--caller", "owner")
    refused = await pointwork("approve", "run-7", "--reason", "I want it")
    assert refused.code == ExitCode.BAD_INPUT
    assert "requester" in refused.err
    await pointwork("cancel", "run-7")
    assert (await stack.recorded("run-7")).status is TaskStatus.CANCELLED


async def test_a_task_outlives_a_wait_is_listed_and_can_be_cancelled(
    stack: Stack, pointwork: CallAside
) -> None:
    stack.script.write("run-8", Hangs())

    called = await pointwork("run", "Wait.", "--id", "run-8", *LOCAL, "--wait", "1")
    assert called.code == ExitCode.WAITING
    assert "goes on" in called.err
    await stack.script.called("run-8")
    assert "invoking" in (await pointwork("show", "run-8")).out

    # Temporal's index of running tasks follows a moment later.
    async with asyncio.timeout(30):
        while "run-8" not in (await pointwork("list")).out:
            await asyncio.sleep(0.1)
    assert (await pointwork("cancel", "run-8")).code == ExitCode.OK
    assert (await stack.recorded("run-8")).status is TaskStatus.CANCELLED
    again = await pointwork("cancel", "run-8")
    assert again.code == ExitCode.BAD_INPUT
    assert "ended already" in again.err


async def test_ctrl_c_leaves_the_task_running_and_says_so(stack: Stack, served_dir: Path) -> None:
    stack.script.write("run-9", Hangs())
    arguments = command("run", "Wait.", "--id", "run-9", *LOCAL, "--state-dir", served_dir)
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await stack.script.called("run-9")
    os.kill(process.pid, signal.SIGINT)
    async with asyncio.timeout(30):
        out, err = await process.communicate()

    assert process.returncode == ExitCode.INTERRUPTED
    assert out == b""
    assert b"task run-9 goes on" in err
    assert b"Traceback" not in err
    await stack.client.cancel("run-9")
    assert (await stack.recorded("run-9")).status is TaskStatus.CANCELLED


async def test_without_waiting_only_the_id_is_printed(stack: Stack, pointwork: CallAside) -> None:
    called = await pointwork("run", "Go.", "--id", "run-10", *LOCAL, "--no-wait")
    assert (called.code, called.out) == (ExitCode.OK, "run-10\n")
    await stack.recorded("run-10")
    shown = await pointwork("show", "run-10")
    assert "succeeded" in shown.out
    document = json.loads((await pointwork("show", "run-10", "--answer", "--json")).out)
    assert document["answer"] == "A plain answer."


async def test_the_same_task_twice_runs_once_and_gives_the_same_answer(
    stack: Stack, pointwork: CallAside
) -> None:
    stack.script.write("run-11", Says("Once."), Says("Twice."))
    task = ("run", "Go.", "--id", "run-11", *LOCAL)
    first, second = await pointwork(*task), await pointwork(*task)
    assert first.out == second.out == "Once.\n"
    assert len(stack.script.calls["run-11"]) == 1


async def test_an_answer_of_the_wrong_form_is_told_as_a_failure(
    stack: Stack, pointwork: CallAside, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "required": ["crates"]}')
    stack.script.write("run-12", *(Says(text='{"boxes": 3}') for _ in range(10)))
    called = await pointwork("run", "Extract.", "--id", "run-12", *LOCAL, "--schema", schema)
    assert (called.code, called.out) == (ExitCode.NO_ANSWER, "")
    assert "json_schema" in called.err


async def test_a_replay_holds_until_somebody_changes_the_stored_decision(
    stack: Stack, pointwork: CallAside
) -> None:
    await pointwork("run", "Go.", "--id", "run-14", *LOCAL)
    held = await pointwork("audit", "replay", "run-14")
    assert (held.code, held.err) == (ExitCode.OK, "")
    assert "All 1 replays hold" in held.out

    edit = "UPDATE decision SET body = replace(body, {}, {}) WHERE task_id = 'run-14'"
    said, forged = """'"trigger":"default"'""", """'"trigger":"outage"'"""
    with stack.parts.engine.begin() as connection:
        assert connection.exec_driver_sql(edit.format(said, forged)).rowcount == 1
    broken = await pointwork("audit", "replay", "run-14", "--json")
    with stack.parts.engine.begin() as connection:
        connection.exec_driver_sql(edit.format(forged, said))

    assert broken.code == ExitCode.MISMATCH
    assert json.loads(broken.out)["ok"] is False


async def test_the_record_is_printed_line_by_line_verified_and_explained(
    stack: Stack, pointwork: CallAside
) -> None:
    from pointwork.ledger.logline import parse_log_line

    stack.script.write("run-13", Says("Recorded."))
    await pointwork("run", "Go.", "--id", "run-13", *LOCAL)

    lines = (await pointwork("audit", "log")).out.splitlines()
    assert "run-13" in {parse_log_line(line).task_id for line in lines}
    verified = json.loads((await pointwork("audit", "verify", "--json")).out)
    assert verified["holds"] is True
    record = stack.outcomes.decisions("run-13")[0]
    explained = (await pointwork("explain", "run-13")).out
    assert record.plan.policy.bundle_sha256 in explained
    assert f"{record.input.classification.input_tokens_max} tokens at $" in explained
    for rejection in record.plan.rejected:
        assert rejection.model in explained
        assert rejection.reason.sentence.rstrip(".") in explained
