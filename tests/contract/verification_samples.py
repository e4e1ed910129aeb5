"""Samples of what checks an answer: the rule of a comparison, a critic and a judge."""

from decimal import Decimal

from pointwork.contract import branches, outcome, prompt, steps, task
from tests.contract.decision_samples import ANSWER, HASH_A, TEXT

TOLERANCE = branches.NumberTolerance(relative=Decimal("0.01"), absolute=Decimal("0.5"))
SIMILARITY = branches.TextSimilarity(measure="word_subsequence", similarity_min=Decimal("0.90"))
AGREEMENT = branches.Agreement(numbers=TOLERANCE, text=SIMILARITY)
MEASURED = branches.Measured(
    measure="word_subsequence",
    relative=Decimal("0.01"),
    absolute=Decimal("0.5"),
    similarity_min=Decimal("0.90"),
    value=Decimal("0.8125"),
    stopped_by="figures_or_negation",
    tolerated_count=1,
)
REMARKS = outcome.RemarkCount(kind="risks", count=2)
CRITIQUE = outcome.Critique(
    model="claude-sonnet-5",
    vendor="anthropic",
    remarks=ANSWER,
    counts=(REMARKS,),
    cost_nano_usd=12_000,
)
JUDGEMENT = outcome.Judgement(
    model="claude-opus-5",
    vendor="anthropic",
    verdict="fail",
    reasons=ANSWER,
    cost_nano_usd=25_000,
)
OTHER_ANSWER = task.ContentRef(digest=HASH_A, bytes=64, media_type=prompt.MEDIA_TYPE_ANSWER)
OPTIONS = (
    branches.BranchOption(
        letter="A", model="gemini-3.1-pro", answer=OTHER_ANSWER, cost_nano_usd=1_300_000
    ),
    branches.BranchOption(letter="B", model="gpt-5.1", answer=ANSWER, cost_nano_usd=1_100_000),
)
COMPARISON = branches.Comparison(
    comparison_id="invoice-4711/decision/1/comparison",
    kind="json",
    agree=False,
    letters=("A", "B"),
    differences=("/total", "/items/0/*"),
    differences_count=2,
    measured=MEASURED,
)
COMPARE = steps.Compare(
    comparison_id=COMPARISON.comparison_id,
    decision_id="invoice-4711/decision/1",
    options=OPTIONS,
    agreement=AGREEMENT,
)
VERIFICATION_SAMPLES = (
    TOLERANCE,
    SIMILARITY,
    AGREEMENT,
    MEASURED,
    REMARKS,
    CRITIQUE,
    JUDGEMENT,
    outcome.CheckResult(
        passed=False,
        check="json_schema",
        detail="properties/total/type",
        comparison=COMPARISON,
        verdict="fail",
        remarks=(REMARKS,),
    ),
    steps.Compose(
        task_id="invoice-4711",
        kind=steps.ReviewKind.FINAL,
        content=TEXT,
        answers=(ANSWER, ANSWER),
    ),
    steps.Composed(content=TEXT, input_tokens_max=2_144),
)
