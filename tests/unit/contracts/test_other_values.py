"""Whatever stands at a place of a good document, nothing of another kind may stand there."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.contracts.documents import (
    LOOP,
    OPTIMIZER,
    POLICY,
    SHIPPED,
    Place,
    changed_at,
    documents,
    is_valid,
    schema,
    shipped,
    walk,
)

SENTENCE = "Summarise the letter of Alice Example about her illness."
KINDS: list[Any] = [SENTENCE, {"extra": 1}, [], True, -1, None]
PROSE = {"objective", "duty", "does", "rule", "sentence"}
"""Free text, in the loop's contract only; the optimiser's objective is one word."""
ALIKE = {"task_classes", "chain_stages", "reasons", "quality_floors", "parts", "evidence_required"}
"""Lists whose entries the schema describes once; the first stands for all."""
NULLABLE = {
    "lane",
    "binding",
    "refused_by",
    "remaining_tokens",
    "latency_p95_ms",
    "consent",
    "governance_contract",
    "egress_grant",
    "policy_approval",
}
MAYBE_EMPTY = {"determining_constraints", "candidates", "asked", "granted"}


def name(at: Place) -> str | int:
    return at[-1]


def repeats(at: Place) -> bool:
    return any(one in ALIKE and nth for one, nth in itertools.pairwise(at))


def may_stand(at: Place, now: Any, other: Any) -> bool:
    """The few places that take more than one kind of value, or any text."""
    if other == now:
        return True
    if other is None:
        return name(at) in NULLABLE
    if other == []:
        return name(at) in MAYBE_EMPTY
    return other == SENTENCE and name(at) in PROSE


def others(now: Any) -> Iterator[Any]:
    yield from (each for each in KINDS if not (isinstance(each, bool) and isinstance(now, bool)))
    if isinstance(now, list):
        yield [*now, SENTENCE]
        if now:
            yield [*now, now[0]]


@pytest.mark.parametrize("contract", SHIPPED)
def test_no_place_takes_a_value_of_another_kind(contract: str) -> None:
    validator = Draft202012Validator(schema(contract))
    taken = [
        (at, other)
        for document in documents()[contract]
        for at, now in walk(document)
        if at and not repeats(at)
        for other in others(now)
        if not may_stand(at, now, other) and validator.is_valid(changed_at(document, at, other))
    ]
    assert not taken


@pytest.mark.parametrize(
    ("contract", "at"),
    [
        (POLICY, ("lanes",)),
        (OPTIMIZER, ("constraints",)),
        (LOOP, ("agents",)),
        (LOOP, ("steps",)),
        (LOOP, ("gates",)),
        (LOOP, ("instruction", "duties")),
    ],
)
def test_no_entry_of_a_fixed_list_can_be_called_by_another_name(contract: str, at: Place) -> None:
    entries: Any = shipped(contract)
    for step in at:
        entries = entries[step]
    names = [each["name"] for each in entries]
    for index, wrong in itertools.product(range(len(names)), names):
        renamed = changed_at(shipped(contract), (*at, index, "name"), wrong)
        assert is_valid(contract, renamed) is (wrong == names[index])


def test_no_constraint_reads_other_signals_than_its_own() -> None:
    for index, each in enumerate(shipped(OPTIMIZER)["constraints"]):
        wrong = ["latency"] if each["reads"] != ["latency"] else ["budget"]
        at: Place = ("constraints", index, "reads")
        assert not is_valid(OPTIMIZER, changed_at(shipped(OPTIMIZER), at, wrong))
