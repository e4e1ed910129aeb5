"""Loads each document it is given, in a process of its own, and prints what that cost.

One line of JSON: the refusals, and by how many bytes the peak of resident memory grew.
"""

import json
import resource
import sys
from pathlib import Path

from pointwork.policy.load import load_pack
from pointwork.policy.strict_yaml import PolicyError
from tests.fakes.policy_facts import POLICIES, shipped

BYTES_PER_KIB = 1024


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_PER_KIB


def main(paths: list[str]) -> None:
    shipped()
    before_bytes = _peak_bytes()
    refusals = []
    for path in paths:
        try:
            load_pack(Path(path), POLICIES, "embedded")
        except PolicyError as error:
            refusals.append(str(error))
    grown_bytes = _peak_bytes() - before_bytes
    sys.stdout.write(json.dumps({"refusals": refusals, "grown_bytes": grown_bytes}))


if __name__ == "__main__":
    main(sys.argv[1:])
