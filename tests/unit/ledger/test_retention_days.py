"""For how long content is kept: by sensitivity, over defaults, careful where nothing is known."""

from datetime import timedelta

import pytest

from pointwork.contract.task import Sensitivity
from pointwork.ledger.retention import DAYS_DEFAULT, Retention, parse_days
from pointwork.ledger.sealed_bytes import SHARDS, new_name, shard_folder, task_of


def test_every_sensitivity_has_a_default_and_more_careful_content_is_kept_no_longer() -> None:
    assert set(DAYS_DEFAULT) == set(Sensitivity)
    days = [DAYS_DEFAULT[level] for level in sorted(Sensitivity, key=lambda each: each.rank)]
    assert None not in days
    assert days == sorted(days, reverse=True, key=lambda each: each or 0)


def test_what_is_given_stands_over_the_defaults_and_the_rest_stays() -> None:
    kept = Retention.over_defaults(parse_days('{"public": 3, "internal": null}'))
    assert kept.of(Sensitivity.PUBLIC) == timedelta(days=3)
    assert kept.of(Sensitivity.INTERNAL) is None
    assert kept.of(Sensitivity.SENSITIVE) == timedelta(days=60)
    assert kept.shortest == timedelta(days=3)


def test_content_of_unknown_sensitivity_counts_as_restricted() -> None:
    kept = Retention.over_defaults({Sensitivity.RESTRICTED: 2})
    assert kept.of(None) == timedelta(days=2)


def test_where_everything_is_kept_there_is_no_shortest_time() -> None:
    assert Retention(dict.fromkeys(Sensitivity, None)).shortest is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no JSON object"),
        ("[]", "no JSON object"),
        ('{"publc": 3}', "'publc' is no sensitivity; give public, internal"),
        ('{"public": 0}', "public is 0; give 1 to 36500 days, or null"),
        ('{"public": 40000}', "public is 40000"),
        ('{"public": true}', "public is True"),
        ('{"public": "9"}', "public is '9'"),
        ('{"public": 1.5}', "public is 1.5"),
    ],
)
def test_days_that_cannot_be_meant_are_refused_with_the_remedy(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_days(text)


def test_an_objects_name_tells_its_ledger_and_task_and_is_never_the_same_twice() -> None:
    names = {new_name("ledger-1", "task:1.a_b-c") for _ in range(100)}
    assert len(names) == 100
    assert {task_of(each) for each in names} == {"task:1.a_b-c"}
    assert {each.rsplit("/", 2)[0] for each in names} < {
        shard_folder("ledger-1", shard).rstrip("/") for shard in range(SHARDS)
    }


@pytest.mark.parametrize("name", ["", "contents", "contents/a/b", "other/a/00/t-1/x", "a/b/c/d/e"])
def test_a_name_of_another_form_is_none_of_ours(name: str) -> None:
    assert task_of(name) is None
