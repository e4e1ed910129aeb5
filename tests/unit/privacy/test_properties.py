"""What holds for every text, not only for those somebody thought of."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from pointwork.contract.prompt import Prompt, Speaker, TextPart, Turn
from pointwork.privacy.detect import scan
from pointwork.privacy.placeholders import PLACEHOLDER, Placeholders
from pointwork.privacy.recurrences import find_recurrences
from pointwork.privacy.redact import redact
from pointwork.privacy.restore import StreamRestorer, restore
from pointwork.privacy.view import view_of
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL

JOINTS = st.sampled_from(
    ["", " ", "\n", ", ", " and ", "\u200b", "<", ">", "'", "\\", " <EMAIL_1> ", "é"]
)
NOISE = st.text(st.sampled_from("ab1 9.-@:/<>_\n\"'+&;\u200b４é"), max_size=12)
PIECES = st.one_of(
    st.sampled_from([canary.text for canary in PERSONAL]),
    st.sampled_from([canary.value for canary in PERSONAL + CREDENTIALS]),
    NOISE,
)
IDENTIFIERS_ONLY = st.one_of(st.sampled_from([canary.value for canary in PERSONAL]), NOISE)


def texts_of(pieces: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(st.tuples(pieces, JOINTS), max_size=6).map(
        lambda pairs: "".join(piece + joint for piece, joint in pairs)
    )


def prompt_of(texts: list[str]) -> Prompt:
    parts = tuple(TextPart(text=text) for text in texts)
    return Prompt(turns=(Turn(speaker=Speaker.USER, parts=parts),))


def part_texts(prompt: Prompt) -> list[str]:
    return [part.text for turn in prompt.turns for part in turn.parts if isinstance(part, TextPart)]


@settings(max_examples=150, deadline=None)
@given(st.lists(texts_of(IDENTIFIERS_ONLY), min_size=1, max_size=3))
def test_redacting_and_restoring_gives_the_original_back(texts: list[str]) -> None:
    redacted = redact(prompt_of(texts))
    if redacted.placeholders.secrets:
        return
    restored = [restore(text, redacted.placeholders) for text in part_texts(redacted.prompt)]
    assert [answer.text for answer in restored] == texts
    assert sum(answer.unknown for answer in restored) == 0


@settings(max_examples=150, deadline=None)
@given(texts_of(PIECES))
def test_no_found_value_survives_in_the_redacted_text(text: str) -> None:
    values = [text[finding.start : finding.end] for finding in scan(text).findings]
    redacted = redact(Prompt.from_text(text)).prompt.text
    # Placeholders are ours, and a value may be spelt like one of them.
    kept = PLACEHOLDER.split(redacted)[:: PLACEHOLDER.groups + 1]
    assert [value for value in values if len(value) >= 4 and any(value in k for k in kept)] == []


@settings(max_examples=150, deadline=None)
@given(texts_of(PIECES))
def test_one_placeholder_stands_for_one_value_and_one_value_for_one_placeholder(text: str) -> None:
    placeholders = redact(Prompt.from_text(text)).placeholders
    assert len(set(placeholders.values.values())) == len(placeholders.values)
    assert not placeholders.values.keys() & placeholders.secrets
    assert not (placeholders.values.keys() | placeholders.secrets) & placeholders.literals
    assert Placeholders.from_bytes(placeholders.to_bytes()) == placeholders


@settings(max_examples=150, deadline=None)
@given(texts_of(PIECES))
def test_every_finding_points_into_the_text_and_is_not_empty(text: str) -> None:
    assert all(0 <= f.start < f.end <= len(text) for f in scan(text).findings)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_a_view_maps_each_of_its_characters_to_the_one_it_came_from(text: str) -> None:
    view = view_of(text)
    assert len(view.lowered) == len(view.text)
    spans = [view.original_span(at, at + 1) for at in range(len(view.text))]
    assert spans == sorted(spans)
    assert all(end == start + 1 <= len(text) for start, end in spans)
    assert all(view_of(text[start:end]).text for start, end in spans)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "<EMAIL_1>",
                "<email_2>",
                "&lt;",
                "EMAIL\\_1",
                "&gt;",
                "<",
                ">",
                "\\",
                "*",
                "`",
                "_1",
                "&",
                "x ",
            ]
        ),
        max_size=12,
    ),
    st.lists(st.integers(1, 9), max_size=20),
)
def test_a_stream_in_any_chunks_restores_what_the_whole_does(
    pieces: list[str], sizes: list[int]
) -> None:
    text = "".join(pieces)
    placeholders = Placeholders(values={"EMAIL_1": "<EMAIL_2>"}, secrets=frozenset({"SECRET_1"}))
    restorer = StreamRestorer(placeholders)
    shown = []
    at = 0
    for size in sizes:
        shown.append(restorer.feed(text[at : at + size]))
        at += size
    shown += [restorer.feed(text[at:]), restorer.finish()]
    whole = restore(text, placeholders)
    assert "".join(shown) == whole.text
    assert restorer.unknown == whole.unknown


@settings(max_examples=200, deadline=None)
@given(st.text("ab", max_size=40), st.lists(st.text("ab", min_size=4, max_size=7), max_size=5))
def test_recurrences_are_all_occurrences_of_all_values(text: str, values: list[str]) -> None:
    found = {(start, end) for start, end, _ in find_recurrences(text, dict.fromkeys(values, 1))}
    expected = {
        (match.start(), match.start() + len(value))
        for value in values
        for match in re.finditer(f"(?={re.escape(value)})", text)
    }
    assert found == expected
