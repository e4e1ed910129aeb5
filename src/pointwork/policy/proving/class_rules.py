"""The rules that each class (or role) of a pack states in its own row."""

from collections.abc import Iterator

from pointwork.contract.decision import GrantKind, Obligation, Trigger
from pointwork.contract.money import format_usd
from pointwork.contract.reasons import ReasonCode
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.routes import RouteRule, TaskClass
from pointwork.policy.proving.rule_evidence import Evidence, Rule, Test
from pointwork.policy.reading.route_words import condition_words, rule_words, rung_words

_BEGINS = frozenset({Trigger.DEFAULT, Trigger.REQUESTED})
_MONEY = frozenset({Trigger.CEILING_NEAR, Trigger.CEILING_OVER, Trigger.BUDGET_LOW})
_FLOORED = frozenset({"cheapest_sufficient", "cheapest_safe_lane"})
"""The orderings that hold a class's models to its quality."""


def class_rules(pack: Pack) -> Iterator[Rule]:
    for name, row in pack.classes.items():
        yield from _rungs(name, row)
        for route in row.routes:
            words = f"The route of {name} {rule_words(route)}."
            test = _where(name, _route_holds(route))
            yield Rule(f"route:{name}/{route.trigger}", words, test)
        yield from _models(pack, name, row)
        yield from _money(pack, name, row)
        yield from _calls(name, row)
        yield from _answers(name, row)


def _where(name: str, test: Test) -> Test:
    """``test`` of a task that the row of ``name`` decides."""
    return lambda seen: seen.serves(name) and test(seen)


def _route_holds(rule: RouteRule) -> Test:
    return lambda seen: seen.route_rule is rule


def _rung_serves(number: int) -> Test:
    return lambda seen: seen.rung == number and seen.trigger not in _MONEY


def _rungs(name: str, row: TaskClass) -> Iterator[Rule]:
    first = _where(name, lambda seen: seen.rung == 0 and seen.trigger in _BEGINS)
    yield Rule(f"class:{name}", f"{name} goes to {rung_words(row.rungs[0])}.", first)
    for number, rung in enumerate(row.rungs[1:], start=1):
        words = f"{name} goes on to {rung_words(rung)} where those before cannot serve."
        yield Rule(f"rung:{name}/{number}", words, _where(name, _rung_serves(number)))


def _models(pack: Pack, name: str, row: TaskClass) -> Iterator[Rule]:
    """What a model must be to serve the class."""
    local = ReasonCode.LOCAL_NOT_ALLOWED
    if row.cloud_only:
        test = _where(name, lambda seen: seen.bars_any(local))
        yield Rule(f"cloud_only:{name}", f"No local model ever serves {name}.", test)
    if row.cloud_if_high_risk:
        test = _where(name, lambda seen: seen.bars_any(local))
        words = f"No local model serves {name} where the work is High-Risk."
        yield Rule(f"cloud_if_high_risk:{name}", words, test)
    if row.quality_floor > 1 and pack.rank in _FLOORED:
        words = f"{name} takes no model of a quality below {row.quality_floor} of 3."
        yield Rule(f"quality:{name}", words, _where(name, _below(row.quality_floor)))
    if row.eval_confidence_min is not None:
        words = f"{name} takes models that passed {row.eval_confidence_min} of its evaluations."
        test = _where(name, lambda seen: seen.rejects(ReasonCode.QUALITY_FLOOR, begins="passed "))
        yield Rule(f"eval:{name}", words, test)
    if row.needs:
        words = f"{name} takes only models that offer {', '.join(row.needs)}."
        test = _where(name, lambda seen: seen.bars(ReasonCode.CAPABILITY))
        yield Rule(f"needs:{name}", words, test)
    if row.quality_failures_max > 1:
        words = f"A model of {name} is left after {row.quality_failures_max} refused answers."
        yield Rule(f"tries:{name}", words, _where(name, _used_up))
    if row.simpler_class:
        words = f"{name} goes as {row.simpler_class} where it is simpler than expected."
        yield Rule(f"simpler:{name}", words, lambda seen: seen.is_simpler_than(name))


