"""A plan in words: the same before a call, after it, on a terminal and in a browser."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pointwork.contract.decision import Effect, Move, Plan, Rejection
from pointwork.contract.money import format_usd
from pointwork.policy.reading.figures import listed

if TYPE_CHECKING:
    from pointwork.contract.decision import DecisionInput
    from pointwork.policy.bundle import PolicyBundle


def effect_words(plan: Plan) -> str:
    """What the plan does, and the sentence of the rule where it does not run."""
    why = f": {plan.reason.sentence}" if plan.reason else ""
    waits = f" Waits for a person: {plan.hold_for}." if plan.effect is Effect.HOLD else ""
    return f"{plan.effect}{why}{waits}"


def because(rejection: Rejection) -> str:
    """The sentence of the rule that refused a model, with the figures it compared."""
    sentence = rejection.reason.sentence
    return f"{sentence[:-1]}: {rejection.detail}." if rejection.detail else sentence


def moves_of(
    plan: Plan, given: "DecisionInput", bundle: "PolicyBundle | None"
) -> Iterator[tuple[str, str]]:
    """Each move once, with the models it leads to, and the pack's own rule where one made it."""
    moves: dict[str, list[str]] = {}
    for each in plan.candidates:
        if each.move is not None:
            moves.setdefault(move_words(each.move), []).append(each.model)
    for words, models in moves.items():
        yield "move", f"{words}: {listed(models)}"
    yield from ((f"rule {name}", words) for name, words in _rules(plan, bundle))
    if plan.adviser is not None:
        adviser = plan.adviser
        words = f"{adviser.model} ({adviser.vendor}) gives a second opinion, which binds nobody"
        yield "adviser", words
    yield from _voices(plan)
    for override in given.snapshot.overrides:
        if override.override_id == plan.override_id:
            words = f"{override.override_id} by {override.approver}: {override.reason}"
            yield "override", words
            yield "without it", plan.default_route


def _voices(plan: Plan) -> Iterator[tuple[str, str]]:
    """Who else looks at the answer, and what hangs on it."""
    if plan.critic is not None:
        words = "remarks on the answer, which stands as it is"
        yield "critic", f"{plan.critic.model} ({plan.critic.vendor}) {words}"
    if plan.on_judged_fail:
        ends = "a person decides" if plan.on_judged_fail == "hold" else "the task ends without it"
        judge = f"{plan.judge.model} ({plan.judge.vendor})" if plan.judge else "nobody permitted"
        yield "judge", f"{judge}; an answer that it does not pass: {ends}"
    if plan.self_critique:
        yield "self-critique", "the model drafts, questions its draft and answers: three calls"


def move_words(move: Move) -> str:
    """``escalation up, cheaper_failed, from a (low) to high, attempt 2 (files=3 above 2)``."""
    left = f"{move.from_model} ({move.from_lane})" if move.from_model else f"lane {move.from_lane}"
    evidence = f" ({listed(move.evidence)})" if move.evidence else ""
    kind = move.kind.replace("_", "-")
    return (
        f"{kind} {move.direction}, {move.trigger}, from {left} to lane {move.to_lane}, "
        f"attempt {move.attempt}{evidence}"
    )


def _rules(plan: Plan, bundle: "PolicyBundle | None") -> Iterator[tuple[str, str]]:
    """The pack's own route rules that the candidates' triggers name."""
    from pointwork.policy.reading.route_words import rule_words

    row = bundle.pack.classes.get(plan.task_class or "") if bundle else None
    used = {each.trigger for each in plan.candidates}
    for rule in row.routes if row else ():
        if rule.trigger in used:
            yield rule.trigger, rule_words(rule)


def arithmetic(plan: Plan, given: "DecisionInput") -> Iterator[tuple[str, str]]:
    """The first candidate's estimate as a sum a person can check."""
    first, tokens = plan.candidates[0], given.classification.input_tokens_max
    input_price = max(
        max(t.input_per_mtok, t.cached_input_per_mtok, t.cache_write_per_mtok) for t in first.prices
    )
    output_price = max(tier.output_per_mtok for tier in first.prices)
    yield "estimate", f"{first.model}, if every token it may use is used"
    yield "input", f"{tokens} tokens at {format_usd(input_price)} a million"
    yield "output", f"{first.max_output_tokens} tokens at {format_usd(output_price)} a million"
    yield "sum", f"{format_usd(first.estimate_nano_usd)}, prices: {first.price_version}"
    if first.likely_nano_usd is not None:
        yield (
            "likely",
            f"{format_usd(first.likely_nano_usd)}, for work of {plan.complexity} complexity",
        )
    if first.substitution:
        yield "stands in", first.substitution
    yield "ceiling", f"{format_usd(plan.task_ceiling_nano_usd)} for all calls of the task together"
    for each in plan.windows:
        yield "budget", f"{format_usd(each.limit_nano_usd)} a {each.period} for {each.scope}"


def plan_facts(plan: Plan, given: "DecisionInput") -> Iterator[tuple[str, str]]:
    """What else the plan says: how it ranks, what it obliges, and what stood beside it."""
    for name, words in (
        ("ranked by", plan.factor.replace("_", " ")),
        ("complexity", plan.complexity or ""),
        ("contract", plan.contract or ""),
        ("stage", given.request.stage or ""),
        ("obliges", listed((each.replace("_", " ") for each in plan.obligations), empty="")),
        ("purpose", plan.justification),
        ("batch", plan.batch_key),
        ("cache", f"{plan.cache_ttl_seconds} s" if plan.cache_ttl_seconds else ""),
        ("side by side", _branch_words(plan)),
    ):
        if words:
            yield name, words
    overlay = given.snapshot.overlay
    if overlay is not None:
        yield "overlay", f"version {overlay.version}: {overlay.reason}"


def _branch_words(plan: Plan) -> str:
    """How many models answer at once, and what that lacks (OM-53)."""
    lacks = plan.parallel_shortfall
    if plan.branches == 1 and lacks is None:
        return ""
    models = listed(each.model for each in plan.candidates[: plan.branches])
    return f"{models}; {lacks}" if lacks else models
