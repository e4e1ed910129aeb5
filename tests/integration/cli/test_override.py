"""`pointwork override`: asking for an exception, what it would cost, and who lets it hold."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import ExitCode
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.audit import AuditChain
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.outcomes import OutcomeLog
from pointwork.ledger.vault import Vault
from pointwork.policy.proving.situation import Situation
from tests.fakes.policy_facts import shipped
from tests.integration.cli.conftest import Call, Called
from tests.integration.cli.decided import log, record
from tests.integration.ledger.conftest import MASTER_KEYS
from tests.integration.ledger.overriding import hold, overridden
from tests.integration.ledger.records import accept, outcome

OMEGA = shipped()
MODEL = "claude-sonnet-5"
WHY = "The local model lost three of these in a row."
AGREED = ("--reason", "looked at the cost and agree")
ASK = ("create", "--pack", "omega", "--model", MODEL, "--requester", "billing", "--reason", WHY)
TO_COME = ("--scope", "task", "--duration", "single_use", "--task", "invoice-4712")
UNTIL_REVOKED = ("--scope", "period", "--duration", "indefinite")
SUMMARY = "summarisation_formatting"
SUMMARIES = Situation(task_class=SUMMARY, sensitivity="public")


@pytest.fixture
def override(call: Call, state_dir: Path) -> Call:
    def call_override(*arguments: object) -> Called:
        return call("override", *arguments, "--state-dir", state_dir)

    return call_override


def asked(override: Call, *bounds: str) -> dict[str, Any]:
    called = override(*ASK, *(bounds or TO_COME), "--json")
    assert called.code == ExitCode.OK, called.out
    found: dict[str, Any] = json.loads(called.out)
    return found


def in_days(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def recorded(ledger: Engine, *task_ids: str, conversation: str | None = None) -> None:
    """Tasks that were accepted a minute ago, and decided and recorded then."""
    vault, now = Vault(ledger, MASTER_KEYS), datetime.now(UTC) - timedelta(minutes=1)
    for task_id in task_ids:
        accept(vault, task_id)
        with ledger.begin() as connection:
            statement = "UPDATE task SET created_at = ? WHERE task_id = ?"
            stored = now.replace(tzinfo=None).isoformat(" ")
            connection.exec_driver_sql(statement, (stored, task_id))
        situation = SUMMARIES.model_copy(update={"conversation_id": conversation})
        log(ledger, record(task_id, situation, OMEGA, at=now))


def difference() -> int:
    """What one of the recorded tasks would have cost more, in nano-USD."""
    decided = record("any", SUMMARIES, OMEGA)
    (before,) = [e for e in OMEGA.index.entries if e.name == decided.plan.candidates[0].model]
    tokens = decided.input.classification.input_tokens_max
    asked_for = decided.input.request.constraints.max_output_tokens
    dear = OMEGA.index.by_name[MODEL].estimate(tokens, asked_for)
    return dear - before.estimate(tokens, asked_for)


@pytest.mark.req("OM-68", "OM-73")
def test_asking_shows_the_cost_and_leaves_it_pending_until_another_person_acknowledges(
    override: Call, call: Call, state_dir: Path, ledger: Engine
) -> None:
    shown = override(*ASK, *TO_COME)
    assert shown.code == ExitCode.OK
    for words in ("pending", "cost impact", "estimated from", WHY, "task invoice-4712"):
        assert words in shown.out
    (waiting,) = ApprovalBook(ledger).waiting()
    assert f"pointwork override acknowledge {waiting.task_id} --as NAME" in shown.err
    assert waiting.task_id in call("inbox", "--state-dir", state_dir).out

    done = override("acknowledge", waiting.task_id, *AGREED)
    assert (done.code, "is active; owner acknowledged" in done.err) == (ExitCode.OK, True)
    (listed,) = json.loads(override("list", "--json").out)
    assert (listed["state"], listed["approver"], listed["reason"]) == ("active", "owner", WHY)
    assert listed["acknowledged_at"] is not None
    assert listed["cost_impact_nano_usd"] == waiting.ceiling_nano_usd
    told = [each.kind for each in AuditChain(ledger).records(100)]
    assert told[-3:] == ["override_created", "approval_opened", "approval_closed"]


@pytest.mark.req("OM-73")
def test_who_asked_cannot_acknowledge(override: Call) -> None:
    called = override(*ASK[:5], "--requester", "owner", "--reason", WHY, *TO_COME, "--json")
    override_id = json.loads(called.out)["override_id"]
    refused = override("acknowledge", override_id, *AGREED)
    assert refused.code == ExitCode.BAD_INPUT
    assert "ask another person" in refused.error_lines[0]
    assert json.loads(override("list", "--json").out)[0]["state"] == "pending"


def test_a_policy_that_changed_meanwhile_is_told(override: Call) -> None:
    override_id = asked(override)["override_id"]
    refused = override("acknowledge", override_id, *AGREED, "--host", "rtx5090")
    assert refused.code == ExitCode.BAD_INPUT
    assert "changed since the override was asked for" in refused.error_lines[0]
    assert json.loads(override("list", "--json").out)[0]["state"] == "pending"


@pytest.mark.req("OM-69")
@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("quick", "--reason has 5 characters; say why in 8 to 500"),
        ("x" * 501, "--reason has 501 characters"),
        ("just because", "say what the default route cannot do for this work"),
        ("it is faster for me", "say what the default route cannot do for this work"),
        ("testing, testing", "say what the default route cannot do for this work"),
    ],
)
def test_a_reason_of_convenience_is_refused_with_what_one_must_say(
    override: Call, ledger: Engine, reason: str, words: str
) -> None:
    refused = override(*ASK[:-1], reason, *TO_COME)
    assert refused.code == ExitCode.BAD_INPUT
    assert words in refused.error_lines[0]
    assert ApprovalBook(ledger).waiting() == []


@pytest.mark.req("OM-70", "OM-71")
@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((), "--scope is missing; give one of task, session, period"),
        (("--scope", "world"), "--scope 'world' is none; give one of task, session, period"),
        (
            ("--scope", "task"),
            "--duration is missing; give one of single_use, session, time_limited, indefinite",
        ),
        (
            ("--scope", "task", "--duration", "always"),
            "--duration 'always' is none; give one of single_use, session, time_limited",
        ),
        (("--scope", "task", "--duration", "indefinite"), "--task is missing"),
        (("--scope", "session", "--duration", "indefinite"), "--conversation is missing"),
        (UNTIL_REVOKED, "--until is missing"),
        ((*TO_COME, "--until", "2099-01-01T00:00Z"), "--until bounds nothing"),
        ((*TO_COME, "--conversation", "thread-9"), "--conversation bounds nothing"),
        ((*UNTIL_REVOKED, "--until", "soon"), "is no time"),
        ((*UNTIL_REVOKED, "--until", "2099-01-01"), "names no time zone"),
        ((*UNTIL_REVOKED, "--until", "2020-01-01T00:00Z"), "is past"),
        ((*TO_COME, "--class", "poetry"), "--class 'poetry' is no class of omega"),
        (
            (*UNTIL_REVOKED, "--until", "2099-01-01T00:00Z", "--class", SUMMARY),
            "--class is given without --task",
        ),
    ],
)
def test_scope_and_duration_are_stated_with_the_bound_they_need_and_no_other(
    override: Call, bounds: tuple[str, ...], words: str
) -> None:
    refused = override(*ASK, *bounds)
    assert refused.code == ExitCode.BAD_INPUT
    assert words in refused.error_lines[0]


@pytest.mark.parametrize("model", ["no-such-model", "bge-m3"])
def test_only_a_language_model_of_the_pack_goes_first(override: Call, model: str) -> None:
    refused = override(*ASK[:3], "--model", model, *ASK[5:], *TO_COME)
    assert refused.code == ExitCode.BAD_INPUT
    assert f"--model {model!r} is no language model of omega" in refused.error_lines[0]


def test_a_task_that_was_decided_reads_no_override_any_more(override: Call, ledger: Engine) -> None:
    recorded(ledger, "invoice-4712")
    refused = override(*ASK, *TO_COME)
    assert refused.code == ExitCode.BAD_INPUT
    assert "was decided already" in refused.error_lines[0]


@pytest.mark.req("OM-73")
def test_without_a_record_the_ceiling_bounds_the_cost_and_the_words_say_so(
    override: Call,
) -> None:
    found = asked(override, *TO_COME, "--class", SUMMARY)
    assert found["cost_impact_nano_usd"] == 50_000_000
    assert found["cost_basis"].startswith("no task is recorded to estimate from: at most the ceil")


@pytest.mark.req("OM-73")
def test_a_task_costs_what_it_would_have_cost_more_on_the_recorded_ones(
    override: Call, ledger: Engine
) -> None:
    recorded(ledger, "t-1", "t-2", "t-3")
    found = [asked(override, *TO_COME, "--class", SUMMARY) for _ in range(2)]
    assert [each["cost_impact_nano_usd"] for each in found] == [difference()] * 2
    assert found[0]["cost_basis"] == found[1]["cost_basis"]
    assert "over 3 recorded tasks of pack omega, 3 of which it changes" in found[0]["cost_basis"]
    assert found[0]["cost_basis"].endswith("for 1 task")


@pytest.mark.req("OM-73")
def test_a_period_costs_as_many_tasks_as_fell_into_as_long_a_time_before(
    override: Call, ledger: Engine
) -> None:
    recorded(ledger, "t-1", "t-2", "t-3")
    recorded(ledger, "t-4", "t-5", conversation="thread-9")
    period = asked(
        override, "--scope", "period", "--duration", "time_limited", "--until", in_days(7)
    )
    session = asked(
        override, "--scope", "session", "--duration", "session", "--conversation", "thread-9"
    )
    assert period["cost_impact_nano_usd"] == 5 * difference()
    assert period["cost_basis"].endswith("for 5 tasks of pack omega in the 7 days before")
    assert session["cost_impact_nano_usd"] == 2 * difference()
    assert "2 recorded tasks of conversation thread-9" in session["cost_basis"]


@pytest.mark.req("OM-69")
@pytest.mark.parametrize(("verb", "state"), [("revoke", "revoked"), ("strike", "struck")])
def test_it_ends_by_a_persons_word_with_a_reason(override: Call, verb: str, state: str) -> None:
    override_id = asked(override)["override_id"]
    override("acknowledge", override_id, *AGREED)
    ended = override(verb, override_id, "--reason", "this is convenience after all")
    assert ended.code == ExitCode.OK
    (listed,) = json.loads(override("list", "--json").out)
    assert (listed["state"], listed["ended_by"]) == (state, "owner")
    assert listed["ended_reason"] == "this is convenience after all"
    again = override(verb, override_id, "--reason", "this is convenience after all")
    assert f"is {state} already" in again.error_lines[0]
    nobody = override(verb, override_id, "--reason", "this is convenience", "--as", "mallory")
    assert "mallory has no key on this machine" in nobody.error_lines[0]


def test_a_session_is_ended_by_its_conversation(override: Call) -> None:
    asked(override, "--scope", "session", "--duration", "session", "--conversation", "thread-9")
    other = override("end-session", "thread-8")
    assert "No override holds for conversation thread-8." in other.err
    ended = json.loads(override("end-session", "thread-9", "--json").out)
    assert (len(ended["ended"]), ended["ended_by"]) == (1, "owner")


@pytest.mark.parametrize("verb", ["approve", "deny"])
def test_an_override_is_not_answered_like_a_task(
    override: Call, call: Call, state_dir: Path, verb: str
) -> None:
    override_id = asked(override)["override_id"]
    refused = call(verb, override_id, *AGREED, "--state-dir", state_dir)
    assert refused.code == ExitCode.BAD_INPUT
    assert "`pointwork override acknowledge`" in refused.error_lines[0]


@pytest.mark.req("OM-74")
def test_the_list_tells_all_eight_facts_of_every_task_it_moved(
    override: Call, ledger: Engine
) -> None:
    until = in_days(1)
    bounds = ("--scope", "period", "--duration", "indefinite", "--until", until)
    override_id = asked(override, *bounds)["override_id"]
    override("acknowledge", override_id, *AGREED)
    now = datetime.now(UTC)
    hold(BudgetBook(ledger), overridden("t-1", override_id), now)
    OutcomeLog(ledger).log(outcome("t-1"), None, now)
    (listed,) = json.loads(override("list", "--json").out)
    (use,) = listed["uses"]
    facts = ("approver", "reason", "scope", "duration", "cost_impact_nano_usd")
    assert {name: use[name] for name in facts} == {name: listed[name] for name in facts}
    routes = (use["original_route"], use["overridden_route"], use["outcome"])
    assert routes == ("small-local", "dear-cloud", "success")
    assert None not in use.values()
    shown = override("list").out
    for word in ("t-1", "small-local", "dear-cloud", "success", "owner", "billing"):
        assert word in shown


def test_a_ledger_without_overrides_says_so(override: Call) -> None:
    assert "No override was ever asked for." in override("list").err
    assert json.loads(override("list", "--json").out) == []
    missing = override("acknowledge", "override-9", *AGREED)
    assert "no override has the id 'override-9'" in missing.error_lines[0]
