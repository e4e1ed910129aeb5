"""`pointwork budget`: what may be spent, who set it, and going on after a hard stop."""

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.contract.outcome import ReserveOutcome
from pointwork.contract.prompt import Prompt
from pointwork.contract.task import TaskDeclaration
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.budget_settings import BudgetSettings
from pointwork.ledger.budget_stops import StopBook
from pointwork.ledger.budgets import BudgetBook
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.engine.windows import standing_windows, subjects_of, windows_at
from tests.fakes.policy_facts import shipped
from tests.integration.cli.conftest import Call, Called, call_process_async
from tests.integration.ledger.records import decision
from tests.workflows.stack import STRICT_PACK, Stack

OMEGA_DAY = ("--pack", "omega", "--period", "day")
WHY = ("--reason", "The quarter is closing.")
LIMIT_OF_A_CALLER = 10_000_000
"""Of the strict pack, a day, in nano-USD."""


@pytest.fixture
def budget(call: Call, state_dir: Path) -> Call:
    def call_budget(*arguments: object) -> Called:
        return call("budget", *arguments, "--state-dir", state_dir)

    return call_budget


def rows(budget: Call, *arguments: object) -> dict[str, dict[str, Any]]:
    """What `budget show` says, by pack, scope, subject and period."""
    documents = json.loads(budget("show", "--json", *arguments).out)
    return {each["window"].rpartition("/")[0]: each for each in documents}


def hold(engine: Engine, bundle: PolicyBundle, caller: str, amount_nano_usd: int) -> ReserveOutcome:
    """Hold this much today in every budget of the caller, the owner's limits among them."""
    now, task_id = datetime.now(UTC), f"held-{uuid.uuid4().hex[:8]}"
    own = windows_at(bundle.pack, now, caller=caller)
    set_ = standing_windows(
        bundle.pack, BudgetSettings(engine).all_in_force(), now, subjects_of(caller)
    )
    windows = {each.key: each for each in (*own, *set_)}
    held = BudgetBook(engine).reserve(
        record=decision(task_id),
        part_id=f"{task_id}/1",
        task_id=task_id,
        invoke=None,
        amount_nano_usd=amount_nano_usd,
        task_ceiling_nano_usd=2**40,
        windows=list(windows.values()),
        price_version="test-1",
        expires_in_seconds=3600,
        now=now,
    )
    return held.outcome


def test_budgets_of_packs_are_shown_before_anything_was_spent(budget: Call) -> None:
    shown = rows(budget)["omega/pack/omega/day"]
    day = next(each for each in shipped("omega").pack.budgets if each.period == "day")
    assert (shown["limit_nano_usd"], shown["left_nano_usd"]) == (day.limit, day.limit)
    assert (shown["state"], shown["set_by"], shown["spent_nano_usd"]) == ("open", "the pack", 0)


@pytest.mark.req("OM-31")
def test_an_owners_limit_holds_at_once_and_the_chain_tells_who_set_it(
    budget: Call, ledger: Engine
) -> None:
    done = budget("set", "0.00005", *OMEGA_DAY, *WHY)
    assert (done.code, done.err.strip()) == (
        ExitCode.OK,
        "omega, a day: $0.00005, set by owner.",
    )
    shown = rows(budget)["omega/pack/omega/day"]
    assert (shown["limit_nano_usd"], shown["set_by"]) == (50_000, "owner")
    assert hold(ledger, shipped("omega"), "ada", 50_001) is ReserveOutcome.EXCEEDS_LIMIT
    assert hold(ledger, shipped("omega"), "ada", 50_000) is ReserveOutcome.RESERVED
    shown = rows(budget)["omega/pack/omega/day"]
    assert (shown["reserved_nano_usd"], shown["left_nano_usd"]) == (50_000, 0)
    assert shown["state"] == "spent"
    (told,) = [each for each in AuditChain(ledger).records(100) if each.kind == "budget_set"]
    assert (told.body["set_by"], told.body["reason"]) == ("owner", "The quarter is closing.")
    assert told.body["limit_nano_usd"] == 50_000


