"""A citation is one of the given sources, or the answer does not pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.executors.citations import check_citations
from pointwork.executors.json_contracts import check_contract

SOURCES = ("doc-1", "notes/plan.md#2")
IDS = st.from_regex(r"[a-z][a-z0-9./#-]{0,20}", fullmatch=True)
WORDS = st.text(st.characters(exclude_characters="[]【】", exclude_categories=["Cs"]), max_size=40)


@pytest.mark.parametrize(
    "text",
    [
        "The quay is closed [doc-1].",
        "The quay is closed [doc-1, notes/plan.md#2] and [doc-1; notes/plan.md#2].",
        "The quay is closed【doc-1】.",
        json.dumps({"answer": "The quay is closed [doc-1].", "citations": ["notes/plan.md#2"]}),
        "",
        "[doc-1]",
    ],
)
def test_an_answer_with_real_citations_passes(text: str) -> None:
    assert check_citations(text, SOURCES).passed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("The quay is closed.", "the answer cites no source"),
        ("The quay is closed [doc-9].", "citation 1 [doc-9] is no given source"),
        ("Closed [doc-1], says [7].", "citation 2 [7] is no given source"),
        ("Closed [doc-1, doc-9].", "citation 2 [doc-9] is no given source"),
        ("Closed [DOC-1].", "citation 1 [DOC-1] is no given source"),
        ("Closed 【4†source】 [doc-1].", "citation 1 (of 8 characters) is no given source"),
        ("Closed [a private remark] [doc-1].", "citation 1 (of 16 characters)"),
        ("Closed [].", "citation 1 (of 0 characters)"),
        ("See [Smith 2020 [doc-1]].", "a bracket is not closed or stands within another"),
        ("Closed [doc-1] and [doc-9", "a bracket is not closed"),
        ("{}", "citations: is no list of sources"),
        ('{"answer": "x", "citations": []}', "citations: is no list of sources"),
        ('{"answer": "x", "citations": "doc-1"}', "citations: is no list of sources"),
        ('{"answer": "x", "citations": [1]}', "citations: holds something that is no string"),
        ('{"answer": "x", "citations": ["doc-9"]}', "citation 1 [doc-9] is no given source"),
        ('{"answer": "x [doc-9]", "citations": ["doc-1"]}', "citation 2 [doc-9]"),
        ('{"a": [{"b": "x [doc-9]"}], "citations": ["doc-1"]}', "citation 2 [doc-9]"),
        ('{"x [doc-9]": 1, "citations": ["doc-1"]}', "citation 2 [doc-9]"),
    ],
)
def test_an_invented_or_missing_citation_fails_and_is_named(text: str, says: str) -> None:
    result = check_citations(text, SOURCES)
    assert not result.passed
    assert result.check == "citations"
    assert says in result.detail
    assert "private" not in result.detail


def test_nothing_passes_where_no_source_was_given() -> None:
    assert not check_citations("The quay is closed [doc-1].", ()).passed


@given(st.lists(st.tuples(WORDS, IDS), min_size=1), st.sets(IDS))
def test_an_answer_passes_exactly_where_every_id_is_given(
    pieces: list[tuple[str, str]], sources: set[str]
) -> None:
    text = "Claim. " + "".join(f"{words} [{cited}]" for words, cited in pieces)
    assert check_citations(text, sources).passed is ({cited for _, cited in pieces} <= sources)


@given(st.text(), st.sets(IDS))
def test_the_check_is_total_and_a_pass_means_only_given_sources_are_named(
    text: str, sources: set[str]
) -> None:
    first = check_citations(text, sources)
    assert first == check_citations(text, sources)
    if first.passed and "[" in text:
        assert any(each in text for each in sources)


def test_deep_nesting_is_an_answer_without_citations_and_no_crash() -> None:
    assert not check_citations('{"a":' * 100_000, SOURCES).passed
    assert not check_contract("cited-answer", "[" * 100_000).passed
