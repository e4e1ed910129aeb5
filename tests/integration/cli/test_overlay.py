"""`pointwork overlay`: from recorded calls to a new order and back (JG-35 to JG-37)."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.outcome import Settlement
from pointwork.ledger.attempts import AttemptLog
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.master_keys import MasterKeys
from pointwork.ledger.vault import Vault
from pointwork.policy.documents.load import load_library
from pointwork.policy.engine.approved_routes import approved_routes
from tests.fakes.sealed_policies import copy_pack, seal_all
from tests.integration.cli.conftest import Call, Called, row_counts
from tests.integration.ledger.records import accept, invoke, reserve

RULES = """\
overlay:
  promote_at: "0.95"
  demote_below: "0.80"
  requests_min: 3
  window_seconds: 3600
  cooldown_seconds: 3600
"""


@pytest.fixture
def policies(repository: Path, tmp_path: Path) -> Path:
    """The shipped policy, whose pack lets results move its order."""
    folder = copy_pack(repository, tmp_path)
    with (folder / "omega" / "1.0.yaml").open("a") as pack:
        pack.write(RULES)
    seal_all(folder)
    return folder


@pytest.fixture
def route(policies: Path) -> tuple[str, tuple[str, ...]]:
    """A class with several models, and these in the pack's own order."""
    routes = approved_routes(load_library(policies, "embedded").active("omega"))
    return next((name, models) for name, models in sorted(routes.items()) if len(models) > 1)


def fail_calls(engine: Engine, state_dir: Path, model: str, count: int) -> None:
    vault = Vault(engine, MasterKeys.load_or_create(state_dir / "master.key"))
    budgets, attempts = BudgetBook(engine), AttemptLog(engine, vault)
    now = datetime.now(UTC)
    for number in range(count):
        task_id = f"task-{model}-{number}"
        accept(vault, task_id)
        reserve(budgets, task_id, is_planned=False)
        attempts.begin(invoke(task_id, model=model), f"{task_id}/1", now)
        timeout = ProviderFailureKind.TIMEOUT
        attempts.fail(f"{task_id}/1", timeout, 0, Settlement.EXACT, 5, now)


@pytest.fixture
def overlay(call: Call, state_dir: Path, policies: Path) -> Call:
    """`pointwork overlay COMMAND omega` on the state directory of the test."""

    def run(command: str, *arguments: object) -> Called:
        where = ("--state-dir", state_dir, "--policies-dir", policies)
        return call("overlay", command, "omega", *arguments, *where)

    return run


@pytest.mark.req("JG-37")
def test_recorded_failures_are_proposed_applied_shown_and_undone(
    overlay: Call,
    ledger: Engine,
    state_dir: Path,
    policies: Path,
    route: tuple[str, tuple[str, ...]],
) -> None:
    name, own = route
    document = (policies / "omega" / "1.0.yaml").read_bytes()
    fail_calls(ledger, state_dir, own[0], 3)
    before = row_counts(ledger)

    proposed = json.loads(overlay("propose", "--json").out)
    assert row_counts(ledger) == before
    moved = {each["model"]: each for each in proposed["events"] if each["task_class"] == name}
    assert (moved[own[0]]["move"], moved[own[0]]["to_place"]) == ("demoted", 2)
    assert proposed["windows"][0]["errors_by_kind"] == [{"kind": "TIMEOUT", "count": 3}]
    assert f"{own[0]} is demoted in {name} from place 1 to 2" in overlay("propose").err

    applied = overlay("apply")
    assert applied.code == ExitCode.OK
    assert "Version 1 is in force" in applied.err
    shown = json.loads(overlay("show", "--json").out)
    assert shown["orders"][name][:2] == [own[1], own[0]]
    assert [(each["version"], each["by"]) for each in shown["history"]] == [(1, "optimizer")]
    assert "the last change is" in overlay("apply").err

    undone = overlay("revert", "--by", "owner")
    assert undone.code == ExitCode.OK
    assert "every class stands in the pack's own order" in undone.out.lower()
    history = json.loads(overlay("show", "--json").out)
    assert history["orders"] == {}
    assert [(each["version"], each["by"]) for each in history["history"]] == [
        (2, "owner"),
        (1, "optimizer"),
    ]
    assert (policies / "omega" / "1.0.yaml").read_bytes() == document
    assert AuditChain(ledger).verify().holds


def test_without_enough_calls_nothing_is_proposed_or_applied(
    overlay: Call, ledger: Engine, state_dir: Path, route: tuple[str, tuple[str, ...]]
) -> None:
    fail_calls(ledger, state_dir, route[1][0], 2)
    assert json.loads(overlay("propose", "--json").out) is None
    assert "no model with 3 calls or more" in overlay("apply").err
    assert "nothing ever moved it" in overlay("show").err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("revert",), ("--by",)),
        (("revert", "--by", "stranger"), ("stranger", "no key")),
        (("revert", "--by", "../owner"), ("../owner",)),
        (("revert", "--by", "owner", "--to", "-1"), ("--to", "-1")),
        (("revert", "--by", "owner", "--to", "7"), ("no overlay version 7",)),
    ],
)
def test_a_revert_that_makes_no_sense_is_told_in_one_sentence(
    overlay: Call, ledger: Engine, arguments: tuple[str, ...], says: tuple[str, ...]
) -> None:
    before = row_counts(ledger)
    done = overlay(*arguments)
    assert done.code == ExitCode.BAD_INPUT
    (line,) = done.error_lines
    assert all(each in line for each in says)
    assert row_counts(ledger) == before


@pytest.mark.parametrize("command", ["show", "propose", "apply"])
def test_a_pack_without_the_field_has_no_overlay(
    call: Call, state_dir: Path, policies: Path, command: str
) -> None:
    document = policies / "omega" / "1.0.yaml"
    document.write_text(document.read_text().removesuffix(RULES))
    seal_all(policies)
    where = ("--state-dir", state_dir, "--policies-dir", policies)
    done = call("overlay", command, "omega", *where)
    assert done.code == ExitCode.BAD_INPUT
    assert "'omega' has no field overlay" in done.err