def _below(floor: int) -> Test:
    """Whether some model's own grade is refused, and not its evaluations or its lane."""
    grades = tuple(f"{prefix}{grade} of {floor}" for prefix in ("", "grade ") for grade in (1, 2))
    return lambda seen: any(
        seen.rejects(ReasonCode.QUALITY_FLOOR, begins=grade) for grade in grades
    )


def _used_up(seen: Evidence) -> bool:
    """Whether some model was refused as often as the row allows, and so is left for good."""
    if seen.facts is None:
        return False
    refused = [each.model for each in seen.given.failed if each.kind is None]
    limit = seen.facts.row.quality_failures_max
    left = seen.facts.left_models
    return any(refused.count(model) >= limit and model in left for model in refused)


def _money(pack: Pack, name: str, row: TaskClass) -> Iterator[Rule]:
    cells = {family: usd for family, usd in pack.ceilings.get(name, {}).items()}
    said = [f"{format_usd(usd)} on {family}" for family, usd in cells.items()]
    said += [format_usd(row.ceiling)] if row.ceiling is not None else []
    words = f"A call of {name} costs at most {', '.join(said)}."
    test = _where(name, lambda seen: seen.bars_alone(ReasonCode.CEILING))
    yield Rule(f"ceiling:{name}", words, test)
    if row.budget_gated:
        words = f"{name} waits for its owner where the budget is exhausted."
        test = _where(name, lambda seen: seen.plan.hold_for is GrantKind.BUDGET)
        yield Rule(f"budget_gated:{name}", words, test)


def _calls(name: str, row: TaskClass) -> Iterator[Rule]:
    """Bounds of one call and of the session it belongs to."""
    cap = row.max_output_tokens
    if cap is not None:
        words = f"An answer of {name} has at most {cap} tokens."
        yield Rule(f"output_cap:{name}", words, _where(name, _is_capped))
    if row.session is not None:
        turns, minutes = row.session.turns_max, row.session.minutes_max
        words = f"A session of {name} has at most {turns} turns and {minutes} minutes."
        yield Rule(f"session:{name}", words, _ended(name, ReasonCode.SESSION_OVER))
    if row.in_session:
        words = f"A call of {name} names the session it belongs to."
        yield Rule(f"in_session:{name}", words, _ended(name, ReasonCode.SESSION_MISSING))
    if row.parallel is not None:
        words = f"{name} is answered by {row.parallel} vendors side by side."
        yield Rule(f"parallel:{name}", words, _where(name, lambda seen: seen.plan.branches > 1))


def _is_capped(seen: Evidence) -> bool:
    """Whether the row allows fewer output tokens than the caller asked for."""
    if seen.facts is None or not seen.runs:
        return False
    return seen.facts.output_tokens_asked < seen.given.request.constraints.max_output_tokens


def _ended(name: str, code: ReasonCode) -> Test:
    return lambda seen: seen.plan.task_class == name and seen.closed_by(code)


def _answers(name: str, row: TaskClass) -> Iterator[Rule]:
    """What becomes of the answer."""
    if row.contract is not None:
        words = f"An answer of {name} satisfies the contract {row.contract}."
        yield Rule(f"contract:{name}", words, _owed(name, Obligation.VERIFY_CONTRACT))
    if row.review_when is not None:
        when = condition_words(row.review_when)
        words = f"A local answer of {name} is reviewed in the cloud while {when}."
        yield Rule(f"review:{name}", words, _owed(name, Obligation.CLOUD_REVIEW))
    if row.second_opinion is not None:
        when = condition_words(row.second_opinion)
        words = f"{name} gets a second opinion while {when}."
        yield Rule(f"second_opinion:{name}", words, _owed(name, Obligation.SECOND_OPINION))


def _owed(name: str, obligation: Obligation) -> Test:
    return _where(name, lambda seen: seen.owes(obligation))
