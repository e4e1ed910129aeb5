"""A value that proves itself is found whatever stands beside it, as people and formats write."""

import pytest

from pointwork.privacy.detect import scan
from tests.unit.privacy.canaries import PERSONAL, Canary
from tests.unit.privacy.test_detect import covers

OWN_FORM = tuple(canary for canary in PERSONAL if scan(canary.value).findings)
"""Those that need no word before them."""
BESIDE = (
    *('"{}"', "'{}'", "`{}`", "({})", "[{}]", "{}, b", "a, {}, b", "{}.", "{}:", "{}!", "{};"),
    *("<b>{}</b>", '{{"k": "{}"}}', "\n{}\n", "a|{}|b", "{}", "so it is {}"),
)
NUMBERS_BEFORE = ("7 ", "1.0 ", "12 ", "2024 ", "no. 3 ", "5. ", "5, ")
NUMBERS_BEHIND = (" 7", " 12", " 2024", " 1.0", ", 5", ". 4")


@pytest.mark.req("OM-40", "OM-48")
@pytest.mark.parametrize("canary", OWN_FORM, ids=lambda canary: canary.kind)
def test_no_usual_mark_beside_a_value_hides_it(canary: Canary) -> None:
    # A street ends in a word, and its genitive or closing quote reads as a part of it.
    shapes = [s for s in BESIDE if canary.kind != "STREET_ADDRESS" or "'" not in s]
    hidden = [shape for shape in shapes if not covers(shape.format(canary.value), canary.value)]
    assert hidden == []


def test_the_kinds_with_a_form_of_their_own_are_most_of_them() -> None:
    assert len({canary.kind for canary in OWN_FORM}) >= 30


@pytest.mark.parametrize(
    "canary", [each for each in PERSONAL if each.kind == "PHONE"], ids=lambda canary: canary.value
)
def test_a_number_before_or_behind_a_telephone_number_does_not_hide_it(canary: Canary) -> None:
    """Else a digit put in front of it would let it out."""
    written = [
        *(canary.text.replace(canary.value, f"{each}{canary.value}") for each in NUMBERS_BEFORE),
        *(canary.text.replace(canary.value, f"{canary.value}{each}") for each in NUMBERS_BEHIND),
    ]
    assert [text for text in written if not covers(text, canary.value)] == []


@pytest.mark.parametrize(
    "text",
    [
        "7 415 555 0132 8",
        "7 2024 06 12 and 12 2024-06-12 3",
        "rows 12 345 678 901 2345 67",
        "12 978-3-16-148410-0 3",
    ],
)
def test_columns_of_numbers_hold_no_telephone_number_that_was_none_before(text: str) -> None:
    assert "PHONE" not in {finding.kind for finding in scan(text).findings}
