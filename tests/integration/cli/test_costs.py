"""`pointwork costs`: what was spent, for people and for programs (JG-21 to JG-25, OM-37)."""

import csv
import io
import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.costs import By, bar
from pointwork.cli.errors import ExitCode
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.costs import CostBy
from tests.integration.cli.conftest import Call, Called
from tests.integration.ledger.charged import Charge, run
from tests.integration.ledger.conftest import Ledger

CHARGES = (
    Charge(task_id="a", cost=60_000, amount=100_000, model="gpt", worker="w-1"),
    Charge(task_id="b", cost=1_500_000_007, amount=2_000_000_000, model="opus", pack="codex"),
    Charge(task_id="c", cost=300, amount=200, model="mini", worker="w-1"),
)


@pytest.fixture
def spent(state_dir: Path, ledger: Engine) -> Path:
    """A state directory whose ledger holds three tasks; the last one cost too much."""
    filled = Ledger(f"sqlite:///{state_dir / 'ledger.db'}", ledger)
    for each in CHARGES:
        run(filled, each)
    return state_dir


@pytest.fixture
def costs(call: Call, spent: Path) -> Call:
    def call_costs(*arguments: object) -> Called:
        return call("costs", *arguments, "--state-dir", spent)

    return call_costs


def test_the_words_of_the_option_are_those_of_the_report() -> None:
    assert [each.value for each in By] == [each.value for each in CostBy]


@pytest.mark.req("JG-22")
def test_the_table_names_each_model_dearest_first_and_the_sum(costs: Call) -> None:
    shown = costs()
    head, *rows = shown.out.splitlines()
    assert head.split() == ["MODEL", "CALLS", "COST", "AT", "LEAST", "INPUT", "OUTPUT"]
    assert [row.split()[0] for row in rows[:3]] == ["opus", "gpt", "mini"]
    assert rows[0].split()[2] == "$1.500000007"
    assert rows[-1] == "$1.500060307 in 3 calls in all."
    assert shown.code == ExitCode.OK


@pytest.mark.req("JG-21", "JG-23", "JG-24", "JG-25")
@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("task", {"b": 1_500_000_007, "a": 60_000, "c": 300}),
        ("policy", {"bulk": 1_500_060_307}),
        ("worker", {"": 1_500_000_007, "w-1": 60_300}),
        ("day", {"2026-03-01": 1_500_060_307}),
        ("week", {"2026-02-23 (2026-W09)": 1_500_060_307}),
        ("month", {"2026-03": 1_500_060_307}),
    ],
)
def test_json_has_exact_amounts_by_every_name(
    costs: Call, by: str, expected: dict[str, int]
) -> None:
    document = json.loads(costs("--by", by, "--format", "json").out)
    assert {each["name"]: each["cost_nano_usd"] for each in document["costs"]} == expected
    assert document["total"]["cost_usd"] == "1.500060307"
    assert document == json.loads(costs("--by", by, "--json").out)


def test_csv_has_a_head_and_crlf_and_the_same_figures(costs: Call) -> None:
    text = costs("--format", "csv").out
    assert text.endswith("\n")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["name"], row["cost_nano_usd"], row["cost_usd"]) for row in rows] == [
        ("opus", "1500000007", "1.500000007"),
        ("gpt", "60000", "0.000060000"),
        ("mini", "300", "0.000000300"),
    ]


def test_days_and_packs_narrow_the_question(costs: Call) -> None:
    asked = ("--format", "json", "--since", "2026-03-01", "--until", "2026-03-01")
    document = json.loads(costs(*asked, "--pack", "codex").out)
    assert [each["name"] for each in document["costs"]] == ["opus"]
    nothing = costs("--since", "2026-03-02")
    assert (nothing.code, nothing.out) == (ExitCode.OK, "")
    assert nothing.err.startswith("Nothing was spent on these days; run a task with")


def test_an_empty_ledger_is_told_what_to_do(call: Call, state_dir: Path) -> None:
    shown = call("costs", "--state-dir", state_dir)
    assert (shown.code, shown.out) == (ExitCode.OK, "")
    assert "run a task with `pointwork run`" in shown.err


def test_estimates_are_set_against_bills(costs: Call) -> None:
    document = json.loads(costs("--estimates", "--format", "json").out)
    ratios = {each["model"]: each["actual_to_estimate"] for each in document["estimates"]}
    assert ratios == {"opus": 0.75, "gpt": 0.6, "mini": 1.5}
    assert [row.split()[-1] for row in costs("--estimates").out.splitlines()] == [
        "ABOVE",
        "0",
        "0",
        "1",
    ]


@pytest.mark.req("OM-37", "OM-38")
def test_an_overrun_is_listed_and_reviewed_once(costs: Call, ledger: Engine) -> None:
    (overrun,) = json.loads(costs("--overruns", "--json").out)["overruns"]
    assert (overrun["part_id"], overrun["task_id"], overrun["model"]) == ("c/1", "c", "mini")
    assert (overrun["held_nano_usd"], overrun["excess_nano_usd"]) == (200, 100)
    assert overrun["reviewed_by"] is None
    assert costs("review", "c/1", "--by", "ada").code == ExitCode.OK
    again = costs("review", "c/1", "--by", "bob")
    assert "was reviewed by ada at " in again.err
    (seen,) = json.loads(costs("--overruns", "--json").out)["overruns"]
    assert seen["reviewed_by"] == "ada"
    kinds = [each.kind for each in AuditChain(ledger).records(20)]
    assert kinds.count("overrun_reviewed") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--since", "2026-02-30"), "--since '2026-02-30' is no date; give a day of the calendar"),
        (("--until", "tomorrow"), "--until 'tomorrow' is no date; give a day of the calendar"),
        (
            ("--since", "2026-03-02", "--until", "2026-03-01"),
            "--since 2026-03-02 is after --until 2026-03-01; give the earlier day first",
        ),
        (("--pack", "omga"), "--pack 'omga' has cost nothing here; use one of: codex, omega"),
        (("--estimates", "--overruns"), "--estimates and --overruns are both given; give one"),
        (("--by", "vibes"), "--by 'vibes' is not allowed"),
        (("review", "c/9", "--by", "ada"), "no overrun has the part id 'c/9'; see `pointwork"),
        (("review", "c/1", "--by", " "), "--by ' ' is no name; give one line of 1 to 128"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_in_one_sentence(
    costs: Call, arguments: tuple[str, ...], problem: str
) -> None:
    refused = costs(*arguments)
    assert (refused.code, refused.out) == (ExitCode.BAD_INPUT, "")
    (line,) = refused.error_lines
    assert line.startswith(f"error: {problem}")


def test_a_bar_is_as_long_as_its_share_and_plain_where_blocks_cannot_be_shown() -> None:
    assert bar(100, 100, "utf-8") == "█" * 24
    assert bar(1, 192, "utf-8") == "▏"
    assert bar(50, 100, "ascii") == "#" * 12
    assert bar(0, 100, "utf-8") == bar(0, 0, "utf-8") == ""


@pytest.mark.req("JG-25")
def test_a_worker_is_declared_by_name(call: Call) -> None:
    assert call("decide", "--pack", "codex", "--class", "tutor", "--worker", "w-1").code != 2
    refused = call("decide", "--pack", "codex", "--class", "tutor", "--worker", "a b")
    assert refused.code == ExitCode.BAD_INPUT
    assert refused.error_lines[0].startswith("error: --worker 'a b' is not allowed")
