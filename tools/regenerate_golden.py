"""Writes the golden files of the wire format anew: `python tools/regenerate_golden.py`.

Run it after a deliberate change of `pointwork.contract`, read the difference, and enter it in the
CHANGELOG. A field that became required, or one that is gone, breaks services that are deployed.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> None:
    sys.path.insert(0, str(ROOT))
    from tests.contract.wire import GOLDEN, golden_files

    GOLDEN.mkdir(exist_ok=True)
    wanted = golden_files()
    for path in GOLDEN.glob("*.json"):
        if path.name not in wanted:
            path.unlink()
            print(f"removed {path.name}")
    for name, text in wanted.items():
        path = GOLDEN / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
