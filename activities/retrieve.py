"""``stage0-retrieve``: ranks the passages of a local corpus; no model is asked (CX-22, CX-70)."""

from collections.abc import Sequence
from typing import Any, Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from pointwork.contract.canonical import canonical_bytes
from pointwork.contract.executors import ExecutorFailure, Retrieved, RetrieveStep
from pointwork.contract.failures import PointworkError
from pointwork.contract.names import ActivityName
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import ContentRef
from pointwork.executors.passages import Passage, TermWeight


class CorpusIndex(Protocol):
    @property
    def corpus_sha256(self) -> str: ...
    def search(self, query: str, k: int, diversity: float) -> tuple[Passage, ...]: ...
    def explain(
        self, query: str, passages: Sequence[Passage]
    ) -> tuple[tuple[TermWeight, ...], ...]: ...


class Corpora(Protocol):
    def index(self, name: str) -> CorpusIndex:
        """The index of a corpus of this host; a PointworkError says why there is none."""
        ...


class ExecutorContent(Protocol):
    def prompt(self, task_id: str, ref: ContentRef) -> Prompt: ...
    def seal_answer(self, task_id: str, text: str) -> ContentRef | None:
        """None where the text is larger than the vault takes."""
        ...


class RetrieveActivities:
    def __init__(self, content: ExecutorContent, corpora: Corpora) -> None:
        self._content = content
        self._corpora = corpora

    @activity.defn(name=ActivityName.STAGE0_RETRIEVE)
    def stage0_retrieve(self, step: RetrieveStep) -> Retrieved:
        """Seal the ranked passages beside the query; a repeat seals the same bytes.

        Raises:
            ApplicationError: CORPUS_UNAVAILABLE or INPUT_REFUSED, never retried.
        """
        query = self._content.prompt(step.task_id, step.content).text
        try:
            index = self._corpora.index(step.corpus)
        except PointworkError as error:
            raise _refused(ExecutorFailure.CORPUS_UNAVAILABLE, str(error)) from None
        passages = index.search(query, step.k, step.diversity)
        terms = index.explain(query, passages) if step.explain else ()
        answer = self._content.seal_answer(step.task_id, _as_json(passages, terms))
        if answer is None:
            sentence = f"k: {step.k} passages of this corpus are too large together; ask for fewer"
            raise _refused(ExecutorFailure.INPUT_REFUSED, sentence)
        return Retrieved(answer=answer, passages=len(passages), corpus_sha256=index.corpus_sha256)


def _as_json(passages: Sequence[Passage], terms: Sequence[Sequence[TermWeight]]) -> str:
    rows: list[dict[str, Any]] = [
        {"rank": each.rank, "id": each.id, "title": each.title, "text": each.text}
        | {"score": each.score}
        for each in passages
    ]
    for row, weights in zip(rows, terms, strict=False):
        row["terms"] = [{"term": each.term, "weight": each.weight} for each in weights]
    return canonical_bytes(rows).decode()


def _refused(failure: ExecutorFailure, sentence: str) -> ApplicationError:
    return ApplicationError(sentence, type=failure, non_retryable=True)
