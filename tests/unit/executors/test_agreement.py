"""What counts as one answer by a class's own rule: tolerances and similarity, at their bounds."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.contract.branches import Agreement, NumberTolerance, TextSimilarity
from pointwork.executors.comparing import compare
from pointwork.executors.quantities import quantity


def numbers(relative: str = "0", absolute: str = "0") -> Agreement:
    bounds = NumberTolerance(relative=Decimal(relative), absolute=Decimal(absolute))
    return Agreement(numbers=bounds)


def text(similarity_min: str) -> Agreement:
    bound = Decimal(similarity_min)
    return Agreement(text=TextSimilarity(measure="word_subsequence", similarity_min=bound))


BOTH = Agreement(numbers=numbers("0.01").numbers, text=text("0.9").text)
ANSWERS = st.one_of(
    st.text(max_size=20),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=6,
    ).map(json.dumps),
)


@pytest.mark.parametrize(
    ("rule", "near", "far"),
    [
        (numbers(relative="0.01"), "99", "98.99"),
        (numbers(absolute="0.5"), "99.5", "99.49"),
        (numbers(relative="0.001", absolute="0.5"), "100.5", "100.51"),
        (numbers(), "100.0", "100.1"),
    ],
    ids=["relative", "absolute", "the greater of both", "exact"],
)
def test_a_tolerance_holds_up_to_its_bound_and_no_further(
    rule: Agreement, near: str, far: str
) -> None:
    for form in ("{}", "[{}]", '{{"dose": {}}}'):
        assert compare([form.format("100"), form.format(near)], rule).agree
        assert not compare([form.format("100"), form.format(far)], rule).agree


def test_any_two_of_several_numbers_must_be_near_each_other() -> None:
    rule = numbers(absolute="1")
    assert compare(["10", "10.5", "11"], rule).agree
    assert not compare(["10", "11", "12"], rule).agree


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("15 mg", "15.1 mg", True),
        ("15 mg.", "15.1 mg", True),
        ("15mg", "15.1 mg", True),
        ("15 mg", "15.1 g", False),
        ("15 mg", "15", False),
        ("$15", "$15.1", True),
        ("$15", "\u20ac15", False),
        ("15%", "15.1 %", True),
        ("-15", "15", False),
        ("<15", "15", False),
        ("1,000,000", "1000000", True),
        ("1,234", "1234", False),
        ("1.234", "1,234", False),
        ("15 to 20", "15.1 to 20", False),
        ("It is 15.", "It is 15.1", False),
        ("1e3", "1000", True),
        ("15", "fifteen", False),
        ("\u0661\u0665", "15", False),
        ("0", "0.000", True),
        ("1e9999", "1e9998", False),
    ],
)
def test_an_answer_that_is_one_number_needs_the_same_unit(
    one: str, other: str, agree: bool
) -> None:
    assert compare([one, other], BOTH).agree is agree


def test_a_grouping_that_reads_two_ways_is_no_number() -> None:
    assert quantity("1,234") is None
    assert quantity("1,234,567 km") is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"n": 1}', '{"n": true}'),
        ('{"n": 1}', '{"n": "1.001"}'),
        ('{"n": 1}', '{"n": null}'),
        ('{"n": 1}', "{}"),
        ('{"n": "15 mg"}', '{"n": "15.1 mg"}'),
        ('{"s": "the river runs past a mill"}', '{"s": "the river runs past the mill"}'),
        ('{"go": true, "go": true}', '{"go": true, "go": false}'),
        ('["a", "b"]', '["b", "a"]'),
        ("```\nrun the long job now please\n```", "```\nrun the long job then please\n```"),
    ],
)
def test_strings_and_structure_are_compared_exactly_whatever_the_rule(one: str, other: str) -> None:
    generous = Agreement(numbers=numbers("0.5").numbers, text=text("0.1").text)
    assert not compare([one, other], generous).agree


def test_the_measure_its_bound_and_what_it_gave_are_told() -> None:
    found = compare(["the river runs past a mill", "the river runs past the mill"], text("0.9"))
    assert not found.agree
    measured = found.measured
    assert measured is not None
    assert (measured.measure, measured.similarity_min) == ("word_subsequence", Decimal("0.9"))
    assert measured.value == Decimal("0.8333")
    assert found.places == ("line 1",)

    near = compare(["the river runs past a mill", "the river runs past the mill"], text("0.83"))
    assert near.agree
    assert near.measured is not None
    assert near.measured.tolerated_count == 1


def test_json_tells_the_largest_distance_and_how_many_places_were_let_pass() -> None:
    answers = ['{"a": 100, "b": 5, "c": 1}', '{"a": 99.5, "b": 9, "c": 1}']
    found = compare(answers, numbers("0.01"))
    assert found.places == ("/b",)
    assert found.measured is not None
    assert (found.measured.value, found.measured.tolerated_count) == (Decimal("0.444445"), 1)


@given(st.lists(ANSWERS, min_size=2, max_size=5))
def test_without_a_rule_nothing_is_measured_and_a_rule_of_nothing_changes_no_verdict(
    answers: list[str],
) -> None:
    exactly = compare(answers)
    assert exactly.measured is None
    assert compare(answers, numbers()).agree >= exactly.agree
    for rule in (numbers(), BOTH):
        found = compare(answers, rule)
        assert found.measured is not None
        if exactly.agree:
            assert found.agree
            assert found.measured.tolerated_count == 0


@given(st.lists(ANSWERS, min_size=2, max_size=4), st.randoms())
def test_the_order_of_the_answers_decides_nothing(answers: list[str], random: Any) -> None:
    other = answers[:]
    random.shuffle(other)
    one, two = compare(answers, BOTH), compare(other, BOTH)
    assert one.agree == two.agree
    assert one.measured is not None
    assert two.measured is not None
    assert one.measured.value == two.measured.value


@given(
    st.decimals(-(10**9), 10**9, allow_nan=False, places=3),
    st.decimals(-(10**9), 10**9, allow_nan=False, places=3),
)
def test_two_numbers_agree_exactly_where_the_arithmetic_says_so(one: Decimal, two: Decimal) -> None:
    bound = max(Decimal("0.5"), Decimal("0.01") * max(abs(one), abs(two)))
    rule = numbers("0.01", "0.5")
    assert compare([f"{one:f}", f"{two:f}"], rule).agree == (abs(one - two) <= bound)
    assert compare([f"[{one:f}]", f"[{two:f}]"], rule).agree == (abs(one - two) <= bound)
