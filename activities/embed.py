"""``embed``: vectors of a task's texts from the model of this host (CX-24)."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from pointwork.contract.executors import EmbeddingsMade, EmbedStep, ExecutorFailure
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.names import ActivityName
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import ContentRef
from pointwork.executors.embeddings import TEXTS_MAX, Embedded, texts_of
from pointwork.providers.port import ProviderError


class ExecutorContent(Protocol):
    def prompt(self, task_id: str, ref: ContentRef) -> Prompt: ...
    def seal_answer(self, task_id: str, text: str) -> ContentRef | None: ...


class Embedding(Protocol):
    async def embed(self, texts: Sequence[str], *, local_only: bool) -> Embedded: ...


class EmbedActivities:
    def __init__(self, content: ExecutorContent, embedding: Embedding) -> None:
        self._content = content
        self._embedding = embedding

    @activity.defn(name=ActivityName.EMBED)
    async def embed(self, step: EmbedStep) -> EmbeddingsMade:
        """Seal one vector for each turn of the prompt; nothing leaves this host.

        Raises:
            ApplicationError: INPUT_REFUSED, never retried; EMBEDDINGS_UNAVAILABLE, whose detail is
                the ProviderFailureKind, retried where that is transient.
        """
        prompt = await asyncio.to_thread(self._content.prompt, step.task_id, step.content)
        texts = texts_of(prompt)
        if not 1 <= len(texts) <= TEXTS_MAX:
            sentence = f"{len(texts)} turns hold text; give 1 to {TEXTS_MAX}"
            raise ApplicationError(sentence, type=ExecutorFailure.INPUT_REFUSED, non_retryable=True)
        try:
            embedded = await self._embedding.embed(texts, local_only=True)
        except ProviderError as error:
            raise _unavailable(error) from None
        text = embedded.as_json()
        answer = await asyncio.to_thread(self._content.seal_answer, step.task_id, text)
        if answer is None:
            sentence = f"{len(texts)} vectors are too large together; give fewer turns"
            raise ApplicationError(sentence, type=ExecutorFailure.INPUT_REFUSED, non_retryable=True)
        return EmbeddingsMade(answer=answer, space=embedded.space_id, vectors=len(texts))


def _unavailable(error: ProviderError) -> ApplicationError:
    if error.kind is ProviderFailureKind.CONTEXT_TOO_LONG:
        failure = ExecutorFailure.INPUT_REFUSED
    else:
        failure = ExecutorFailure.EMBEDDINGS_UNAVAILABLE
    return ApplicationError(
        str(error), error.kind, type=failure, non_retryable=not error.kind.is_transient
    )
