"""Texts that are alike and say the opposite: what no similarity may make one answer."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.executors.similarity import WORDS_MAX, similarity, stop, words

LINE = "the river runs past a mill and its wheel turns in cold water while birds sing"
PLAIN = st.sampled_from(LINE.split(" "))
PROSE = st.lists(PLAIN, min_size=1, max_size=60)
TURNING = st.sampled_from(
    (
        *("not", "never", "no", "without", "isn't", "isn\u2019t", "15", "50", "two", "half", "<"),
        *("nicht", "ne", "sin", "n\u00e3o", "niet", "ikke", "$", "\u00b2", "\u00bd", "?", "%"),
    )
)


def reference(one: list[str], other: list[str]) -> int:
    """The longest common subsequence by the table everybody knows."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row[:]
        for at, each in enumerate(other, start=1):
            row[at] = before[at - 1] + 1 if word == each else max(before[at], row[at - 1])
    return row[-1]


@given(PROSE, PROSE)
def test_the_similarity_is_the_longest_common_subsequence_over_both_lengths(
    one: list[str], other: list[str]
) -> None:
    expected = Fraction(2 * reference(one, other), len(one) + len(other))
    assert similarity([" ".join(one), " ".join(other)]) == expected


@given(st.lists(st.text(max_size=60), min_size=2, max_size=5))
def test_the_order_of_the_answers_makes_no_difference(texts: list[str]) -> None:
    assert similarity(texts) == similarity(texts[::-1])
    assert 0 <= similarity(texts) <= 1
    assert bool(stop(texts)) == bool(stop(texts[::-1]))


@given(st.lists(PROSE, min_size=3, max_size=5))
def test_several_texts_are_as_alike_as_the_two_least_alike(several: list[list[str]]) -> None:
    texts = [" ".join(each) for each in several]
    assert similarity(texts) <= min(similarity([one, other]) for one, other in pairwise(texts))


@given(PROSE, TURNING, st.data())
def test_a_figure_sign_or_negation_more_is_a_difference_wherever_it_stands(
    prose: list[str], turning: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(prose)))
    assert stop([" ".join(prose), " ".join([*prose[:at], turning, *prose[at:]])])


@given(PROSE, TURNING, st.data())
def test_a_negation_that_moves_to_another_word_is_a_difference(
    prose: list[str], turning: str, data: st.DataObject
) -> None:
    at, then = data.draw(st.integers(0, len(prose))), data.draw(st.integers(0, len(prose)))
    one = " ".join([*prose[:at], turning, *prose[at:]])
    other = " ".join([*prose[:then], turning, *prose[then:]])
    assert bool(stop([one, other])) == (one != other)


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("It is safe to take.", "It is not safe to take.", "figures_or_negation"),
        ("Take 15 mg a day.", "Take 50 mg a day.", "figures_or_negation"),
        ("Take 15 mg a day.", "Take 15 g a day.", "figures_or_negation"),
        ("From 5 to 10.", "From 10 to 5.", "figures_or_negation"),
        ("Area in m\u00b2.", "Area in m2.", "figures_or_negation"),
        ("Two pills.", "Three pills.", "figures_or_negation"),
        ("Wait until x > y holds.", "Wait until x < y holds.", "figures_or_negation"),
        ("Pay $ now.", "Pay \u20ac now.", "figures_or_negation"),
        ("It is done.", "It is done?", "figures_or_negation"),
        ("You may go.\n\nNot this way.", "Not this way.\n\nYou may go.", "figures_or_negation"),
        ("Yes:\n- tea\nNot:\n- rum", "Yes:\n- rum\nNot:\n- tea", "figures_or_negation"),
        ("a is bad.\n\nNo.", "a is bad.", "figures_or_negation"),
        ("The capital is Sydney.", "The capital is Canberra.", "names"),
        ("Then Anna owes Bob.", "Then Bob owes Anna.", "names"),
        ("It is legal here.", "It is illegal here.", "opposites"),
        ("It is possible here.", "It is impossible here.", "opposites"),
        ("Das ist erlaubt.", "Das ist nicht erlaubt.", "figures_or_negation"),
        ("C'est permis.", "Ce n'est pas permis.", "figures_or_negation"),
        ("\u042d\u0442\u043e \u0434\u0430.", "\u042d\u0442\u043e \u0434\u0430!", "script"),
        ("\u53ef\u4ee5", "\u4e0d\u53ef\u4ee5", "script"),
    ],
)
def test_texts_that_contradict_each_other_are_stopped(one: str, other: str, why: str) -> None:
    assert stop([one, other]) == why


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The sky is blue today.", "Today the sky looks blue."),
        ("Plain words, in a row.", "plain words in a row"),
        ("A mill.\n\nWe take 5.", "The mill.\n\nWe  take\n5."),
    ],
)
def test_other_words_alone_stop_nothing(one: str, other: str) -> None:
    assert stop([one, other]) == ""


def test_case_and_punctuation_are_no_words() -> None:
    assert words("Don\u2019t \u2014 the CAFE\u0301!") == ["don\u2019t", "the", "caf\u00e9"]


def test_a_text_without_words_is_like_no_other() -> None:
    assert similarity(["...", "..."]) == 0


def test_texts_beyond_the_bound_are_alike_in_nothing() -> None:
    long = "word " * (WORDS_MAX + 1)
    assert similarity([long, long + "end"]) == 0
    assert similarity(["word " * WORDS_MAX, "word " * WORDS_MAX]) == 1
