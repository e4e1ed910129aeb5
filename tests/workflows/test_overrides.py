"""Overrides over whole tasks: what moves one, what does not, and what is left on the record."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from pointwork.contract.approval import ApprovalVerdict
from pointwork.contract.decision import Trigger
from pointwork.contract.outcome import TaskOutcome, TaskStatus
from pointwork.contract.override import OverrideDuration, OverrideScope
from pointwork.contract.override_request import OverrideRequest, OverrideState
from pointwork.contract.prompt import Prompt
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Constraints, TaskDeclaration
from pointwork.ledger.budgets import BudgetBook
from pointwork.ledger.overrides import OverrideBook, OverrideEntry
from pointwork.overriding import Wanted, acknowledge, estimate
from pointwork.verdicts import VerdictRefusedError
from tests.workflows.stack import LENIENT_PACK, OWNER, SIDE_BY_SIDE_PACK, STRICT_PACK, Stack
from tests.workflows.test_hard_stop import LIMIT, spend

LOCAL, CLOUD = "smollm2-135m", "grok-4.5"
REASON = "The local model repeats itself in every tenth row of this set."
SHORT = Constraints(max_output_tokens=128)
LOCAL_COSTS_LESS = 100_000
"""What is left in nano-USD: above the local model's worst case, below the cloud model's."""


def asked(stack: Stack, name: str, pack: str = "omega", **changed: Any) -> OverrideRequest:
    """Bulk work of one conversation to a cloud model until revoked, with its estimated cost."""
    now, bundle = datetime.now(UTC), stack.parts.library.active(pack)
    wanted = Wanted(
        model=CLOUD,
        scope=OverrideScope.SESSION,
        duration=OverrideDuration.INDEFINITE,
        conversation=name,
        ends_at=None,
    )
    impact = estimate(stack.parts.engine, bundle, wanted, now)
    values: dict[str, Any] = {
        "override_id": f"override-{name}",
        "pack": pack,
        "model": CLOUD,
        "scope": wanted.scope,
        "conversation": name,
        "starts_at": now,
        "duration": wanted.duration,
        "reason": REASON,
        "requester": "test-service",
        "cost_impact_nano_usd": impact.nano_usd,
        "cost_basis": impact.basis,
        "policy_sha256": bundle.sha256,
    }
    request = OverrideRequest(**(values | changed))
    OverrideBook(stack.parts.engine).ask(request, now + timedelta(hours=1), now)
    return request


def acknowledged(stack: Stack, request: OverrideRequest) -> OverrideRequest:
    """The owner acknowledges the cost of what was asked."""
    engine, now = stack.parts.engine, datetime.now(UTC)
    shown = OverrideBook(engine).approval(request.override_id, now)
    signed = stack.signed(shown, ApprovalVerdict.APPROVED)
    acknowledge(engine, signed, stack.parts.library.active(request.pack), datetime.now(UTC))
    return request


def bulk(stack: Stack, conversation: str, **declared: Any) -> TaskDeclaration:
    values: dict[str, Any] = {
        "task_class": "bulk_generation",
        "marks": ("bulk",),
        "conversation": conversation,
        "constraints": SHORT,
    }
    return stack.declare(**(values | declared))


def entry(stack: Stack, request: OverrideRequest) -> OverrideEntry:
    return OverrideBook(stack.parts.engine).find(request.override_id, datetime.now(UTC))


def overrides_of(stack: Stack, outcome: TaskOutcome) -> list[str]:
    return [each.plan.override_id for each in stack.outcomes.decisions(outcome.task_id)]


@pytest.mark.req("OM-67", "OM-73")
@pytest.mark.parametrize(
    "missing", ["approval", "justification", "cost impact", "acknowledgement", "nothing"]
)
async def test_bulk_work_leaves_the_house_only_approved_justified_estimated_and_acknowledged(
    stack: Stack, missing: str
) -> None:
    name = f"bulk-{missing.replace(' ', '-')}"
    match missing:
        case "approval":
            request = asked(stack, name, requester=OWNER)
            with pytest.raises(VerdictRefusedError, match="ask another person"):
                acknowledged(stack, request)
        case "justification":
            with pytest.raises(ValidationError, match="names convenience"):
                asked(stack, name, reason="just because it is faster")
        case "cost impact":
            with pytest.raises(ValidationError, match="cost_impact_nano_usd"):
                asked(stack, name, cost_impact_nano_usd=None)
        case "acknowledgement":
            request = asked(stack, name)
            assert entry(stack, request).state is OverrideState.PENDING
        case _:
            request = acknowledged(stack, asked(stack, name))
    outcome = await stack.run(bulk(stack, name))

    assert outcome.status is TaskStatus.SUCCEEDED
    if missing != "nothing":
        assert outcome.served_model == LOCAL
        assert overrides_of(stack, outcome) == [""]
        return
    assert outcome.served_model == CLOUD
    assert overrides_of(stack, outcome) == [request.override_id]
    assert outcome.moves[0].move.trigger == Trigger.OVERRIDE
    assert [each.task_id for each in entry(stack, request).uses] == [outcome.task_id]


@pytest.mark.req("OM-68", "OM-74")
async def test_after_the_task_its_use_says_who_why_for_whom_how_long_from_where_to_where_and_how(
    stack: Stack,
) -> None:
    request = acknowledged(stack, asked(stack, "eight-facts"))
    outcome = await stack.run(bulk(stack, "eight-facts"))
    found = entry(stack, request)
    (use,) = found.uses
    assert (found.approver, found.asked.reason) == (OWNER, REASON)
    assert (found.asked.scope, found.asked.duration) == ("session", "indefinite")
    assert found.asked.cost_impact_nano_usd > 0
    assert (use.task_id, use.outcome) == (outcome.task_id, "success")
    assert (use.original_route, use.overridden_route) == (LOCAL, CLOUD)
    (decided,) = stack.outcomes.decisions(outcome.task_id)
    assert (decided.plan.default_route, decided.plan.justification) == (LOCAL, REASON)
    assert decided.input.snapshot.overrides[0].acknowledged_at == found.acknowledged_at


@pytest.mark.req("OM-72")
async def test_a_single_use_serves_one_task_and_the_second_is_back_on_default(
    stack: Stack,
) -> None:
    request = acknowledged(stack, asked(stack, "once", duration=OverrideDuration.SINGLE_USE))
    outcomes = [await stack.run(bulk(stack, "once")) for _ in range(2)]
    assert [each.served_model for each in outcomes] == [CLOUD, LOCAL]
    found = entry(stack, request)
    assert [each.task_id for each in found.uses] == [outcomes[0].task_id]
    assert found.state is OverrideState.ENDED


@pytest.mark.req("OM-72")
async def test_of_tasks_that_begin_at_once_one_has_the_single_use(stack: Stack) -> None:
    request = acknowledged(stack, asked(stack, "at-once", duration=OverrideDuration.SINGLE_USE))
    outcomes = await asyncio.gather(*(stack.run(bulk(stack, "at-once")) for _ in range(6)))
    assert sorted(each.served_model or "" for each in outcomes) == [CLOUD] + [LOCAL] * 5
    (use,) = entry(stack, request).uses
    (moved,) = [each for each in outcomes if each.served_model == CLOUD]
    assert use.task_id == moved.task_id


@pytest.mark.req("OM-72")
async def test_a_task_that_waited_while_another_used_it_up_is_planned_anew_without_it(
    stack: Stack,
) -> None:
    spend(stack, STRICT_PACK, "waits", LIMIT)
    single: dict[str, Any] = {"duration": OverrideDuration.SINGLE_USE}
    request = acknowledged(stack, asked(stack, "waited", STRICT_PACK, **single))
    late = bulk(stack, "waited", pack=STRICT_PACK, caller="waits")
    await stack.client.submit(Prompt.from_text("Fill in the rows."), late)
    held = await stack.open_approval(late.task_id)

    early = await stack.run(bulk(stack, "waited", pack=STRICT_PACK, caller="is-faster"))
    assert early.served_model == CLOUD
    await stack.client.submit_verdict(stack.signed(held, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(late.task_id)
    assert (outcome.status, outcome.served_model) == (TaskStatus.SUCCEEDED, LOCAL)
    assert overrides_of(stack, outcome)[-2:] == [request.override_id, ""]
    assert outcome.fallbacks[-1].cause == f"override over: {request.override_id}"
    assert [each.task_id for each in entry(stack, request).uses] == [early.task_id]


@pytest.mark.req("OM-72")
async def test_models_side_by_side_are_chosen_anew_where_another_task_used_it_up(
    stack: Stack,
) -> None:
    single = OverrideDuration.SINGLE_USE
    request = acknowledged(stack, asked(stack, "beside", SIDE_BY_SIDE_PACK, duration=single))
    logic = {"task_class": "high_stakes_logic", "marks": (), "pack": SIDE_BY_SIDE_PACK}
    late = bulk(stack, "beside", **logic, sensitivity=None)
    await stack.client.submit(Prompt.from_text("Decide this."), late)
    held = await stack.open_approval(late.task_id)

    early = await stack.run(bulk(stack, "beside", **logic))
    assert early.branches[0].model == CLOUD
    await stack.client.submit_verdict(stack.signed(held, ApprovalVerdict.APPROVED))
    outcome = await stack.recorded(late.task_id)
    assert outcome.status is TaskStatus.SUCCEEDED
    assert overrides_of(stack, outcome)[-2:] == [request.override_id, ""]
    assert outcome.branches[0].model != CLOUD
    assert [each.task_id for each in entry(stack, request).uses] == [early.task_id]


@pytest.mark.req("OM-70", "OM-71")
async def test_only_its_own_session_is_moved_and_only_until_the_session_ends(
    stack: Stack,
) -> None:
    acknowledged(stack, asked(stack, "mine", duration=OverrideDuration.SESSION))
    theirs = await stack.run(bulk(stack, "theirs"))
    mine = await stack.run(bulk(stack, "mine"))
    OverrideBook(stack.parts.engine).end_session("mine", OWNER, datetime.now(UTC))
    after = await stack.run(bulk(stack, "mine"))
    served = [each.served_model for each in (theirs, mine, after)]
    assert served == [LOCAL, CLOUD, LOCAL]


@pytest.mark.req("OM-72")
@pytest.mark.parametrize("ends_in", [timedelta(hours=1), timedelta(hours=-1)])
async def test_past_its_end_the_default_route_is_back_by_itself(
    stack: Stack, ends_in: timedelta
) -> None:
    now, name = datetime.now(UTC), f"timed-{int(ends_in.total_seconds())}"
    times: dict[str, Any] = {
        "duration": OverrideDuration.TIME_LIMITED,
        "starts_at": now - timedelta(hours=2),
        "ends_at": now + ends_in,
    }
    request = acknowledged(stack, asked(stack, name, **times))
    outcome = await stack.run(bulk(stack, name))
    is_over = ends_in < timedelta(0)
    assert outcome.served_model == (LOCAL if is_over else CLOUD)
    expected = OverrideState.ENDED if is_over else OverrideState.ACTIVE
    assert entry(stack, request).state is expected


async def test_an_indefinite_one_holds_until_it_is_revoked(stack: Stack) -> None:
    request = acknowledged(stack, asked(stack, "lasting"))
    before = [await stack.run(bulk(stack, "lasting")) for _ in range(2)]
    book = OverrideBook(stack.parts.engine)
    book.revoke(request.override_id, OWNER, "the model was retrained", datetime.now(UTC))
    after = await stack.run(bulk(stack, "lasting"))
    assert [each.served_model for each in (*before, after)] == [CLOUD, CLOUD, LOCAL]


async def test_one_for_a_task_moves_that_task_and_no_other(stack: Stack) -> None:
    chosen, other = bulk(stack, "single"), bulk(stack, "single")
    of_task: dict[str, Any] = {
        "scope": OverrideScope.TASK,
        "task_id": chosen.task_id,
        "conversation": None,
    }
    request = acknowledged(stack, asked(stack, "single", **of_task))
    served = [(await stack.run(each)).served_model for each in (other, chosen)]
    assert served == [LOCAL, CLOUD]
    assert entry(stack, request).state is OverrideState.ENDED


async def test_a_ceiling_binds_the_overrides_model_as_ever(stack: Stack) -> None:
    request = acknowledged(stack, asked(stack, "ceiling"))
    dear = Constraints(max_output_tokens=64_000)
    outcome = await stack.run(bulk(stack, "ceiling", constraints=dear))
    assert outcome.served_model == LOCAL
    (decided,) = stack.outcomes.decisions(outcome.task_id)
    refused = {each.model: each.reason for each in decided.plan.rejected}
    assert refused[CLOUD] is ReasonCode.CEILING
    assert entry(stack, request).uses == ()


async def test_a_spent_budget_binds_the_overrides_model_as_ever(stack: Stack) -> None:
    spend(stack, LENIENT_PACK, "spent", LIMIT - LOCAL_COSTS_LESS)
    acknowledged(stack, asked(stack, "budget", LENIENT_PACK))
    outcome = await stack.run(bulk(stack, "budget", pack=LENIENT_PACK, caller="spent"))
    assert outcome.served_model == LOCAL
    (decided,) = stack.outcomes.decisions(outcome.task_id)
    refused = {each.model: each.reason for each in decided.plan.rejected}
    assert refused[CLOUD] is ReasonCode.BUDGET


async def test_windows_are_charged_what_the_overridden_call_cost_and_keep_their_limits(
    stack: Stack,
) -> None:
    acknowledged(stack, asked(stack, "charged", LENIENT_PACK))
    outcome = await stack.run(bulk(stack, "charged", pack=LENIENT_PACK, caller="pays"))
    (decided,) = stack.outcomes.decisions(outcome.task_id)
    windows = {each.key: each.limit_nano_usd for each in decided.plan.windows}
    stand = BudgetBook(stack.parts.engine).read(windows)
    assert outcome.cost_nano_usd > 0
    assert stand == {key: (limit, outcome.cost_nano_usd) for key, limit in windows.items()}
