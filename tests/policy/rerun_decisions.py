"""Decides again in this process what another decided: JSON inputs in, one plan a line out.

The arguments are a pack and a host; without any it is omega on the embedded host.
"""

import json
import sys

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import DecisionInput
from pointwork.policy.decide import decide
from tests.fakes.policy_facts import shipped


def main() -> None:
    bundle = shipped(*sys.argv[1:])
    for given in json.load(sys.stdin):
        plan = decide(DecisionInput.model_validate(given), bundle)
        sys.stdout.write(canonical_json(plan).decode() + "\n")


if __name__ == "__main__":
    main()
