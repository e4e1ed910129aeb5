"""Checks optimisers: python3 tools/validate_agent_execution_budget_resource_optimizers.py

Beyond the schema: each signal is required once, each class and each profile has one entry, and the
3B profile asks for no less memory than the 1B (SP-26 to SP-29, SP-32, SP-41).
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.contract_check import Contract, Problem, duplicates, main
else:  # python3 puts a script's own folder on its path, and not the repository's root
    from contract_check import Contract, Problem, duplicates, main

SMALL = "urn:srcos:model-profile:local-llama32-1b"
BETTER = "urn:srcos:model-profile:local-llama32-3b"


def cross_check(document: dict[str, Any]) -> Iterator[Problem]:
    yield from duplicates("required_signals", document["required_signals"], "name")
    yield from duplicates("quality_floors", document["quality_floors"], "task_class")
    yield from duplicates("local_profiles", document["local_profiles"], "profile")
    memory = {each["profile"]: each["free_memory_mb_min"] for each in document["local_profiles"]}
    for index, each in enumerate(document["local_profiles"]):
        if each["profile"] == BETTER and memory[BETTER] < memory[SMALL]:
            yield Problem(
                ("local_profiles", index, "free_memory_mb_min"),
                f"is {memory[BETTER]}, less than the {memory[SMALL]} of {SMALL}",
                "the larger profile needs at least as much; raise it",
            )


CONTRACT = Contract(
    name="agent-execution-budget-resource-optimizer",
    example="agent-execution-budget-resource-optimizer.default.json",
    cross_check=cross_check,
)

if __name__ == "__main__":
    sys.exit(main(CONTRACT))