def test_a_limit_below_what_is_held_leaves_holds_and_admits_no_more(
    budget: Call, ledger: Engine
) -> None:
    assert hold(ledger, shipped("omega"), "ada", 1000) is ReserveOutcome.RESERVED
    budget("set", "0", *OMEGA_DAY, *WHY)
    assert hold(ledger, shipped("omega"), "ada", 1) is ReserveOutcome.EXCEEDS_LIMIT
    shown = rows(budget)["omega/pack/omega/day"]
    assert (shown["limit_nano_usd"], shown["left_nano_usd"]) == (0, -1000)
    assert re.search(
        r"omega/pack/omega/day +spent +\$0\.0000 +\$0\.0000 +\$0\.000001 +-\$0\.000001 ",
        budget("show").out,
    )


def test_a_budget_given_back_has_the_packs_own_limit_again(budget: Call) -> None:
    before = rows(budget)["omega/pack/omega/day"]["limit_nano_usd"]
    budget("set", "0.5", *OMEGA_DAY, *WHY)
    assert rows(budget)["omega/pack/omega/day"]["limit_nano_usd"] == 500_000_000
    back = budget("unset", *OMEGA_DAY, *WHY)
    assert back.err.startswith("omega, a day: the pack's $")
    shown = rows(budget)["omega/pack/omega/day"]
    assert (shown["limit_nano_usd"], shown["set_by"]) == (before, "the pack")


@pytest.mark.parametrize(
    ("of", "named"),
    [
        (("--scope", "caller", "--for", "ada"), "omega/caller/ada/week"),
        (("--scope", "worker", "--for", "night-shift"), "omega/worker/night-shift/week"),
        (("--scope", "vendor", "--for", "openai"), "omega/vendor/openai/week"),
        (("--scope", "model", "--for", "gpt-5.1"), "omega/model/gpt-5.1/week"),
        (("--scope", "class", "--for", "red_team"), "omega/class/red_team/week"),
    ],
    ids=str,
)
def test_one_caller_worker_vendor_model_or_class_can_have_a_budget(
    budget: Call, of: tuple[str, ...], named: str
) -> None:
    done = budget("set", "1", "--pack", "omega", "--period", "week", *of, *WHY)
    assert done.code == ExitCode.OK
    assert rows(budget)[named]["limit_nano_usd"] == 1_000_000_000
    assert named not in rows(budget, "--pack", "codex")


