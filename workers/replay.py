"""``python -m workers replay``: a task's history replays, and its decisions come out the same."""

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine
from temporalio.client import Client, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode

from pointwork.contract.canonical import canonical_json, sha256_hex
from pointwork.contract.decision import DecisionRecord
from pointwork.contract.outcome import TaskOutcome
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.proving.remaking import fault_of_remaking
from workers.strict_replay import replay_strictly
from workers.wiring import Parts, codec_of


@dataclass(frozen=True)
class HistoryCheck:
    ok: bool
    events: int
    problems: list[str]


@dataclass(frozen=True)
class DecisionCheck:
    decision_id: str
    ok: bool
    problem: str | None


@dataclass(frozen=True)
class ReplayReport:
    task_id: str
    ok: bool
    history: HistoryCheck
    decisions: list[DecisionCheck]

    def as_json(self) -> str:
        return json.dumps(asdict(self))


async def replay_task(
    task_id: str, client: Client | None, parts: Parts, history_file: Path | None = None
) -> ReplayReport:
    """Replay the stored history on today's code and remake every stored decision, byte for byte."""
    outcomes = OutcomeLog(parts.engine)
    records = await asyncio.to_thread(outcomes.decisions, task_id)
    outcome = await asyncio.to_thread(outcomes.find, task_id)
    covered = await asyncio.to_thread(_covered_by_chain, parts.engine, outcome)
    decisions = [_check_stored(record, parts.library, covered) for record in records]
    was_decided = outcome is None or outcome.policy is not None
    if not decisions and was_decided:
        decisions = [DecisionCheck("", ok=False, problem=f"no decision of {task_id} is stored")]
    history = await _history(task_id, client, history_file)
    if isinstance(history, str):
        check = HistoryCheck(ok=False, events=0, problems=[history])
    else:
        namespace = parts.settings.temporal_namespace
        codec = codec_of(parts.settings)
        problems = await replay_strictly(history, parts.library, codec, namespace)
        check = HistoryCheck(ok=not problems, events=len(history.events), problems=problems)
    ok = check.ok and all(each.ok for each in decisions)
    return ReplayReport(task_id, ok, check, decisions)


def _covered_by_chain(engine: Engine, outcome: TaskOutcome | None) -> dict[str, str] | None:
    """Digests of the task's decisions as the audit chain holds them; None while none is written."""
    if outcome is None or outcome.audit_sequence is None:
        return None
    found = AuditChain(engine).records(1, since_sequence=outcome.audit_sequence - 1)
    digests: dict[str, str] = found[0].body["decisions_sha256"] if found else {}
    return digests


def _check_stored(
    record: DecisionRecord, library: PolicyLibrary, covered: dict[str, str] | None
) -> DecisionCheck:
    """As ``check_decision``, and the stored decision is the one the audit chain covers."""
    check = check_decision(record, library)
    is_covered = covered is None or covered.get(record.decision_id) == sha256_hex(
        canonical_json(record)
    )
    if check.ok and not is_covered:
        problem = "the stored decision is not the one the audit chain covers"
        return DecisionCheck(record.decision_id, ok=False, problem=problem)
    return check


def check_decision(record: DecisionRecord, library: PolicyLibrary) -> DecisionCheck:
    """Whether ``decide`` gives the stored plan's very bytes from the stored input."""
    fault = fault_of_remaking(record, library)
    return DecisionCheck(record.decision_id, ok=fault is None, problem=fault)


async def _history(
    task_id: str, client: Client | None, history_file: Path | None
) -> WorkflowHistory | str:
    if history_file is not None:
        text = await asyncio.to_thread(history_file.read_text, "utf-8")
        return WorkflowHistory.from_json(task_id, text)
    if client is None:
        return "Temporal is not reachable; start it with `pointwork up` or give a history file"
    try:
        return await client.get_workflow_handle(task_id).fetch_history()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return f"Temporal keeps no history of {task_id}; give an exported history file"
        raise
