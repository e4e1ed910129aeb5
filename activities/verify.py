"""``parallel-verify``: checks an answer, or compares several, where the plan obliges it.

By deterministic tools alone: no model looks at another's answer here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, Protocol

from temporalio import activity

from pointwork.contract.branches import Agreement, Comparison, Measured
from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import CheckResult
from pointwork.contract.prompt import Answer, AnswerSchema
from pointwork.contract.steps import Compare, Verify
from pointwork.contract.task import ContentRef


class AnswerReader(Protocol):
    def answer(self, task_id: str, ref: ContentRef) -> Answer: ...
    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema: ...


class SchemaCheck(Protocol):
    def check(self, text: str, schema: AnswerSchema) -> CheckResult: ...


class ContractCheck(Protocol):
    def check(self, contract: str, text: str, sources: Sequence[str]) -> CheckResult: ...


class Compared(Protocol):
    @property
    def kind(self) -> Literal["json", "text"]: ...
    @property
    def places(self) -> tuple[str, ...]: ...
    @property
    def count(self) -> int: ...
    @property
    def measured(self) -> Measured | None: ...


class AnswerComparison(Protocol):
    def compare(self, answers: Sequence[str], rule: Agreement | None) -> Compared:
        """Where the answers differ, by place and never by value; exactly where there is no rule."""
        ...


class Comparisons(Protocol):
    def record(
        self, comparison: Comparison, task_id: str, decision_id: str, now: datetime
    ) -> Comparison:
        """The comparison as it stands on record; the first under an id stands."""
        ...


class VerifyActivities:
    def __init__(
        self,
        content: AnswerReader,
        schema_check: SchemaCheck,
        contract_check: ContractCheck,
        answer_comparison: AnswerComparison,
        comparisons: Comparisons,
    ) -> None:
        self._content = content
        self._schema_check = schema_check
        self._contract_check = contract_check
        self._answer_comparison = answer_comparison
        self._comparisons = comparisons

    @activity.defn(name=ActivityName.PARALLEL_VERIFY)
    def parallel_verify(self, step: Verify) -> CheckResult:
        """Whether the answer meets the pack's named contract, then the task's own schema.

        An answer that calls tools meets neither.
        With ``compare``, whether several answers agree: found and recorded, never resolved (OM-55).
        """
        if step.compare is not None:
            return self._compare(step.task_id, step.compare)
        answer = self._content.answer(step.task_id, step.answer)
        if answer.tool_calls:
            # What an answer's text must be says nothing of what its caller would run.
            return CheckResult(
                passed=False, check="tool_calls", detail="an answer that calls tools has no check"
            )
        text = answer.text
        result = CheckResult(passed=True, check="none")
        if step.contract is not None:
            result = self._contract_check.check(step.contract, text, step.sources)
        if result.passed and step.answer_schema is not None:
            schema = self._content.answer_schema(step.task_id, step.answer_schema)
            result = self._schema_check.check(text, schema)
        return result

    def _compare(self, task_id: str, step: Compare) -> CheckResult:
        answers = [self._content.answer(task_id, each.answer) for each in step.options]
        # Calls are run as they are written: no two that are merely alike count as one.
        rule = None if any(each.tool_calls for each in answers) else step.agreement
        found = self._answer_comparison.compare([each.shown for each in answers], rule)
        comparison = self._comparisons.record(
            Comparison(
                comparison_id=step.comparison_id,
                kind=found.kind,
                agree=found.count == 0,
                letters=tuple(each.letter for each in step.options),
                differences=found.places,
                differences_count=found.count,
                measured=found.measured,
            ),
            task_id,
            step.decision_id,
            datetime.now(UTC),
        )
        return CheckResult(passed=comparison.agree, check="compare", comparison=comparison)
