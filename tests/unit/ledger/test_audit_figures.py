"""Figures in the audit chain: canonical JSON has no integers beyond 2**53, and none is rounded."""

import pytest

from pointwork.ledger.audit import within_json

LARGEST = 2**53 - 1


@pytest.mark.parametrize("figure", [0, 1, -1, LARGEST, -LARGEST, True, False])
def test_a_figure_that_json_holds_exactly_stays_a_number(figure: int) -> None:
    assert within_json(figure) is figure


@pytest.mark.parametrize("figure", [LARGEST + 1, -LARGEST - 1, 2**62, -(2**63)])
def test_a_larger_figure_stands_as_its_digits_however_deep_it_lies(figure: int) -> None:
    body = {"costs": [figure, {"most": (figure, LARGEST)}], "name": "t-1", "none": None}
    digits = str(figure)
    assert within_json(body) == {
        "costs": [digits, {"most": [digits, LARGEST]}],
        "name": "t-1",
        "none": None,
    }
    assert int(digits) == figure
