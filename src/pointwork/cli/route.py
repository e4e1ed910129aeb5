"""How a task was routed, for a person: the same lines after ``run`` and in ``show``."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from pointwork.cli.screen import OK, WARN, facts, listed, milliseconds, table, usd, usd_aligned
from pointwork.contract.decision import (
    DecisionRecord,
    Effect,
    Obligation,
    Plan,
)
from pointwork.contract.outcome import AttemptSummary, Settlement, TaskOutcome, TaskStatus
from pointwork.policy.reading.outcome_words import count_words, elapsed_ms, fallback_words
from pointwork.policy.reading.plan_words import because

STATUS_STYLES = {
    TaskStatus.SUCCEEDED: OK,
    TaskStatus.DENIED: WARN,
    TaskStatus.EXPIRED: WARN,
    TaskStatus.CANCELLED: WARN,
    TaskStatus.FAILED: "red",
}
_DOWNGRADE = "a model below the class's quality floor was used"


def route_lines(outcome: TaskOutcome, record: DecisionRecord | None) -> Table:
    """Class, sensitivity, model, fallbacks, money and time of a task that has ended."""
    plan = record.plan if record else None
    pairs: list[tuple[str, str | Text]] = [
        ("task", outcome.task_id),
        ("outcome", Text(outcome.status, style=STATUS_STYLES.get(outcome.status, ""))),
        ("class", class_words(outcome, record)),
        ("sensitivity", sensitivity_words(outcome)),
        ("model", _model_words(outcome)),
        *(("fallback", words) for words in fallback_words(outcome)),
    ]
    if plan and Obligation.WARN_DOWNGRADE in plan.obligations and outcome.served_model:
        pairs.append(("downgrade", Text(_DOWNGRADE, style=WARN)))
    pairs += [("cost", cost_words(outcome)), ("time", milliseconds(elapsed_ms(outcome)))]
    if outcome.policy:
        ref = outcome.policy
        pairs.append(("policy", f"{ref.pack} {ref.version}, {ref.pack_sha256[:12]}"))
    if outcome.audit_sequence is not None:
        pairs.append(("audit", f"record {outcome.audit_sequence}"))
    return facts(pairs)


def result_document(
    outcome: TaskOutcome, record: DecisionRecord | None, answer: str | None = None
) -> dict[str, Any]:
    """The same for a program: the outcome, the last decision, and the answer where wanted."""
    return {
        "task_id": outcome.task_id,
        "status": outcome.status.value,
        "answer": answer,
        "outcome": outcome.model_dump(mode="json"),
        "plan": record.plan.model_dump(mode="json") if record else None,
    }


def other_models(plan: Plan) -> Table:
    """Each model that was not chosen, with the sentence of the rule that refused it."""
    rows = table("NOT CHOSEN", "WHY", shrink=["WHY"])
    chosen = plan.candidates[0].model if plan.candidates else None
    for candidate in plan.candidates[1:]:
        rows.add_row(candidate.model, f"Permitted; next in line after {chosen}.")
    reasons = {because(each) for each in plan.rejected}
    if len(plan.rejected) > 1 and len(reasons) == 1:
        rows.add_row(f"all {len(plan.rejected)} models", reasons.pop())
        return rows
    for each in plan.rejected:
        rows.add_row(each.model, because(each))
    return rows


def reasons_grouped(plan: Plan) -> list[str]:
    """One sentence a rule, naming the models it refused; the commonest last."""
    models: dict[str, list[str]] = {}
    for each in plan.rejected:
        models.setdefault(each.reason.sentence, []).append(each.model)
    groups = sorted(models.items(), key=lambda item: len(item[1]))
    return [f"{sentence[:-1]}: {listed(names)}." for sentence, names in groups]


def short_reason(outcome: TaskOutcome, record: DecisionRecord | None) -> str:
    """Why a task has no answer, without the list of models that stands beside it."""
    plan = record.plan if record else None
    if plan is not None and plan.effect is Effect.DENY and plan.reason is not None:
        return plan.reason.sentence
    return outcome.reason


def attempt_rows(attempts: Sequence[AttemptSummary]) -> Table:
    """Each call that was made or planned, with its tokens and what it cost."""
    figures = ["#", "IN", "OUT", "COST", "TIME"]
    rows = table("#", "MODEL", "STATE", "IN", "OUT", "COST", "TIME", right=figures)
    for each in attempts:
        usage = each.usage
        state = each.state if each.failure is None else f"{each.state}: {each.failure}"
        rows.add_row(
            str(each.number),
            each.model,
            state,
            str(usage.input_tokens) if usage else "-",
            str(usage.output_tokens) if usage else "-",
            _at_least(usd_aligned(each.cost_nano_usd), each.settlement),
            milliseconds(each.duration_ms),
        )
    return rows


def run_lines(attempts: Sequence[AttemptSummary]) -> list[str]:
    """What each call in this house ran on, and its seed, where it was given one."""
    lines = []
    for each in attempts:
        if each.local_run is None or not each.local_run.words:
            continue
        seed = f", seed {each.seed}" if each.seed is not None else ""
        lines.append(f"Attempt {each.number}: {each.local_run.words}{seed}")
    return lines


def class_words(outcome: TaskOutcome, record: DecisionRecord | None) -> str:
    if outcome.task_class is None:
        guess = record.input.classification.suggested_class if record else None
        return f"unknown, closest to {guess}" if guess else "unknown"
    margin = record.input.classification.margin if record else None
    sure = f", margin {margin:.2f}" if margin is not None else ""
    return f"{outcome.task_class} ({outcome.class_source}{sure})"


def sensitivity_words(outcome: TaskOutcome) -> str:
    level = outcome.sensitivity or "not declared, none found"
    found = count_words(outcome.findings)
    return f"{level}; found {found}" if found else str(level)


def cost_words(outcome: TaskOutcome) -> str:
    actual = _at_least(usd(outcome.cost_nano_usd), outcome.settlement)
    held = outcome.estimate_nano_usd
    return f"{actual} of at most {usd(held)} held" if held else f"{actual}, nothing held"


def _at_least(amount: str, settlement: Settlement) -> str:
    return f"at least {amount}" if settlement is Settlement.AT_LEAST else amount


def _model_words(outcome: TaskOutcome) -> str:
    asked = outcome.requested_model
    wish = f", {asked} was requested" if asked else ""
    if outcome.served_model is None:
        return f"none{wish}"
    family = f" ({outcome.served_family}, cost {outcome.cost_class})"
    differs = outcome.served_as not in (None, outcome.served_model)
    known_as = f", which calls itself {outcome.served_as}" if differs else ""
    cut = ", cut at the token limit" if outcome.finish_reason == "length" else ""
    return f"{outcome.served_model}{family}{known_as}{cut}{wish}"
