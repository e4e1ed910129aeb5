"""``parallel-verify``: checks an answer where the plan obliges it, by deterministic tools."""

from collections.abc import Sequence
from typing import Protocol

from temporalio import activity

from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import CheckResult
from pointwork.contract.prompt import AnswerSchema
from pointwork.contract.steps import Verify
from pointwork.contract.task import ContentRef


class AnswerReader(Protocol):
    def answer_text(self, task_id: str, ref: ContentRef) -> str: ...
    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema: ...


class SchemaCheck(Protocol):
    def check(self, text: str, schema: AnswerSchema) -> CheckResult: ...


class ContractCheck(Protocol):
    def check(self, contract: str, text: str, sources: Sequence[str]) -> CheckResult: ...


class VerifyActivities:
    def __init__(
        self, content: AnswerReader, schema_check: SchemaCheck, contract_check: ContractCheck
    ) -> None:
        self._content = content
        self._schema_check = schema_check
        self._contract_check = contract_check

    @activity.defn(name=ActivityName.PARALLEL_VERIFY)
    def parallel_verify(self, step: Verify) -> CheckResult:
        """Whether the answer meets the pack's named contract, then the task's own schema."""
        text = self._content.answer_text(step.task_id, step.answer)
        result = CheckResult(passed=True, check="none")
        if step.contract is not None:
            result = self._contract_check.check(step.contract, text, step.sources)
        if result.passed and step.answer_schema is not None:
            schema = self._content.answer_schema(step.task_id, step.answer_schema)
            result = self._schema_check.check(text, schema)
        return result
