"""The rules of a pack that ranks by lanes: floors, lanes and the stages of a chain."""

from collections.abc import Iterator

from pointwork.contract.decision import Trigger
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.task import Lane
from pointwork.policy.documents.conditions import met
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.routes import LaneRule
from pointwork.policy.proving.rule_evidence import Evidence, Rule, Test
from pointwork.policy.reading.route_words import condition_words


def lane_rules(pack: Pack) -> Iterator[Rule]:
    for number, floor in enumerate(pack.lane_floors):
        when = condition_words(floor.when)
        words = f"While {when} no lane below {floor.lane} serves."
        yield Rule(f"floor:{number}", words, _holds_floor(number))
    for lane, rule in pack.lanes.items():
        yield from _lane(lane, rule)
    for tool in pack.guarded_tools:
        words = f"The tool {tool} needs the guardrail authority's word, not only its silence."
        yield Rule(f"guarded:{tool}", words, _unheard(tool))
    for name, stage in pack.stages.items():
        words = f"The stage {name} begins at {stage.lane} and goes up to {stage.lane_max}."
        yield Rule(f"stage:{name}", words, _bounds(name))
        if stage.after_planning:
            words = f"The stage {name} comes down to its own lane after planning."
            yield Rule(f"de_escalation:{name}", words, _comes_down(name))


def _holds_floor(number: int) -> Test:
    def decided(seen: Evidence) -> bool:
        floor = seen.bundle.pack.lane_floors[number]
        if not seen.is_open or seen.facts is None or met(floor.when, seen.facts) is None:
            return False
        return seen.bars(ReasonCode(floor.reason))

    return decided


def _lane(lane: Lane, rule: LaneRule) -> Iterator[Rule]:
    called = rule.called
    if rule.context_tokens_max is not None:
        words = f"The lane {called} takes at most {rule.context_tokens_max} tokens."
        yield Rule(f"lane:{lane}/context", words, _refused(lane, ReasonCode.LANE_CONTEXT))
    tools = ", ".join(rule.tools) or "no tool"
    words = f"The lane {called} gives a right to {tools}."
    yield Rule(f"lane:{lane}/tools", words, _refused(lane, ReasonCode.LANE_TOOLS))
    if rule.guard.needs_reason or rule.guard.needs_receipt:
        words = f"The lane {called} needs a reason and a receipt for it."
        yield Rule(f"lane:{lane}/guard", words, _refused(lane, ReasonCode.LANE_GUARD))
    if rule.guard.needs_known_quota:
        words = f"The lane {called} needs to know the vendor's quota."
        yield Rule(f"lane:{lane}/quota", words, _refused(lane, ReasonCode.QUOTA_UNKNOWN))
    if rule.opens_when is not None:
        words = f"The lane {called} opens while {condition_words(rule.opens_when)}."
        yield Rule(f"lane:{lane}/opens", words, _opens(lane))
    if rule.latency_ms_max is not None:
        words = f"The lane {called} takes at most {rule.latency_ms_max} ms."
        yield Rule(f"lane:{lane}/latency", words, _refused(lane, ReasonCode.LATENCY))


def _unheard(tool: str) -> Test:
    def decided(seen: Evidence) -> bool:
        asked = tool in seen.given.request.tools and seen.given.snapshot.guardrail is None
        return asked and seen.bars(ReasonCode.LANE_TOOLS)

    return decided


def _refused(lane: Lane, code: ReasonCode) -> Test:
    return lambda seen: seen.bars(code, lane=lane)


def _opens(lane: Lane) -> Test:
    """Whether the lane is open because its condition holds, and the task's models are in it."""

    def decided(seen: Evidence) -> bool:
        rule = seen.bundle.pack.lanes[lane]
        if not seen.is_open or seen.facts is None or rule.opens_when is None:
            return False
        return met(rule.opens_when, seen.facts) is not None and any(
            candidate.lane is lane for candidate in seen.plan.candidates
        )

    return decided


def _bounds(stage: str) -> Test:
    def decided(seen: Evidence) -> bool:
        named = seen.given.request.stage == stage and seen.is_open
        return named and seen.changes(request={"stage": None})

    return decided


def _comes_down(stage: str) -> Test:
    return lambda seen: seen.given.request.stage == stage and seen.trigger == Trigger.DE_ESCALATED
