"""The table of requirements is the one the tests' marks give."""

from pathlib import Path

import pytest

from tools.requirements_coverage import (
    TABLE,
    Proof,
    UnknownRequirementError,
    check,
    proofs,
    requirements,
    summary,
    table,
)

DECIDED_BY = {"policy document", "decision function", "activity:classify"}

MARKED = """
import pytest

@pytest.mark.req("OM-2")
@pytest.mark.req("OM-3", "DC-1")
async def test_one() -> None: ...

@pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.req("OM-2")), 2])
def test_two(n: int) -> None: ...

@pytest.mark.req("OM-4")
def no_test() -> None: ...
"""


def test_all_three_hundred_and_ninety_requirements_are_listed_once_and_in_words() -> None:
    named = requirements()
    counts = {family: of for family, _, of in summary(named, {})}
    assert counts == {"OM": 88, "CX": 106, "JG": 70, "LP": 49, "SP": 52, "DC": 25}
    assert len(named) == 390
    assert all(len(row.text) > 10 and row.text.endswith(".") for row in named.values())
    assert {row.owner for row in named.values()} >= DECIDED_BY


def test_every_rule_of_the_four_rule_sets_that_policy_itself_answers_for_is_proven() -> None:
    proven = proofs()
    wanted = {
        name
        for name, row in requirements().items()
        if row.owner in DECIDED_BY and name.partition("-")[0] in ("OM", "CX", "JG", "SP")
    }
    assert len(wanted) == 167
    assert sorted(wanted - proven.keys()) == []


def test_no_test_is_marked_with_a_requirement_nobody_listed() -> None:
    check(requirements(), proofs())


def test_the_written_table_is_up_to_date() -> None:
    """`make coverage-of-requirements` writes it."""
    assert TABLE.read_text() == table(requirements(), proofs())


def test_marks_are_read_from_tests_and_from_their_parameters(tmp_path: Path) -> None:
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_marked.py").write_text(MARKED)
    one, two = (Proof("tests/test_marked.py", name) for name in ("test_one", "test_two"))
    assert proofs(tests) == {"OM-2": [one, two], "OM-3": [one], "DC-1": [one]}


def test_an_unknown_requirement_is_refused_with_the_test_that_names_it() -> None:
    with pytest.raises(UnknownRequirementError, match=r"test_x\.py::test_y.*OM-999"):
        check(requirements(), {"OM-999": [Proof("tests/test_x.py", "test_y")]})
