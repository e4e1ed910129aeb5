"""From a catalogue endpoint and a key to a provider. Vendors are named in the catalogue only.

A vendor's SDK takes a second of processor time to load, so each is imported where an endpoint of
it is connected: a process that calls no vendor loads none.
"""

from pointwork.executors.embeddings import EmbeddingProvider
from pointwork.policy.documents.catalogue import Endpoint
from pointwork.providers import dialects
from pointwork.providers.lookup import LookupKind
from pointwork.providers.port import Provider
from workers.settings import Credentials

EMBEDDING_MODEL = "text-embedding-3-small"

DIALECTS = {
    "openai": dialects.OPENAI,
    "deepseek": dialects.DEEPSEEK,
    "moonshot": dialects.MOONSHOT,
    "xai": dialects.XAI,
    "openrouter": dialects.OPENROUTER,
    "vllm": dialects.VLLM,
    "llama_cpp": dialects.LLAMA_CPP,
    "ollama": dialects.OLLAMA,
}
"""What the catalogue may write under ``dialect``."""


def is_usable(endpoint: Endpoint, credentials: Credentials) -> bool:
    """Whether this process can call the endpoint: it needs no key, or has it."""
    return endpoint.credential is None or credentials.of(endpoint.credential) is not None


def connect_provider(name: str, endpoint: Endpoint, credentials: Credentials) -> Provider:
    """The adapter the catalogue names for this endpoint, with its key.

    Raises:
        ValueError: the endpoint lacks an address or names a dialect there is none of.
    """
    if endpoint.base_url is None:
        msg = f"endpoints.{name}.base_url is missing; add the address of the API"
        raise ValueError(msg)
    key = credentials.of(endpoint.credential) if endpoint.credential else None
    match endpoint.adapter:
        case "openai_embeddings":
            return _embedding_provider(name, endpoint, key)
        case "anthropic":
            from pointwork.providers.anthropic import AnthropicProvider

            return AnthropicProvider(name, endpoint.base_url, key or "")
        case "google_genai":
            from pointwork.providers.google_genai import GoogleGenAIProvider

            return GoogleGenAIProvider(name, endpoint.base_url, key or "")
        case _:
            from pointwork.providers.openai import OpenAIProvider

            dialect = endpoint.dialect or name
            if dialect not in DIALECTS:
                known = ", ".join(sorted(DIALECTS))
                msg = f"endpoints.{name}.dialect: {dialect!r} is none of {known}"
                raise ValueError(msg)
            return OpenAIProvider(
                name,
                endpoint.base_url,
                key,
                dialect=DIALECTS[dialect],
                lookup=LookupKind(endpoint.lookup) if endpoint.lookup else None,
            )


def _embedding_provider(name: str, endpoint: Endpoint, key: str | None) -> EmbeddingProvider:
    """A charged embedding is a call like any other: under a hold, with an attempt row (CX-24)."""
    if endpoint.base_url is None or endpoint.dimensions is None or endpoint.revision is None:
        msg = f"endpoints.{name}: an embeddings endpoint states base_url, dimensions and revision"
        raise ValueError(msg)
    from pointwork.providers.openai_embeddings import OpenAIEmbedder

    return EmbeddingProvider(
        OpenAIEmbedder(
            name,
            endpoint.base_url,
            key,
            model=EMBEDDING_MODEL,
            revision=endpoint.revision,
            dimensions=endpoint.dimensions,
        )
    )
