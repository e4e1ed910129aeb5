"""``detect-objects``: what a detector of this host sees in a task's image (CX-25)."""

from collections.abc import Sequence
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from pointwork.contract.canonical import canonical_bytes
from pointwork.contract.executors import DetectStep, ExecutorFailure, ObjectsDetected
from pointwork.contract.names import ActivityName
from pointwork.contract.prompt import ImagePart, Prompt
from pointwork.contract.task import ContentRef
from pointwork.executors.vision import (
    Detection,
    Detector,
    ImageRefusedError,
    VisionUnavailableError,
)


class ExecutorContent(Protocol):
    def prompt(self, task_id: str, ref: ContentRef) -> Prompt: ...
    def seal_answer(self, task_id: str, text: str) -> ContentRef | None: ...


class DetectActivities:
    def __init__(self, content: ExecutorContent, detector: Detector) -> None:
        self._content = content
        self._detector = detector

    @activity.defn(name=ActivityName.DETECT_OBJECTS)
    def detect_objects(self, step: DetectStep) -> ObjectsDetected:
        """Seal the objects in the one image of the prompt; equal images give equal objects.

        Raises:
            ApplicationError: VISION_UNAVAILABLE or INPUT_REFUSED, never retried.
        """
        images = _images(self._content.prompt(step.task_id, step.content))
        if len(images) != 1:
            sentence = f"the prompt holds {len(images)} images; give one"
            raise _refused(ExecutorFailure.INPUT_REFUSED, sentence)
        try:
            found = self._detector.detect(images[0])
        except VisionUnavailableError as error:
            raise _refused(ExecutorFailure.VISION_UNAVAILABLE, str(error)) from None
        except ImageRefusedError as error:
            raise _refused(ExecutorFailure.INPUT_REFUSED, str(error)) from None
        answer = self._content.seal_answer(step.task_id, _as_json(found))
        if answer is None:
            raise _refused(ExecutorFailure.INPUT_REFUSED, "the image holds too many objects")
        return ObjectsDetected(answer=answer, objects=len(found))


def _images(prompt: Prompt) -> list[bytes]:
    parts = (part for turn in prompt.turns for part in turn.parts)
    return [part.data for part in parts if isinstance(part, ImagePart)]


def _as_json(found: Sequence[Detection]) -> str:
    rows = [{"label": each.label, "score": each.score, "box": list(each.box)} for each in found]
    return canonical_bytes(rows).decode()


def _refused(failure: ExecutorFailure, sentence: str) -> ApplicationError:
    return ApplicationError(sentence, type=failure, non_retryable=True)
