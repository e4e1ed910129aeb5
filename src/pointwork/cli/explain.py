"""``pointwork explain``: a decision in full, from the record that it can be made again from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pointwork.cli.deployment import open_ledger, stored_bundle
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir, TaskIdArgument
from pointwork.cli.plan_words import show_models
from pointwork.cli.screen import Screen, facts, listed, usd
from pointwork.contract.decision import DecisionRecord
from pointwork.policy.reading.outcome_words import count_words
from pointwork.policy.reading.plan_words import effect_words, plan_facts
from pointwork.policy.reading.remedies import remedies

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.policy.bundle import PolicyBundle

Number = Annotated[
    int | None, typer.Option("--decision", min=1, help="Which decision; the last by default.")
]
Evidence = Annotated[
    bool, typer.Option("--evidence", help="The eleven parts of evidence, as JSON, alone.")
]
Dimensions = Annotated[
    bool, typer.Option("--dimensions", help="The nine governed dimensions, as JSON, alone.")
]


def explain(
    task_id: TaskIdArgument,
    decision: Number = None,
    evidence: Evidence = False,
    dimensions: Dimensions = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Why a task was routed so: every model, every rule, every figure.

    It ends with what would have changed the decision, found by deciding again.
    """
    engine = open_ledger(state_dir)
    record, number, count = _record(engine, task_id, decision)
    bundle = stored_bundle(engine, record.plan.policy.bundle_sha256)
    screen = Screen(as_json=as_json)
    if evidence or dimensions:
        if evidence and dimensions:
            problem = "--evidence and --dimensions are both given"
            raise CliError(problem, "give one of them")
        screen.document(_projection(engine, record, bundle, evidence=evidence))
        return ExitCode.OK
    changes = remedies(record, bundle)
    if as_json:
        screen.document(
            {
                "decision": number,
                "decisions": count,
                "record": record.model_dump(mode="json"),
                "what_would_change_it": changes,
            }
        )
        return ExitCode.OK
    screen.show(facts(_given(record, f"{number} of {count}")))
    screen.line()
    show_models(screen, record.plan, record.input, bundle)
    screen.show(facts([("would change it", each) for each in changes]))
    return ExitCode.OK


def _record(
    engine: "Engine", task_id: str, decision: int | None
) -> tuple[DecisionRecord, int, int]:
    """The decision asked for, its number, and how many there are."""
    from pointwork.ledger.outcomes import OutcomeLog

    records = OutcomeLog(engine).decisions(task_id)
    if not records:
        problem = f"no decision about task {task_id!r} is recorded"
        raise CliError(problem, "see `pointwork list` for the tasks there are")
    number = decision if decision is not None else len(records)
    if number > len(records):
        problem = f"--decision {number} was not made"
        raise CliError(problem, f"give a number from 1 to {len(records)}")
    return records[number - 1], number, len(records)


def _projection(
    engine: "Engine", record: DecisionRecord, bundle: "PolicyBundle | None", *, evidence: bool
) -> dict[str, object]:
    """The record as the evidence contract or the nine dimensions have it."""
    from pointwork.ledger.outcomes import OutcomeLog
    from pointwork.policy.reading.dimensions import nine_dimensions
    from pointwork.policy.reading.evidence import evidence_of

    if bundle is None:
        problem = f"the rules that decided task {record.task_id} are not in this ledger"
        raise CliError(problem, "use the ledger of the deployment that decided it")
    if evidence:
        return evidence_of(record, OutcomeLog(engine).find(record.task_id), bundle)
    return nine_dimensions(record.input, record.plan, bundle)


def _given(record: DecisionRecord, place: str) -> Sequence[tuple[str, str]]:
    plan, request, found = record.plan, record.input.request, record.input.classification
    pairs = [
        ("task", record.task_id),
        ("decision", f"{place}, at {record.decided_at.isoformat(timespec='seconds')}"),
        ("effect", effect_words(plan)),
        ("class", f"{plan.task_class or 'unknown'} ({plan.class_source})"),
    ]
    if found.margin is not None:
        closest = found.suggested_class or plan.task_class
        pairs.append(("margin", f"{found.margin:.2f}, first choice {closest}"))
    declared = request.sensitivity or "not declared"
    pairs += [
        ("sensitivity", f"{plan.sensitivity or 'none'} (declared: {declared})"),
        ("found", count_words(found.findings) or "nothing"),
        ("detectors", listed(found.detectors)),
        ("text", f"{found.input_bytes} bytes, at most {found.input_tokens_max} tokens"),
    ]
    marks = sorted({*request.marks, *found.marks})
    if marks:
        pairs.append(("marks", listed(marks)))
    measures = [f"{name}={value}" for name, value in sorted(request.measures.items())]
    if measures:
        pairs.append(("measures", listed(measures)))
    if request.requested_model:
        pairs.append(("requested", request.requested_model))
    pairs += [
        ("failed", f"{each.model}: {each.kind or 'answer refused'}") for each in record.input.failed
    ]
    pairs += [
        ("granted", f"{each.kind} by {each.approver}, up to {usd(each.ceiling_nano_usd)}")
        for each in record.input.grants
    ]
    pairs += plan_facts(plan, record.input)
    pairs += [
        ("policy", f"{plan.policy.pack} {plan.policy.version}"),
        ("pack SHA-256", plan.policy.pack_sha256),
        ("bundle SHA-256", plan.policy.bundle_sha256),
    ]
    return pairs
