"""How a task went, in words: what was found, moved, compared, chosen and said of the answer."""

from collections.abc import Sequence

from pointwork.contract.branches import Measured
from pointwork.contract.decision import FindingCount
from pointwork.contract.outcome import TaskOutcome
from pointwork.policy.reading.figures import listed


def count_words(counts: Sequence[FindingCount]) -> str:
    """``2 EMAIL, 1 IBAN``; empty where there is none."""
    return ", ".join(f"{each.count} {each.kind}" for each in counts)


def fallback_words(outcome: TaskOutcome) -> list[str]:
    """Moves after a failed try, and one that was known to be needed before the first."""
    return [
        f"to {each.to_model} ({each.move.kind.replace('_', ' ')} {each.move.direction}), "
        f"{each.move.trigger}: {listed(each.move.evidence) or 'before the first try'}"
        for each in outcome.moves
        if each.move.from_model is None
    ] + [
        f"{each.from_model} to {each.to_model} ({each.direction}), {each.trigger}: {each.cause}"
        for each in outcome.fallbacks
    ]


def branch_words(outcome: TaskOutcome) -> list[str]:
    """What became of answers given side by side: whether they agree, and who chose which."""
    compared, selection = outcome.comparison, outcome.selection
    if compared is None:
        return []
    letters = listed(compared.letters)
    how = f" {measured_words(compared.measured)}" if compared.measured else ""
    if compared.agree:
        stands = f"; the answer is {compared.stands}" if compared.stands else ""
        return [f"{letters} agree{how}{stands}"]
    if selection is None:
        return [f"{letters} differ{how}, and no person chose one"]
    chosen = f"{selection.choice} ({selection.model}) by {selection.approver}"
    return [f"{letters} differ{how}", f"chosen: {chosen}, {selection.reason}"]


def voice_words(outcome: TaskOutcome) -> list[tuple[str, str]]:
    """What a critic counted and whether a judge passed the answer, without their text."""
    found = []
    if outcome.critique is not None:
        each = outcome.critique
        counts = listed(f"{n.count} {n.kind.replace('_', ' ')}" for n in each.counts)
        found.append(("critic", f"{each.model}: {counts}"))
    if outcome.judgement is not None:
        said = {"pass": "passed it", "fail": "did not pass it", "none": "gave no verdict"}
        judge = outcome.judgement
        found.append(("judge", f"{judge.model or 'nobody'} {said[judge.verdict]}"))
    return found


def measured_words(measured: Measured) -> str:
    """``by word_subsequence: 0.8125, at least 0.90``: the measure, what it gave, and its bound."""
    if measured.measure == "exact":
        return "exactly"
    if measured.similarity_min is not None:
        stopped = measured.stopped_by.replace("_", " ")
        why = f", but not in {stopped}" if stopped else ""
        return f"by {measured.measure}: {measured.value}, at least {measured.similarity_min}{why}"
    bounds = f"at most {measured.relative} of the larger, or {measured.absolute}"
    return f"by {measured.measure}: numbers {measured.value} apart, {bounds}"


def elapsed_ms(outcome: TaskOutcome) -> float:
    """From the start to the answer, or to the end where there was none."""
    ended = outcome.answered_at or outcome.finished_at
    return (ended - outcome.started_at).total_seconds() * 1000
