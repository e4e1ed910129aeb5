"""``classify``: what kind of task this is and how careful it must be, as facts without text."""

import logging
import math
import re
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import CancelledError

from pointwork.contract.decision import Classification, ClassSource, FindingCount
from pointwork.contract.names import ActivityName
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.schema_text import schema_text
from pointwork.contract.task import (
    NAME_PATTERN,
    Complexity,
    ContentRef,
    DataClass,
    Sensitivity,
    TaskRequest,
)
from pointwork.contract.tools import sent_bytes

_log = logging.getLogger(__name__)

TOKENS_PER_TURN_MAX = 32
"""Room for the markers a chat template puts around a turn."""
TOKENS_PER_IMAGE_MAX = 6_000
"""More than any catalogue vendor charges for one image at full detail."""
TOKENS_PER_TOOL_MAX = 64
"""Room for the markers around one tool, call or result."""
TOKENS_FOR_TOOLS_MAX = 1_024
"""Room for what a vendor tells its model about tools as such, before it names any."""


class ContentReader(Protocol):
    def prompt(self, task_id: str, ref: ContentRef) -> Prompt: ...
    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema: ...


class Detection(Protocol):
    @property
    def sensitivity(self) -> Sensitivity | None: ...
    @property
    def data_classes(self) -> tuple[DataClass, ...]: ...
    @property
    def counts(self) -> tuple[FindingCount, ...]: ...
    @property
    def detectors(self) -> tuple[str, ...]: ...


class Detector(Protocol):
    def scan(self, text: str) -> Detection: ...


class Inference(Protocol):
    @property
    def task_class(self) -> str: ...
    @property
    def margin(self) -> float: ...
    @property
    def is_confident(self) -> bool: ...


class ClassInference(Protocol):
    def infer(self, prompt: Prompt) -> Inference | None: ...


class TaskTypes(Protocol):
    def class_of(self, pack: str, task_type: str) -> str | None: ...
    def reads_complexity(self, pack: str) -> bool: ...


class ComplexityEstimate(Protocol):
    def estimate(self, prompt: Prompt) -> Complexity: ...


class ChangeMarks(Protocol):
    def marks(self, pack: str, text: str) -> tuple[str, ...]: ...


class ClassifyActivities:
    """Declared class first, then the pack's map, then the text; unknown stays unknown (R-27)."""

    def __init__(
        self,
        content: ContentReader,
        detector: Detector,
        inference: ClassInference,
        task_types: TaskTypes,
        complexity: ComplexityEstimate,
        changes: ChangeMarks,
    ) -> None:
        self._content = content
        self._detector = detector
        self._inference = inference
        self._task_types = task_types
        self._complexity = complexity
        self._changes = changes

    @activity.defn(name=ActivityName.CLASSIFY)
    def classify(self, request: TaskRequest) -> Classification:
        """Detect sensitive text in all of the sealed content, and name the class of the prompt."""
        prompt = self._content.prompt(request.task_id, request.content)
        text = prompt.text
        found = self._detector.scan(self._all_text(request, text))
        task_class, source, inferred = self._class(request, prompt)
        input_bytes = len(text.encode())
        return Classification(
            task_class=task_class,
            class_source=source,
            margin=round(inferred.margin, 4) if inferred else None,
            suggested_class=inferred.task_class if inferred and task_class is None else None,
            detected_sensitivity=found.sensitivity,
            detected_data_classes=found.data_classes,
            findings=found.counts,
            detectors=found.detectors,
            scanned_bytes=input_bytes,
            input_bytes=input_bytes,
            input_tokens_max=_input_tokens_max(request, prompt),
            has_image=prompt.has_image,
            has_tools=prompt.has_tools,
            complexity=self._estimated(request, prompt),
            marks=self._changes.marks(request.pack, text),
        )

    def _all_text(self, request: TaskRequest, text: str) -> str:
        """A schema goes wherever the prompt goes, so what it holds counts as well."""
        if request.answer_schema is None:
            return text
        schema = self._content.answer_schema(request.task_id, request.answer_schema)
        return f"{text}\n{schema_text(schema)}"

    def _estimated(self, request: TaskRequest, prompt: Prompt) -> Complexity | None:
        """Only for packs that read it; what nothing reads is not found out (JG-10)."""
        if not self._task_types.reads_complexity(request.pack):
            return None
        return self._complexity.estimate(prompt)

    def _class(
        self, request: TaskRequest, prompt: Prompt
    ) -> tuple[str | None, ClassSource, Inference | None]:
        if request.task_class is not None:
            return request.task_class, ClassSource.DECLARED, None
        if request.task_type is not None:
            mapped = self._task_types.class_of(request.pack, request.task_type)
            if mapped is not None:
                return mapped, ClassSource.MAPPED, None
        inferred = self._inferred(prompt)
        if inferred is not None and inferred.is_confident:
            return inferred.task_class, ClassSource.INFERRED, inferred
        return None, ClassSource.UNKNOWN, inferred

    def _inferred(self, prompt: Prompt) -> Inference | None:
        """What the classifier says; None where it fails or says nothing that could be a class.

        A task without a class runs nowhere, and its record says why (OM-13).
        """
        try:
            inferred = self._inference.infer(prompt)
        except CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - other people's native code; it may raise anything
            # The error's own words may quote the text.
            _log.warning("the classifier failed: %s", type(error).__name__)
            return None
        return inferred if inferred is not None and _is_class(inferred) else None


def _is_class(inferred: Inference) -> bool:
    """Whether it is one name and one number: what a classifier returns is not trusted to be."""
    label, margin = inferred.task_class, inferred.margin
    is_name = isinstance(label, str) and re.fullmatch(NAME_PATTERN, label) is not None
    return is_name and isinstance(margin, float | int) and math.isfinite(margin)


def _input_tokens_max(request: TaskRequest, prompt: Prompt) -> int:
    schema_bytes = request.answer_schema.bytes if request.answer_schema else 0
    return prompt_tokens_max(prompt) + schema_bytes


def prompt_tokens_max(prompt: Prompt) -> int:
    """A bound, not a guess: byte-level tokenizers never make more tokens than bytes."""
    spoken = "\n".join(turn.text for turn in prompt.turns if turn.text)
    images = sum(part.kind == "image" for turn in prompt.turns for part in turn.parts)
    turns = (len(prompt.turns) + 1) * TOKENS_PER_TURN_MAX
    plain = len(spoken.encode()) + turns + images * TOKENS_PER_IMAGE_MAX
    return plain + _tool_tokens_max(prompt)


def _tool_tokens_max(prompt: Prompt) -> int:
    if not prompt.has_tools:
        return 0
    calls = [call for turn in prompt.turns for call in turn.calls]
    results = [result.text for turn in prompt.turns for result in turn.results]
    markers = (len(prompt.tools) + len(calls) + len(results)) * TOKENS_PER_TOOL_MAX
    return TOKENS_FOR_TOOLS_MAX + markers + sent_bytes(prompt.tools, calls, results)
