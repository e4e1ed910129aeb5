"""The estimate of a task's complexity: from the prompt's shape, the same every time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.classify import ClassifyActivities
from pointwork.classify.complexity import (
    READ_CHARACTERS_MAX,
    estimate_complexity,
)
from pointwork.contract.prompt import AnswerSchema, Prompt, Speaker, TextPart, Turn
from pointwork.contract.task import Complexity, ContentRef, TaskRequest
from pointwork.policy.bundle import PolicyLibrary
from tests.fakes.fixed_inference import FixedInference
from tests.fakes.policy_facts import NOW, shipped
from workers.adapters import DiffMarks, LibraryPolicy, PromptShape, ScanText

CODE = "```python\ndef add(a, b):\n    return a - b\n```"


def estimated(text: str) -> Complexity:
    return estimate_complexity(Prompt.from_text(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "What is the status of worker 3?",
        "Tidy up this line.",
        "Format as a table: a 1, b 2.",
        "Wie spät ist es in Oslo?",
        "- only one point\n- and another",
    ],
)
def test_a_prompt_that_shows_no_work_is_low(text: str) -> None:
    assert estimated(text) is Complexity.LOW


@pytest.mark.parametrize(
    "text",
    [
        CODE,
        "Fix the off-by-one in the pager.",
        "Why did the queue stall?",
        "Is it up? Since when?",
        "1. stop\n2. copy\n3. start",
        "word " * 80,
        "Deploy the service.",
    ],
)
def test_one_sign_of_work_is_enough_for_medium(text: str) -> None:
    assert estimated(text) is Complexity.MEDIUM


def test_several_signs_together_are_high() -> None:
    text = (
        "Compare both architectures, weigh the risks and recommend one. Justify why.\n"
        f"{CODE}\n1. cost\n2. speed\n3. safety\nWhich fails first? What would you test? "
    )
    assert estimated(text) is Complexity.HIGH
    assert estimated("word " * 4_000 + CODE + " Is it so? Why?") is Complexity.HIGH


@pytest.mark.parametrize(
    ("text_bytes", "expected"),
    [(399, Complexity.LOW), (400, Complexity.MEDIUM), (401, Complexity.MEDIUM)],
)
def test_a_text_of_four_hundred_bytes_is_no_longer_low(
    text_bytes: int, expected: Complexity
) -> None:
    assert estimated("x" * text_bytes) is expected


@pytest.mark.parametrize(("turns", "expected"), [(2, Complexity.LOW), (3, Complexity.MEDIUM)])
def test_a_third_turn_is_a_sign_of_work(turns: int, expected: Complexity) -> None:
    speakers = (Speaker.USER, Speaker.ASSISTANT, Speaker.USER)[:turns]
    said = tuple(Turn(speaker=each, parts=(TextPart(text="hm"),)) for each in speakers)
    system = Turn(speaker=Speaker.SYSTEM, parts=(TextPart(text="Be brief."),))
    assert estimate_complexity(Prompt(turns=(system, *said))) is expected


def test_what_the_system_turn_says_is_no_sign_of_the_task() -> None:
    prompt = Prompt.from_text("Which day is it?", system=f"Analyse and prove. {CODE} " * 50)
    assert estimate_complexity(prompt) is Complexity.LOW


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=600), st.text(max_size=600))
def test_the_same_prompt_gives_the_same_estimate_and_more_text_never_a_lower_one(
    text: str, more: str
) -> None:
    assert estimated(text) is estimated(text)
    assert estimated(f"{text}\n{more}").rank >= estimated(text).rank


@pytest.mark.parametrize("piece", ["```\n", "?", "- a\n", " \t", "1. ", "why ", "a", "\n"])
def test_the_longest_prompt_is_read_no_further_than_its_bound(piece: str) -> None:
    text = piece * (1_500_000 // len(piece))
    assert len(text) > READ_CHARACTERS_MAX
    assert estimated(text) is not Complexity.LOW


class OneText:
    """A vault that holds one prompt."""

    def __init__(self, text: str) -> None:
        self._prompt = Prompt.from_text(text)

    def prompt(self, task_id: str, ref: ContentRef) -> Prompt:
        return self._prompt

    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema:
        raise AssertionError


def classified(text: str, pack: str) -> Complexity | None:
    library = PolicyLibrary([shipped("omega"), shipped("juggernaut")])
    activities = ClassifyActivities(
        OneText(text),
        ScanText(),
        FixedInference(),
        LibraryPolicy(library),
        PromptShape(),
        DiffMarks(library),
    )
    request = TaskRequest(
        task_id="task-1",
        caller="billing",
        pack=pack,
        task_type="fix_bug",
        content=ContentRef(digest="a" * 64, bytes=len(text), media_type="text/plain"),
        submitted_at=NOW,
    )
    return activities.classify(request).complexity


@pytest.mark.req("JG-10")
def test_classify_estimates_for_a_pack_that_routes_by_complexity() -> None:
    assert classified(f"Fix it: {CODE}", "juggernaut") is Complexity.MEDIUM
    assert classified("Tidy up this line.", "juggernaut") is Complexity.LOW


@pytest.mark.req("OM-77")
def test_classify_estimates_for_a_pack_that_states_likely_costs() -> None:
    assert classified(f"Fix it: {CODE}", "omega") is Complexity.MEDIUM


@pytest.mark.parametrize("pack", ["codex", "socioprophet", "no-such-pack"])
def test_classify_estimates_nothing_where_nothing_reads_a_complexity(pack: str) -> None:
    assert classified(f"Fix it: {CODE}", pack) is None
