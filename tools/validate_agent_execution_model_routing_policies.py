"""Checks routing policies: python3 tools/validate_agent_execution_model_routing_policies.py

Beyond the schema: classes, stages and reasons are named once, classes and the step down name stages
that exist, and no default lies above a maximum (SP-13 to SP-18, SP-22 to SP-24, SP-38).
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.contract_check import Contract, Problem, duplicates, main, shown
else:  # python3 puts a script's own folder on its path, and not the repository's root
    from contract_check import Contract, Problem, duplicates, main, shown

Stages = dict[str, dict[str, Any]]


def cross_check(document: dict[str, Any]) -> Iterator[Problem]:
    cost = {lane["name"]: rank for rank, lane in enumerate(document["lanes"])}
    stages = {each["name"]: each for each in document["chain_stages"]}
    yield from duplicates("task_classes", document["task_classes"], "name")
    yield from duplicates("chain_stages", document["chain_stages"], "name")
    for problem in duplicates("reasons", document["escalation"]["reasons"], "name"):
        yield Problem(("escalation", *problem.at), problem.what, problem.remedy)
    for index, stage in enumerate(document["chain_stages"]):
        if cost[stage["default_lane"]] > cost[stage["maximum_lane"]]:
            yield _too_dear(("chain_stages", index), stage["default_lane"], stage)
    for index, task_class in enumerate(document["task_classes"]):
        at = ("task_classes", index)
        for place, name in enumerate(task_class["chain_stages"]):
            if name not in stages:
                yield _no_stage((*at, "chain_stages", place), name)
            elif cost[task_class["default_lane"]] > cost[stages[name]["maximum_lane"]]:
                yield _too_dear(at, task_class["default_lane"], stages[name])
    yield from _de_escalation(document["de_escalation"], stages, cost)


def _de_escalation(rule: dict[str, Any], stages: Stages, cost: dict[str, int]) -> Iterator[Problem]:
    if rule["after_stage"] not in stages:
        yield _no_stage(("de_escalation", "after_stage"), rule["after_stage"])
    for place, name in enumerate(rule["applies_to"]):
        at = ("de_escalation", "applies_to", place)
        if name not in stages:
            yield _no_stage(at, name)
        elif cost[stages[name]["maximum_lane"]] > cost[rule["maximum_lane"]]:
            yield Problem(
                at,
                f"is {shown(name)}, whose maximum_lane {stages[name]['maximum_lane']} is dearer "
                f"than {rule['maximum_lane']}",
                "lower that stage's maximum_lane, or leave the stage out",
            )


def _too_dear(at: tuple[str | int, ...], lane: str, stage: dict[str, Any]) -> Problem:
    return Problem(
        (*at, "default_lane"),
        f"is {shown(lane)}, dearer than {stage['maximum_lane']}, the maximum_lane of stage "
        f"{stage['name']}",
        f"write {stage['maximum_lane']} or a cheaper lane",
    )


def _no_stage(at: tuple[str | int, ...], name: str) -> Problem:
    return Problem(
        at,
        f"is {shown(name)}, which is no stage of $.chain_stages",
        "name one of them, or add the stage",
    )


CONTRACT = Contract(
    name="agent-execution-model-routing-policy",
    example="agent-execution-model-routing-policy.default.json",
    cross_check=cross_check,
)

if __name__ == "__main__":
    sys.exit(main(CONTRACT))
