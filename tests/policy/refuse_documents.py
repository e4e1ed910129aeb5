"""Loads each document it is given, in a process of its own, and prints what that cost.

One line of JSON: the refusals, and how far memory rose at its peak.
"""

import json
import sys
from pathlib import Path

from pointwork.policy.documents.load import load_pack
from pointwork.policy.documents.strict_yaml import PolicyError
from tests.fakes.policy_facts import POLICIES, shipped

BYTES_PER_KIB = 1024


def _resident_bytes(field: str) -> int:
    """``VmRSS``, what is resident now, or ``VmHWM``, the most that ever was.

    The peak that getrusage reports is no use: a child begins with that of its parent.
    """
    status = Path("/proc/self/status").read_text()
    line = next(each for each in status.splitlines() if each.startswith(f"{field}:"))
    return int(line.split()[1]) * BYTES_PER_KIB


def main(paths: list[str]) -> None:
    shipped()
    before_bytes = _resident_bytes("VmRSS")
    refusals = []
    for path in paths:
        try:
            load_pack(Path(path), POLICIES, "embedded")
        except PolicyError as error:
            refusals.append(str(error))
    grown_bytes = _resident_bytes("VmHWM") - before_bytes
    sys.stdout.write(json.dumps({"refusals": refusals, "grown_bytes": grown_bytes}))


if __name__ == "__main__":
    main(sys.argv[1:])
