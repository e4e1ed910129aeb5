"""``parallel-verify``: checks an answer where the plan obliges it, by deterministic tools."""

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


class VerifyActivities:
    def __init__(self, content: AnswerReader, schema_check: SchemaCheck) -> None:
        self._content = content
        self._schema_check = schema_check

    @activity.defn(name=ActivityName.PARALLEL_VERIFY)
    def parallel_verify(self, step: Verify) -> CheckResult:
        """Whether the answer is JSON that satisfies the task's own schema."""
        text = self._content.answer_text(step.task_id, step.answer)
        schema = self._content.answer_schema(step.task_id, step.answer_schema)
        return self._schema_check.check(text, schema)
