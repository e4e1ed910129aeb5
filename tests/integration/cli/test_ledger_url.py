"""The commands on a ledger that is not in the state directory: Postgres."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.cli.owner import ensure_owner
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.engine import open_engine
from tests.integration.cli.conftest import Call, Called
from tests.integration.ledger.charged import Charge, run
from tests.integration.ledger.conftest import Ledger, without_flushes
from tests.postgres import new_database


@pytest.fixture
def elsewhere(postgres_server: str, postgres_template: str, state_dir: Path) -> Iterator[Engine]:
    with new_database(postgres_server, postgres_template) as url:
        engine = without_flushes(open_engine(url))
        ensure_owner(engine, state_dir)
        yield engine
        engine.dispose()


@pytest.fixture
def there(call: Call, elsewhere: Engine, state_dir: Path) -> Call:
    def call_there(*arguments: object) -> Called:
        url = elsewhere.url.render_as_string(hide_password=False)
        return call("--ledger-url", url, *arguments, "--state-dir", state_dir)

    return call_there


def test_budgets_are_set_and_shown_in_the_ledger_that_is_named(
    there: Call, call: Call, elsewhere: Engine, state_dir: Path
) -> None:
    of = ("--pack", "omega", "--period", "day")
    assert there("budget", "set", "3", *of, "--reason", "a trial run").code == ExitCode.OK
    (told,) = [x for x in AuditChain(elsewhere).records(100) if x.kind == "budget_set"]
    assert told.body["set_by"] == "owner"
    assert "$3.0000" in there("budget", "show", "--pack", "omega").out
    assert "$3.0000" not in call("budget", "show", "--state-dir", state_dir).out


def test_costs_are_read_from_it(there: Call, elsewhere: Engine) -> None:
    url = elsewhere.url.render_as_string(hide_password=False)
    run(Ledger(url, elsewhere), Charge(task_id="a", cost=60_000, amount=100_000, model="gpt"))
    document = json.loads(there("costs", "--json").out)
    assert document["total"]["cost_nano_usd"] == 60_000


def test_the_doctor_checks_every_invariant_on_it(there: Call) -> None:
    checks = {each["check"]: each for each in json.loads(there("doctor", "--json").out)["checks"]}
    sound = [*(f"I{number}" for number in range(1, 15)), "ledger", "audit chain", "approvers"]
    assert [checks[name]["verdict"] for name in sound] == ["ok"] * len(sound)
    # The tests' server does not flush; a deployment's must.
    assert checks["journal"]["verdict"] == "fail"
    assert "fsync" in checks["journal"]["found"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://ada:secret@127.0.0.1:1/gone", "cannot be reached; check --ledger-url"),
        ("mysql://127.0.0.1/x", "the ledger cannot use"),
        ("nonsense", "not a URL; give sqlite:///path or postgresql://host/name"),
    ],
)
def test_a_ledger_that_cannot_be_opened_is_told_in_a_sentence_without_the_password(
    call: Call, state_dir: Path, url: str, says: str
) -> None:
    refused = call("--ledger-url", url, "costs", "--state-dir", state_dir)
    assert refused.code not in (ExitCode.OK, ExitCode.NO_ANSWER)
    assert says in refused.err
    assert "secret" not in refused.err


def test_a_database_without_a_ledger_is_refused(
    call: Call, postgres_server: str, state_dir: Path
) -> None:
    with new_database(postgres_server) as url:
        refused = call("--ledger-url", url, "budget", "show", "--state-dir", state_dir)
    assert refused.code == ExitCode.UNAVAILABLE
    assert "holds no ledger of this version; start the workers with it" in refused.err
