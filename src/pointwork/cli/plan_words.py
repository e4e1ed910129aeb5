"""A plan for a person: the same words in ``decide``, before a call, and in ``explain``, after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from pointwork.cli.screen import Screen, facts, table, usd
from pointwork.contract.decision import Candidate, Plan
from pointwork.policy.reading.plan_words import arithmetic, because, moves_of

if TYPE_CHECKING:
    from pointwork.contract.decision import DecisionInput
    from pointwork.policy.bundle import PolicyBundle


def show_models(
    screen: Screen, plan: Plan, given: "DecisionInput", bundle: "PolicyBundle | None"
) -> None:
    """Who may answer, why there and at what most; then who may not, each with its rule."""
    if plan.candidates:
        screen.show(_candidates(plan.candidates))
        screen.line()
        pairs = [*moves_of(plan, given, bundle), *arithmetic(plan, given)]
        screen.show(facts(pairs))
        screen.line()
    if plan.rejected:
        rows = table("REFUSED", "RULE", "WHY", shrink=["WHY"])
        for each in plan.rejected:
            rows.add_row(each.model, each.reason.value, because(each))
        screen.show(rows)
        screen.line()


def _candidates(candidates: Sequence[Candidate]) -> Table:
    figures = ["ESTIMATE", "CEILING"]
    rows = table("PERMITTED", "LANE", "SITE", "WHY THERE", *figures, right=figures)
    for each in candidates:
        site, trigger = each.site.replace("_", " "), each.trigger.replace("_", " ")
        estimate, ceiling = usd(each.estimate_nano_usd), usd(each.ceiling_nano_usd)
        rows.add_row(each.model, each.lane, site, trigger, estimate, ceiling)
    return rows
