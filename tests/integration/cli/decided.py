"""Real decisions in a real ledger, as the workflow leaves them there."""

from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, Engine

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import DecisionRecord, Effect, FailedAttempt
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.ledger.budgets import remember_decision
from pointwork.ledger.engine import transact
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.policies import RevisionStore
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.decide import decide
from pointwork.policy.proving.situation import NOW, Situation
from tests.integration.ledger.records import outcome

_STATUS = {
    Effect.RUN: TaskStatus.SUCCEEDED,
    Effect.HOLD: TaskStatus.EXPIRED,
    Effect.DENY: TaskStatus.DENIED,
}


def remember(engine: Engine, bundle: PolicyBundle) -> None:
    """Keep the rules in the ledger, as a worker does when it starts."""
    ref = bundle.ref
    text = canonical_json(bundle).decode()
    store = RevisionStore(engine)
    store.remember(ref.bundle_sha256, ref.pack, ref.version, ref.pack_sha256, text, NOW)


def record(
    task_id: str,
    situation: Situation,
    bundle: PolicyBundle,
    *,
    failed: tuple[str, ...] = (),
    at: datetime = NOW,
) -> DecisionRecord:
    """The decision about the task after each model of ``failed`` answered and was refused."""
    given = situation.facts(bundle)
    request = given.request.model_copy(update={"task_id": task_id})
    receipts = tuple(
        each.model_copy(update={"task_id": task_id}) if each.task_id else each
        for each in given.snapshot.receipts
    )
    given = given.model_copy(
        update={
            "request": request,
            "snapshot": given.snapshot.model_copy(update={"receipts": receipts}),
            "failed": tuple(FailedAttempt(model=name) for name in failed),
        }
    )
    return DecisionRecord(
        decision_id=f"{task_id}/decision/{len(failed) + 1}",
        task_id=task_id,
        input=given,
        plan=decide(given, bundle),
        decided_at=at + timedelta(seconds=len(failed)),
    )


def _remember_decision(kept: DecisionRecord, connection: Connection) -> None:
    remember_decision(connection, kept)


def log(engine: Engine, *records: DecisionRecord) -> TaskOutcome:
    """Put one task's decisions, oldest first, and its outcome on record."""
    for each in records[:-1]:
        transact(engine, partial(_remember_decision, each))
    last = records[-1]
    ended = outcome(
        last.task_id,
        _STATUS[last.plan.effect],
        task_class=last.plan.task_class,
        class_source=last.plan.class_source,
        policy=last.plan.policy,
        sensitivity=last.plan.sensitivity,
        finished_at=last.decided_at,
    )
    return OutcomeLog(engine).log(ended, last, last.decided_at)
