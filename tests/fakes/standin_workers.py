"""A ``workers`` package without Pointwork's work: it says that it is ready and waits for its end.

Tests copy it to ``workers/__main__.py``; what it does besides stands in ``run/orders-<name>``.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--fd", type=int)
    arguments = parser.parse_args()
    run: Path = arguments.state_dir / "run"
    orders_file = run / f"orders-{arguments.name}"
    orders = orders_file.read_text().split() if orders_file.exists() else []

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: None if "stubborn" in orders else stop.set())
    if "fail" in orders:
        sys.stderr.write("the ledger is on fire\n")
        return 3
    if "parent" in orders:
        child = subprocess.Popen(["sleep", "600"])
        (run / "grandchild.pid").write_text(str(child.pid))
    if "slow" not in orders:
        (run / f"{arguments.name}.ready").write_text(str(os.getpid()))
    stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
