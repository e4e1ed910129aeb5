"""Has the deployment's own code replay tasks, in processes of its own (``python -m workers``)."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.payload_keys import accepts_plaintext, payload_keys_file, worker_arguments

_AT_ONCE = 2
_TIMEOUT_SECONDS = 120


class _History(BaseModel):
    model_config = ConfigDict(extra="ignore")

    ok: bool
    events: int
    problems: list[str]


class _Decision(BaseModel):
    model_config = ConfigDict(extra="ignore")

    decision_id: str
    ok: bool
    problem: str | None


class _Report(BaseModel):
    model_config = ConfigDict(extra="ignore")

    task_id: str
    ok: bool
    history: _History
    decisions: list[_Decision]


@dataclass(frozen=True)
class Replayed:
    """What replaying one task found."""

    report: _Report

    @property
    def task_id(self) -> str:
        return self.report.task_id

    @property
    def holds(self) -> bool:
        return self.report.ok

    @property
    def history_words(self) -> str:
        history = self.report.history
        return f"{history.events} events replay" if history.ok else "does not replay"

    @property
    def decision_words(self) -> str:
        decisions = self.report.decisions
        same = sum(each.ok for each in decisions)
        return f"{same} of {len(decisions)} the same"

    @property
    def problem(self) -> str:
        """The first thing that does not hold; empty where all does."""
        problems = [*self.report.history.problems]
        problems += [each.problem for each in self.report.decisions if each.problem]
        return problems[0] if problems else ""

    @property
    def document(self) -> dict[str, Any]:
        return self.report.model_dump(mode="json")


async def replay_tasks(task_ids: Sequence[str], app_root: Path, state_dir: Path) -> list[Replayed]:
    """Replay each task, a few at once, in the order given.

    Raises:
        CliError: the deployment's code could not run at all.
    """
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(task_id: str) -> Replayed:
        async with turns:
            return Replayed(await _replay(task_id, app_root, state_dir))

    return await asyncio.gather(*(one(task_id) for task_id in task_ids))


async def _replay(task_id: str, app_root: Path, state_dir: Path) -> _Report:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", "replay", task_id),
        *("--state-dir", str(state_dir.absolute()), "--json"),
        *worker_arguments(payload_keys_file(state_dir), accepts_plaintext=accepts_plaintext()),
        cwd=app_root,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        raise _failed(task_id, f"did not finish within {_TIMEOUT_SECONDS} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return _Report.model_validate(json.loads(out))
    except (ValueError, ValidationError):
        last = err.decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise _failed(task_id, f"ended with status {process.returncode} ({last[0]})") from None


def _failed(task_id: str, what: str) -> CliError:
    return CliError(
        f"replaying {task_id} {what}",
        "check the deployment with `pointwork doctor`",
        ExitCode.UNAVAILABLE,
    )
