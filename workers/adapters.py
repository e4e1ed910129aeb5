"""Joins the library's parts to the ports of the activities. Wiring only: no rule lives here."""

import json
from dataclasses import dataclass
from datetime import datetime

from jsonschema import Draft202012Validator

from pointwork.contract.decision import FindingCount, PolicyRef, WindowSpec
from pointwork.contract.outcome import CheckResult
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import TaskRequest
from pointwork.policy.bundle import PolicyLibrary, UnknownPackError
from pointwork.policy.windows import windows_at
from pointwork.privacy.detect import scan
from pointwork.privacy.findings import Detection
from pointwork.privacy.placeholders import Placeholders
from pointwork.privacy.redact import RedactionError, redact
from pointwork.privacy.restore import restore


class ScanText:
    def scan(self, text: str) -> Detection:
        return scan(text)


@dataclass(frozen=True)
class RedactedPrompt:
    prompt: Prompt
    mapping: bytes
    counts: tuple[FindingCount, ...]
    rules: tuple[str, ...]


class PromptRedactor:
    def redact(self, prompt: Prompt) -> RedactedPrompt | None:
        try:
            redacted = redact(prompt)
        except RedactionError:
            return None
        return RedactedPrompt(
            prompt=redacted.prompt,
            mapping=redacted.placeholders.to_bytes(),
            counts=redacted.counts,
            rules=redacted.rules,
        )


class PlaceholderRestorer:
    def restore(self, text: str, mapping: bytes) -> tuple[str, int]:
        restored = restore(text, Placeholders.from_bytes(mapping))
        return restored.text, restored.unknown


class JsonSchemaCheck:
    """The deterministic check of an answer. Its detail names a place, never a value."""

    def check(self, text: str, schema: AnswerSchema) -> CheckResult:
        try:
            value = json.loads(text)
        except ValueError:
            return CheckResult(passed=False, check="json", detail="the answer is not JSON")
        error = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
        if error is None:
            return CheckResult(passed=True, check="json_schema")
        place = "/".join(str(part) for part in error.absolute_schema_path)
        return CheckResult(passed=False, check="json_schema", detail=place[:200])


class LibraryPolicy:
    """The policy library as the activities see it."""

    def __init__(self, library: PolicyLibrary) -> None:
        self._library = library

    def ref(self, pack: str) -> PolicyRef | None:
        try:
            return self._library.active(pack).ref
        except UnknownPackError:
            return None

    def endpoints(self, pack: str) -> tuple[str, ...]:
        models = self._library.active(pack).models.values()
        return tuple(sorted({each.model.endpoint for each in models}))

    def windows(self, request: TaskRequest, moment: datetime) -> tuple[WindowSpec, ...]:
        return windows_at(self._library.active(request.pack).pack, moment, caller=request.caller)

    def class_of(self, pack: str, task_type: str) -> str | None:
        try:
            return self._library.active(pack).pack.task_types.get(task_type)
        except UnknownPackError:
            return None