def test_a_budget_over_every_pack_is_shown_once(budget: Call) -> None:
    done = budget("set", "30", "--pack", "all", "--period", "month", *WHY)
    assert done.err.strip() == "every pack, a month: $30.0000, set by owner."
    shown = budget("show", "--pack", "all").out
    assert shown.count("all/pack/all/month") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "ten", *OMEGA_DAY, *WHY), "USD 'ten' is no amount"),
        (("set", "1e300", *OMEGA_DAY, *WHY), "USD '1e300' is no amount"),
        (("set", "0.0000000001", *OMEGA_DAY, *WHY), "USD '0.0000000001' is no amount"),
        (("set", "nan", *OMEGA_DAY, *WHY), "USD 'nan' is no amount"),
        (("set", "5", "--pack", "omegga", "--period", "day", *WHY), "'omegga'"),
        (("set", "5", "--pack", "omega", "--period", "year", *WHY), "--period 'year' is none"),
        (("set", "5", *OMEGA_DAY, "--scope", "team", *WHY), "--scope 'team' is none"),
        (("set", "5", *OMEGA_DAY, "--scope", "caller", *WHY), "it is not clear which caller"),
        (
            ("set", "5", *OMEGA_DAY, "--scope", "class", "--for", "chatt", *WHY),
            "--for 'chatt' is no class",
        ),
        (
            ("set", "5", *OMEGA_DAY, "--scope", "caller", "--for", "a b", *WHY),
            "--for 'a b' is no name",
        ),
        (("set", "5", *OMEGA_DAY, "--for", "codex", *WHY), "does not go with scope pack"),
        (("set", "5", *OMEGA_DAY, "--alert-at", "1.5", *WHY), "--alert-at '1.5' is no share"),
        (("set", "5", *OMEGA_DAY, "--reason", "  "), "reason"),
        (("set", "5", *OMEGA_DAY, *WHY, "--as", "mallory"), "mallory"),
        (("resume", "omega", *WHY), "no budget 'omega' is stopped"),
        (("seen",), "it is not clear which alerts"),
        (("seen", "no-such-alert"), "no unseen alert has the id 'no-such-alert'"),
        (("show", "--pack", "omegga"), "'omegga'"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused_with_a_remedy_and_changes_nothing(
    budget: Call, arguments: tuple[str, ...], says: str
) -> None:
    before = rows(budget)
    refused = budget(*arguments)
    assert refused.code not in (ExitCode.OK, ExitCode.UNHEALTHY)
    assert len(refused.error_lines) == 1
    assert says in refused.err
    assert rows(budget) == before


@pytest.mark.req("JG-28")
def test_alerts_wait_until_somebody_has_seen_them(budget: Call, ledger: Engine) -> None:
    assert budget("alerts").err == "No alert waits to be seen.\n"
    budget("set", "0.000001", *OMEGA_DAY, "--alert-at", "0.8", *WHY)
    assert hold(ledger, shipped("omega"), "ada", 900) is ReserveOutcome.RESERVED
    assert hold(ledger, shipped("omega"), "ada", 101) is ReserveOutcome.EXCEEDS_LIMIT
    told = budget("alerts").out
    assert "has $0.0000009 of $0.000001 spent and held" in told
    assert "refused a call with $0.0000009 of $0.000001 spent and held" in told
    ids = [each["alert_id"] for each in json.loads(budget("alerts", "--json").out)]
    assert len(ids) == 2
    assert budget("seen", ids[0]).err.strip() == "1 seen by owner."
    assert [x["alert_id"] for x in json.loads(budget("alerts", "--json").out)] == ids[1:]
    budget("seen", "--all")
    assert json.loads(budget("alerts", "--json").out) == []
    seen = json.loads(budget("alerts", "--all", "--json").out)
    assert {each["seen_by"] for each in seen} == {"owner"}


@pytest.mark.req("OM-32", "OM-33")
async def test_resume_ends_the_stop_and_lets_the_waiting_task_run(
    stack: Stack, served_dir: Path
) -> None:
    task = await _stopped_task(stack, "cli-resumed")
    (window,) = (await stack.open_approval(task.task_id)).windows
    shown = await call_process_async("budget", "alerts", "--state-dir", served_dir)
    assert f"stopped: {window} is stopped at" in shown.out
    done = await call_process_async(*("budget", "resume", window, *WHY, "--state-dir", served_dir))
    assert done.code == ExitCode.OK
    assert done.err.splitlines()[0] == f"{window} is resumed by owner."
    assert f"Task {task.task_id} goes on" in done.err
    outcome = await stack.recorded(task.task_id)
    assert outcome.status == "succeeded"
    assert window not in StopBook(stack.parts.engine).standing()
    again = await call_process_async(*("budget", "resume", window, *WHY, "--state-dir", served_dir))
    assert f"no budget '{window}' is stopped" in again.err


@pytest.mark.req("OM-32")
async def test_resume_without_tasks_leaves_those_that_wait_to_be_approved_one_by_one(
    stack: Stack, served_dir: Path
) -> None:
    task = await _stopped_task(stack, "cli-one-by-one")
    (window,) = (await stack.open_approval(task.task_id)).windows
    done = await call_process_async(
        *("budget", "resume", window, *WHY, "--no-tasks", "--json", "--state-dir", served_dir)
    )
    document = json.loads(done.out)
    assert document == {"resumed": [window], "resumed_by": "owner", "approved_tasks": []}
    assert (await stack.open_approval(task.task_id)).task_id == task.task_id
    await stack.client.cancel(task.task_id)
    await stack.recorded(task.task_id)


async def _stopped_task(stack: Stack, caller: str) -> TaskDeclaration:
    """A task that a spent budget holds; should midnight come, tomorrow's is spent as well."""
    pack = stack.parts.library.active(STRICT_PACK).pack
    for day in range(2):
        moment, task_id = datetime.now(UTC) + timedelta(days=day), f"{caller}-{day}"
        BudgetBook(stack.parts.engine).reserve(
            record=decision(task_id),
            part_id=f"{task_id}/1",
            task_id=task_id,
            invoke=None,
            amount_nano_usd=LIMIT_OF_A_CALLER,
            task_ceiling_nano_usd=LIMIT_OF_A_CALLER,
            windows=windows_at(pack, moment, caller=caller),
            price_version="test-1",
            expires_in_seconds=3600,
            now=moment,
        )
    declared = stack.declare(pack=STRICT_PACK, caller=caller, task_class="high_stakes_logic")
    await stack.client.submit(Prompt.from_text("Decide this."), declared)
    return declared
