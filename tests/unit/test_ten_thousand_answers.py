"""Ten thousand times three vendors' answers: none that differ become one without a person.

Real: ``workflows.branches`` from the answers on, the comparison, the trail that makes the outcome
and the outcome's own rules. Stood in for: the server that would carry ``parallel-verify`` from the
workflow to its worker (the activity itself runs), the vault and the ledger's table. The same with
nothing stood in, some dozens of times, is in ``tests/workflows/test_generated_answers.py``.
"""

from datetime import datetime
from random import Random
from typing import Any

import pytest
from pydantic import ValidationError

from activities.verify import VerifyActivities
from pointwork.contract.approval import Verdict
from pointwork.contract.branches import Comparison
from pointwork.contract.failures import FailureType
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.prompt import Answer
from pointwork.contract.task import ContentRef
from pointwork.policy.bundle import PolicyBundle
from tests.contract.decision_samples import CANDIDATE, RECORD, START
from tests.contract.samples import APPROVAL, INVOCATION, VERDICT
from tests.fakes.made_up_answers import VENDORS, three_answers
from tests.fakes.policy_facts import changed, shipped
from tests.workflows.stack import AGREEMENT
from workers.adapters import AnswersBySide, JsonSchemaCheck, NamedContracts
from workflows import branches
from workflows.branches import Branch, Disagreement
from workflows.trail import Ending, Trail

TASKS = 10_000
SHARDS = 10
CLASS = "high_stakes_logic"


class Answers:
    """A vault and a table of comparisons for one task."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = {f"{at:064x}": text for at, text in enumerate(texts)}
        self.recorded: list[Comparison] = []

    def answer(self, task_id: str, ref: ContentRef) -> Answer:
        return Answer(text=self.texts[ref.digest])

    def answer_schema(self, task_id: str, ref: ContentRef) -> dict[str, Any]:
        raise AssertionError("no schema is asked for")

    def record(
        self, comparison: Comparison, task_id: str, decision_id: str, now: datetime
    ) -> Comparison:
        self.recorded.append(comparison)
        return comparison

    @property
    def branches(self) -> list[Branch]:
        return [
            Branch(
                CANDIDATE.model_copy(update={"model": f"m-{vendor}", "vendor": vendor}),
                at + 1,
                INVOCATION.model_copy(
                    update={"answer": ContentRef(digest=digest, bytes=1, media_type="text/plain")}
                ),
            )
            for at, (vendor, digest) in enumerate(zip(VENDORS, self.texts, strict=False))
        ]


def bundle(*, with_rule: bool) -> PolicyBundle:
    omega = shipped()
    classes = {name: row.model_dump() for name, row in omega.pack.classes.items()}
    classes[CLASS] |= {"parallel": 3, "agreement": AGREEMENT if with_rule else None}
    return changed(omega, pack={"classes": classes})


BUNDLES = (bundle(with_rule=False), bundle(with_rule=True))


def refused(outcome: TaskOutcome, **fields: Any) -> None:
    with pytest.raises(ValidationError):
        TaskOutcome.model_validate(outcome.model_dump() | fields)


def choice(found: Disagreement, letter: str) -> Ending:
    request = APPROVAL.model_copy(
        update={"options": branches._options(found.branches), "comparison": found.comparison}
    )
    verdict: Verdict = VERDICT.model_copy(update={"choice": letter})
    return branches.chosen(found, request, verdict)


def settle(answers: Answers, policy: PolicyBundle) -> tuple[Trail, Ending | Disagreement]:
    """What the workflow makes of the answers, once its calls have come back."""
    trail = Trail(RECORD.input.request, START, record=RECORD)
    answered = answers.branches
    if len(answered) == 1:
        (alone,) = answered
        branches._note(trail, answered)
        ending = Ending(
            TaskStatus.SUCCEEDED, candidate=alone.candidate, invocation=alone.invocation
        )
        return trail, ending
    shown = branches.lettered(trail.request.task_id, answered)
    branches._note(trail, shown)
    activity = VerifyActivities(
        answers, JsonSchemaCheck(), NamedContracts(), AnswersBySide(), answers
    )
    result = activity.parallel_verify(branches.comparison_of(trail, shown, policy))
    return trail, branches.settled(trail, answered, shown, result)


@pytest.mark.req("OM-60", "OM-61")
@pytest.mark.parametrize("shard", range(SHARDS))
def test_no_answer_of_several_that_differ_is_given_without_a_persons_choice(shard: int) -> None:
    seen = {"alone": 0, "equal": 0, "near": 0, "differ": 0}
    for number in range(shard * TASKS // SHARDS, (shard + 1) * TASKS // SHARDS):
        random = Random(number)
        answers = Answers(three_answers(random))
        trail, found = settle(answers, random.choice(BUNDLES))
        seen[look(answers, trail, found, random)] += 1
    assert min(seen.values()) > TASKS / SHARDS / 50, seen


def look(answers: Answers, trail: Trail, found: Ending | Disagreement, random: Random) -> str:
    """Check one task's end, and say which kind of end it was."""
    if isinstance(found, Ending):
        outcome = trail.outcome(found, START)
        assert outcome.answer is not None
        assert outcome.answer.digest in answers.texts
        assert outcome.selection is None
        if not answers.recorded:
            assert len(answers.texts) == 1
            return "alone"
        assert answers.recorded[0].agree
        return "near" if answers.recorded[0].stands else "equal"
    assert not answers.recorded[0].agree
    assert len(found.branches) == len(answers.texts)
    expired = Ending(TaskStatus.EXPIRED, FailureType.APPROVAL_EXPIRED, "Nobody answered.")
    outcome = trail.outcome(branches.unresolved(expired), START)
    assert outcome.answer is None
    for each in outcome.branches:
        refused(outcome, status=TaskStatus.SUCCEEDED, failure=None, answer=each.answer)
    letter = random.choice(answers.recorded[0].letters)
    chosen = trail.outcome(choice(found, letter), START)
    assert chosen.selection is not None
    assert (chosen.selection.choice, chosen.answer) == (letter, chosen.selection.answer)
    return "differ"
