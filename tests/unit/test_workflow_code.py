"""Workflow code stays deterministic: what Temporal's sandbox would refuse, refused by reading it.

The steps of a task are imported once a process, outside the sandbox (``workflows/routing.py`` says
why), so this test watches them in its stead.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
FILES = sorted(WORKFLOWS.glob("*.py"))
MODULES = frozenset(
    {
        "os",
        "random",
        "secrets",
        "socket",
        "subprocess",
        "sys",
        "threading",
        "time",
        "uuid",
        "httpx2",
    }
)
CALLS = frozenset(
    {
        *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
        *("asyncio.to_thread", "asyncio.as_completed", "asyncio.wait"),
        *("open", "input", "print", "id", "hash", "set"),
    }
)
"""``set`` has an order of its own in every process; ``id`` and ``hash`` a value."""

ORDER_FREE = frozenset({"set(ProviderFailureKind)", "set(FailureType)"})
"""Sets that are only asked for membership."""


def faults(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.split(".")[0] in MODULES)
            case ast.ImportFrom(module=str(module)):
                if module.split(".")[0] in MODULES:
                    yield module
            case ast.Call(func=called):
                name = ast.unparse(called)
                if name in CALLS and ast.unparse(node) not in ORDER_FREE:
                    yield f"{name} in line {node.lineno}"


@pytest.mark.req("DC-12")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_workflow_code_reads_no_clock_no_chance_and_no_world(path: Path) -> None:
    assert list(faults(path.read_text())) == []


@pytest.mark.parametrize(
    "planted",
    [
        "import time\n",
        "from random import choice\n",
        "from datetime import datetime\nmoment = datetime.now()\n",
        "import uuid\n",
        "text = open('x').read()\n",
        "for name in set(names):\n    print(name)\n",
        "import os\nhome = os.environ['HOME']\n",
    ],
)
def test_a_planted_fault_is_found(planted: str) -> None:
    assert list(faults(planted))
