"""What goes into the executors that need no language model, and what comes out: never text."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pointwork.contract.task import ContentRef, Message, TaskId

PASSAGES_MAX = 50
CORPUS_NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"

CorpusName = Annotated[str, Field(pattern=CORPUS_NAME_PATTERN)]
"""Names a file of the host, so it has no slash and begins with no dot."""


class ExecutorFailure(StrEnum):
    """``ApplicationError.type`` of an executor that could not do its work."""

    CORPUS_UNAVAILABLE = "CORPUS_UNAVAILABLE"
    EMBEDDINGS_UNAVAILABLE = "EMBEDDINGS_UNAVAILABLE"
    VISION_UNAVAILABLE = "VISION_UNAVAILABLE"
    INPUT_REFUSED = "INPUT_REFUSED"
    """The sealed input is not what this executor takes: no text, no image, or too much of it."""


class RetrieveStep(Message):
    """The input of ``stage0-retrieve``: the query is the text of the sealed prompt (CX-22)."""

    task_id: TaskId
    content: ContentRef
    corpus: CorpusName
    k: Annotated[int, Field(ge=1, le=PASSAGES_MAX)] = 5
    diversity: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    """0 ranks by relevance alone; towards 1 a passage that repeats another one falls back."""
    explain: bool = False
    """Adds to each passage the terms that earned its score; the ranking is the same (CX-22)."""


class Retrieved(Message):
    """The ranked passages are a sealed answer: a JSON list, best first."""

    answer: ContentRef
    passages: Annotated[int, Field(ge=0, le=PASSAGES_MAX)]
    corpus_sha256: str
    """Of the corpus as it was indexed, so that the ranking can be made again."""


class EmbedStep(Message):
    """The input of ``embed``: each turn of the sealed prompt is a text, and stays on this host.

    The fallback outside is another candidate of the plan: a charged call of ``invoke-model``
    (CX-24).
    """

    task_id: TaskId
    content: ContentRef


class EmbeddingsMade(Message):
    """The vectors are a sealed answer: JSON with ``space`` and base64 of little-endian float32."""

    answer: ContentRef
    space: str
    """Vectors of different spaces are never compared (CX-24)."""
    vectors: Annotated[int, Field(ge=1)]


class DetectStep(Message):
    """The input of ``detect-objects``: the one image of the sealed prompt (CX-25)."""

    task_id: TaskId
    content: ContentRef


class ObjectsDetected(Message):
    """The detections are a sealed answer: a JSON list of label, score and box, surest first."""

    answer: ContentRef
    objects: Annotated[int, Field(ge=0)]
