"""``redact``: what must not leave is replaced before anything leaves, or nothing leaves."""

from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from pointwork.contract.decision import FindingCount, RedactionSummary
from pointwork.contract.failures import FailureType
from pointwork.contract.names import ActivityName
from pointwork.contract.prompt import Prompt
from pointwork.contract.steps import Redact
from pointwork.contract.task import ContentRef, DataClass


class RedactedPrompt(Protocol):
    @property
    def prompt(self) -> Prompt: ...
    @property
    def mapping(self) -> bytes: ...
    @property
    def counts(self) -> tuple[FindingCount, ...]: ...
    @property
    def rules(self) -> tuple[str, ...]: ...
    @property
    def data_classes(self) -> tuple[DataClass, ...]: ...
    @property
    def read_bytes(self) -> int | None: ...


class Redactor(Protocol):
    def redact(self, prompt: Prompt, *, secrets_only: bool) -> RedactedPrompt | None:
        """The redacted prompt; None where it cannot be made safe."""
        ...


class RedactedContent(Protocol):
    def prompt(self, task_id: str, ref: ContentRef) -> Prompt: ...
    def seal_prompt(self, task_id: str, prompt: Prompt) -> ContentRef | None:
        """None where it is larger than the vault takes, as for ``seal_placeholders``."""
        ...

    def seal_placeholders(self, task_id: str, mapping: bytes) -> ContentRef | None: ...


class RedactActivities:
    def __init__(self, content: RedactedContent, redactor: Redactor) -> None:
        self._content = content
        self._redactor = redactor

    @activity.defn(name=ActivityName.REDACT)
    def redact(self, step: Redact) -> RedactionSummary:
        """Seal a redacted copy and its placeholder mapping beside the original.

        Raises:
            ApplicationError: REDACTION_FAILED, never retried; the task does not leave the house.
        """
        prompt = self._content.prompt(step.task_id, step.content)
        redacted = self._redactor.redact(prompt, secrets_only=step.secrets_only)
        if redacted is None:
            raise _failed()
        content = self._content.seal_prompt(step.task_id, redacted.prompt)
        placeholders = self._content.seal_placeholders(step.task_id, redacted.mapping)
        if content is None or placeholders is None:
            # Placeholders and their mapping can outgrow the text they stand for.
            raise _failed()
        return RedactionSummary(
            content=content,
            placeholders=placeholders,
            counts=redacted.counts,
            rules=redacted.rules,
            data_classes=redacted.data_classes,
            read_bytes=redacted.read_bytes,
        )


def _failed() -> ApplicationError:
    failure = FailureType.REDACTION_FAILED
    return ApplicationError(failure.sentence, type=failure, non_retryable=True)
