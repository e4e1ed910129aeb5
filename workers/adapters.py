"""Joins the library's parts to the ports of the activities. Wiring only: no rule lives here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pointwork.classify.complexity import estimate_complexity
from pointwork.contract.branches import Agreement
from pointwork.contract.budget_windows import BudgetSetting
from pointwork.contract.decision import FindingCount, WindowSpec
from pointwork.contract.json_strings import JsonObjectError
from pointwork.contract.outcome import CheckResult
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.snapshot import PolicyRef
from pointwork.contract.steps import ReviewKind
from pointwork.contract.task import Complexity, DataClass, TaskRequest
from pointwork.executors.citations import check_citations
from pointwork.executors.comparing import Compared, compare
from pointwork.executors.json_contracts import (
    AnswerContract,
    check_contract,
    check_schema,
    contract_schema,
)
from pointwork.executors.reviewing import review_prompt
from pointwork.policy.active import Policies
from pointwork.policy.bundle import PolicyLibrary, UnknownBundleError, UnknownPackError
from pointwork.policy.engine.windows import (
    Subjects,
    standing_windows,
    subjects_of,
    windows_of,
)
from pointwork.policy.specs.diff_in_text import diff_in
from pointwork.policy.specs.high_risk import change_risk
from pointwork.policy.specs.unified_diff import DiffError
from pointwork.privacy.detect import DETECTORS, scan
from pointwork.privacy.findings import Detection
from pointwork.privacy.language.host import LanguageUnavailableError
from pointwork.privacy.placeholders import Placeholders
from pointwork.privacy.redact import LanguageReading, RedactionError, redact
from pointwork.privacy.restore import StreamRestorer, restore, restore_arguments
from pointwork.privacy.second_opinion import SECOND_OPINION


class ScanText:
    def scan(self, text: str) -> Detection:
        return scan(text)


class PromptShape:
    def estimate(self, prompt: Prompt) -> Complexity:
        return estimate_complexity(prompt)


@dataclass(frozen=True)
class RedactedPrompt:
    prompt: Prompt
    mapping: bytes
    counts: tuple[FindingCount, ...]
    rules: tuple[str, ...]
    data_classes: tuple[DataClass, ...]
    read_bytes: int | None


_BEFORE_LEAVING = (*DETECTORS, SECOND_OPINION)


class PromptRedactor:
    """``language`` reads for names where the pack redacts identifiers; None leaves that out."""

    def __init__(self, language: LanguageReading | None) -> None:
        self._language = language

    def redact(self, prompt: Prompt, *, secrets_only: bool) -> RedactedPrompt | None:
        try:
            redacted = redact(
                prompt,
                identifiers=not secrets_only,
                detectors=_BEFORE_LEAVING,
                language=self._language,
            )
        except (RedactionError, LanguageUnavailableError):
            return None
        is_read = redacted.read_characters is not None
        return RedactedPrompt(
            prompt=redacted.prompt,
            mapping=redacted.placeholders.to_bytes(),
            counts=redacted.counts,
            rules=redacted.rules,
            data_classes=redacted.data_classes,
            read_bytes=len(prompt.text.encode()) if is_read else None,
        )


class PlaceholderRestorer:
    def restore(self, text: str, mapping: bytes) -> tuple[str, int]:
        restored = restore(text, Placeholders.from_bytes(mapping))
        return restored.text, restored.unknown

    def restore_arguments(self, arguments: str, mapping: bytes) -> tuple[str, int] | None:
        try:
            restored = restore_arguments(arguments, Placeholders.from_bytes(mapping))
        except JsonObjectError:
            return None
        return restored.text, restored.unknown

    def stream(self, mapping: bytes) -> StreamRestorer:
        return StreamRestorer(Placeholders.from_bytes(mapping))


class JsonSchemaCheck:
    """The deterministic check of an answer (SP-39)."""

    def check(self, text: str, schema: AnswerSchema) -> CheckResult:
        return check_schema(text, schema)


class NamedContracts:
    """The answer contracts that packs name (CX-16, CX-20, CX-21)."""

    def schema(self, contract: str) -> AnswerSchema:
        return contract_schema(contract)

    def check(self, contract: str, text: str, sources: Sequence[str]) -> CheckResult:
        result = check_contract(contract, text)
        if result.passed and contract == AnswerContract.CITED_ANSWER:
            return check_citations(text, sources)
        return result


class AnswersBySide:
    """What differs between answers given side by side (OM-55)."""

    def compare(self, answers: Sequence[str], rule: Agreement | None) -> Compared:
        return compare(answers, rule)


class ReviewWriting:
    """The prompts of critics, judges and self-critique."""

    def write(self, kind: ReviewKind, task: Prompt, answers: Sequence[str]) -> Prompt:
        return review_prompt(kind, task, answers)


class LibraryPolicy:
    """The active policies as the activities see them."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def now(self) -> "LibraryPolicy":
        """The same of this moment, so that all that one task reads is of one version."""
        return LibraryPolicy(self._policies.now())

    @property
    def _library(self) -> PolicyLibrary:
        return self._policies.now()

    def ref(self, pack: str) -> PolicyRef | None:
        try:
            return self._library.active(pack).ref
        except UnknownPackError:
            return None

    def superseded_by(self, bundle_sha256: str) -> PolicyRef | None:
        """The version of the same pack that is active now, where it is another (design 7)."""
        library = self._library
        try:
            active = library.active(library.by_hash(bundle_sha256).pack.pack).ref
        except (UnknownBundleError, UnknownPackError):
            return None
        return active if active.bundle_sha256 != bundle_sha256 else None

    def endpoints(self, pack: str) -> tuple[str, ...]:
        models = self._library.active(pack).models.values()
        return tuple(sorted({each.model.endpoint for each in models}))

    def windows(self, request: TaskRequest, moment: datetime) -> tuple[WindowSpec, ...]:
        """Every window of the pack that a call of the task can turn out to fall in."""
        bundle = self._library.active(request.pack)
        return windows_of(bundle.pack, moment, self._subjects(request))

    def standing(
        self, request: TaskRequest, settings: Sequence[BudgetSetting], moment: datetime
    ) -> tuple[WindowSpec, ...]:
        """The windows of the owner's settings, likewise."""
        if not settings:
            return ()
        pack = self._library.active(request.pack).pack
        return standing_windows(pack, settings, moment, self._subjects(request))

    def _subjects(self, request: TaskRequest) -> Subjects:
        """Whom the task's calls can be charged for, before its class and model are known."""
        bundle = self._library.active(request.pack)
        entries = bundle.index.entries
        return subjects_of(
            request.caller,
            classes=tuple(bundle.pack.classes),
            worker=request.worker,
            vendors=sorted({each.vendor for each in entries}),
            models=[each.name for each in entries],
        )

    def takes_overlay(self, pack: str) -> bool:
        """Whether measured results may move the pack's order (R-9)."""
        return self._library.active(pack).pack.overlay is not None

    def reads_complexity(self, pack: str) -> bool:
        """Whether anything of the pack depends on how complex a task looks."""
        try:
            return self._library.active(pack).pack.reads_complexity
        except UnknownPackError:
            return False

    def class_of(self, pack: str, task_type: str) -> str | None:
        try:
            return self._library.active(pack).pack.task_types.get(task_type)
        except UnknownPackError:
            return None


class DiffMarks:
    """High-Risk groups of a diff that stands in the text, for packs that define them (CX-93)."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def marks(self, pack: str, text: str) -> tuple[str, ...]:
        try:
            groups = self._policies.now().active(pack).pack.high_risk_groups
        except UnknownPackError:
            return ()
        diff = diff_in(text) if groups else ""
        if not diff:
            return ()
        try:
            return tuple(group.code for group in change_risk(diff, groups).groups)
        except DiffError:
            # A change that nobody can read is taken for the worst it could be.
            return tuple(groups)
