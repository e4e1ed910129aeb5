"""Marking what differs leaves every answer as it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointwork.executors.differing import marked, member_values


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=2, max_size=5))
def test_the_pieces_of_an_answer_are_the_answer(texts: list[str]) -> None:
    assert ["".join(piece.text for piece in each) for each in marked(texts)] == texts


@pytest.mark.parametrize("copies", [1, 2_500, 4_000])
def test_equal_answers_have_no_mark_however_long(copies: int) -> None:
    text = "One line of it.\n" * copies
    assert not any(piece.differs for each in marked([text, text]) for piece in each)


def test_the_words_that_differ_are_marked_and_the_space_before_them_is_not() -> None:
    one, other = marked(["It opened in 1932.", "It opened in 1933."])
    assert [piece.text for piece in one if piece.differs] == ["1932"]
    assert [piece.text for piece in other if piece.differs] == ["1933"]


def test_every_member_that_differs_stands_with_each_answers_value() -> None:
    found = dict(member_values(['{"a": 1, "b": [2, 3]}', '{"a": 1, "b": [2]}']))
    assert found == {"/b/1": ["3", "(absent)"]}
