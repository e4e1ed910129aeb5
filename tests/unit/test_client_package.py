"""What the client's package loads: each way in only what it needs."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("line", "never"),
    [
        (
            "from pointwork.client import GatewayClient, SyncGatewayClient, ApprovalPendingError",
            {"temporalio", "sqlalchemy", "cryptography", "jsonschema", "fastapi"},
        ),
        ("import pointwork.client.child", {"sqlalchemy", "cryptography", "httpx2", "yaml"}),
    ],
)
def test_each_way_in_loads_only_what_it_needs(line: str, never: set[str]) -> None:
    code = f"import sys\n{line}\nprint(*(n for n in {sorted(never)} if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    import pointwork.client as package

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = getattr(package, "Nothing")  # noqa: B009
    assert all(getattr(package, name) is not None for name in package.__all__)
