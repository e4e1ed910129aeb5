"""Decides again in this process what another decided: JSON inputs in, one plan a line out."""

import json
import sys

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import DecisionInput
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import shipped


def main() -> None:
    for given in json.load(sys.stdin):
        plan = decide(DecisionInput.model_validate(given), shipped())
        sys.stdout.write(canonical_json(plan).decode() + "\n")


if __name__ == "__main__":
    main()
