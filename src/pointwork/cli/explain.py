"""``pointwork explain``: a decision in full, from the record that it can be made again from."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table

from pointwork.cli.deployment import open_ledger, stored_bundle
from pointwork.cli.errors import CliError, ExitCode
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir, TaskIdArgument
from pointwork.cli.remedies import remedies
from pointwork.cli.route import because, count_words
from pointwork.cli.screen import Screen, facts, listed, table, usd
from pointwork.contract.decision import Candidate, DecisionRecord, Effect

Number = Annotated[
    int | None, typer.Option("--decision", min=1, help="Which decision; the last by default.")
]


def explain(
    task_id: TaskIdArgument,
    decision: Number = None,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> int:
    """Why a task was routed so: every model, every rule, every figure.

    It ends with what would have changed the decision, found by deciding again.
    """
    from pointwork.ledger.outcomes import OutcomeLog

    engine = open_ledger(state_dir)
    records = OutcomeLog(engine).decisions(task_id)
    if not records:
        problem = f"no decision about task {task_id!r} is recorded"
        raise CliError(problem, "see `pointwork list` for the tasks there are")
    number = decision if decision is not None else len(records)
    if number > len(records):
        problem = f"--decision {number} was not made"
        raise CliError(problem, f"give a number from 1 to {len(records)}")
    record = records[number - 1]
    bundle = stored_bundle(engine, record.plan.policy.bundle_sha256)
    changes = remedies(record, bundle)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(
            {
                "decision": number,
                "decisions": len(records),
                "record": record.model_dump(mode="json"),
                "what_would_change_it": changes,
            }
        )
    else:
        _print(screen, record, changes, f"{number} of {len(records)}")
    return ExitCode.OK


def _print(screen: Screen, record: DecisionRecord, changes: Sequence[str], place: str) -> None:
    plan = record.plan
    screen.show(facts(_given(record, place)))
    screen.line()
    if plan.candidates:
        screen.show(_candidates(plan.candidates))
        screen.line()
        screen.show(facts(_arithmetic(record, plan.candidates[0])))
        screen.line()
    if plan.rejected:
        screen.show(_rejected(record))
        screen.line()
    screen.show(facts([("would change it", each) for each in changes]))


def _given(record: DecisionRecord, place: str) -> list[tuple[str, str]]:
    plan, request, found = record.plan, record.input.request, record.input.classification
    pairs = [
        ("task", record.task_id),
        ("decision", f"{place}, at {record.decided_at.isoformat(timespec='seconds')}"),
        ("effect", _effect(record)),
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
    if request.marks:
        pairs.append(("marks", listed(request.marks)))
    if request.requested_model:
        pairs.append(("requested", request.requested_model))
    pairs += [
        ("failed", f"{each.model}: {each.kind or 'answer refused'}") for each in record.input.failed
    ]
    pairs += [
        ("granted", f"{each.kind} by {each.approver}, up to {usd(each.ceiling_nano_usd)}")
        for each in record.input.grants
    ]
    if plan.obligations:
        pairs.append(("obliges", listed(plan.obligations)))
    if plan.justification:
        pairs.append(("purpose", plan.justification))
    pairs += [
        ("policy", f"{plan.policy.pack} {plan.policy.version}"),
        ("pack SHA-256", plan.policy.pack_sha256),
        ("bundle SHA-256", plan.policy.bundle_sha256),
    ]
    return pairs


def _effect(record: DecisionRecord) -> str:
    plan = record.plan
    why = f": {plan.reason.sentence}" if plan.reason else ""
    waits = f" Waits for a person: {plan.hold_for}." if plan.effect is Effect.HOLD else ""
    return f"{plan.effect}{why}{waits}"


def _candidates(candidates: Sequence[Candidate]) -> Table:
    figures = ["ESTIMATE", "CEILING"]
    rows = table("PERMITTED", "SITE", "WHY THERE", *figures, right=figures)
    for each in candidates:
        trigger = each.trigger.replace("_", " ")
        estimate, ceiling = usd(each.estimate_nano_usd), usd(each.ceiling_nano_usd)
        rows.add_row(each.model, each.site, trigger, estimate, ceiling)
    return rows


def _arithmetic(record: DecisionRecord, candidate: Candidate) -> list[tuple[str, str]]:
    """The first candidate's estimate as a sum a person can check."""
    tokens = record.input.classification.input_tokens_max
    input_price = max(max(t.input_per_mtok, t.cache_write_per_mtok) for t in candidate.prices)
    output_price = max(tier.output_per_mtok for tier in candidate.prices)
    return [
        ("estimate", f"{candidate.model}, if every token it may use is used"),
        ("input", f"{tokens} tokens at {usd(input_price)} a million"),
        ("output", f"{candidate.max_output_tokens} tokens at {usd(output_price)} a million"),
        ("sum", f"{usd(candidate.estimate_nano_usd)}, prices: {candidate.price_version}"),
        *(
            ("budget", f"{each.key}, limit {usd(each.limit_nano_usd)}")
            for each in record.plan.windows
        ),
        ("task ceiling", usd(record.plan.task_ceiling_nano_usd)),
    ]


def _rejected(record: DecisionRecord) -> Table:
    rows = table("REFUSED", "RULE", "WHY", shrink=["WHY"])
    for each in record.plan.rejected:
        rows.add_row(each.model, each.reason.value, because(each))
    return rows
