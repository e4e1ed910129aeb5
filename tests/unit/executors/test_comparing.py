"""Answers compared side by side: what counts as the same, and that no value is told."""

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.executors.comparing import PLACES_MAX, compare

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "answers",
    [
        ("Yes.", "Yes.\n"),
        ("  Yes.", "Yes.", "\tYes. "),
        ("Caf\u00e9", "Cafe\u0301"),
        ('{"a": 1, "b": [2]}', '{ "b": [2.0], "a": 1e0 }'),
        ('{"caf\u00e9": "\u00e9"}', '{"cafe\u0301": "e\u0301"}'),
        ("[0.1]", "[0.10]"),
        ("[-0]", "[0]"),
    ],
)
def test_answers_that_say_the_same_in_other_writing_agree(answers: tuple[str, ...]) -> None:
    assert compare(answers).agree


@pytest.mark.parametrize(
    ("answers", "places"),
    [
        (("[1]", "[true]"), ("/0",)),
        (("[0.1]", "[0.10000000000000001]"), ("/0",)),
        (('{"a": null}', "{}"), ("/a",)),
        (('{"a": "1"}', '{"a": 1}'), ("/a",)),
        (('{"a": {}}', '{"a": []}'), ("/a",)),
        (("[1, 2]", "[1]"), ("/1",)),
        (("{}", "[]"), ("/",)),
        (("m\u00b2", "m2"), ("line 1",)),
        (("yes", "Yes"), ("line 1",)),
        (("a\nb\nc", "a\nx\nc"), ("line 2",)),
        (("a\nb\nc", "a\nc"), ("lines 2 to 2",)),
        (("a\nb\nb", "a\nb"), ("lines 3 to 3",)),
        (("42", "42.0"), ("line 1",)),
        (('{"a": 1}', "one"), ("line 1",)),
        (('{"a": 1, "a": 2}', '{"a": 2}'), ("line 1",)),
        (("[NaN]", "[1]"), ("line 1",)),
    ],
)
def test_anything_else_differs_and_its_places_are_listed(
    answers: tuple[str, ...], places: tuple[str, ...]
) -> None:
    found = compare(answers)
    assert (found.places, found.count) == (places, len(places))


def test_three_fields_that_differ_are_the_three_that_are_listed() -> None:
    one: dict[str, Any] = {"name": "x", "total": 1, "items": [{"sku": "a", "n": 1}], "ok": True}
    other = {"name": "y", "total": 2, "items": [{"sku": "b", "n": 1}], "ok": True}
    found = compare([json.dumps(one), json.dumps(other)])
    assert found.places == ("/name", "/total", "/items/0/sku")


def test_a_place_is_listed_where_any_of_several_answers_stands_apart() -> None:
    found = compare(['{"a": 1, "b": 1}', '{"a": 1, "b": 2}', '{"a": 2, "b": 1}'])
    assert found.places == ("/a", "/b")


def test_a_key_that_may_be_content_is_not_told() -> None:
    found = compare(['{"ann.lee@example.com": 1}', '{"ann.lee@example.com": 2}'])
    assert found.places == ("/*",)


def test_only_the_first_places_are_listed_and_all_are_counted() -> None:
    found = compare([json.dumps([0] * 1_000), json.dumps([1] * 1_000)])
    assert (len(found.places), found.count) == (PLACES_MAX, 1_000)


def test_answers_nested_too_deeply_for_json_are_compared_as_text() -> None:
    deep = "[" * 50_000 + "]" * 50_000
    assert compare([deep, deep]).agree
    assert compare([deep, f"{deep} "]).kind == "text"
    assert not compare([deep, "[1]"]).agree


@given(st.lists(JSON_VALUES, min_size=2, max_size=3))
def test_agreement_of_json_is_equality_and_does_not_depend_on_the_order(values: list[Any]) -> None:
    texts = [json.dumps([value]) for value in values]
    exact = len({json.dumps(each, sort_keys=True) for each in values}) == 1
    assert {compare(each).agree for each in permutations(texts)} == {compare(texts).agree}
    if exact:
        assert compare(texts).agree


@given(st.text(), st.text())
def test_no_place_quotes_text(one: str, other: str) -> None:
    found = compare([f"x{one}", f"y{other}"])
    assert all(place.startswith(("line ", "lines ")) for place in found.places)
