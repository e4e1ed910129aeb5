"""Which SQLite libraries may run in WAL mode (reliability 2.1, case 22)."""

import pysqlite3.dbapi2
import pytest

from pointwork.ledger.engine import UnsafeSqliteError, check_sqlite_version

VERSIONS = [
    ((3, 40, 1), False),
    ((3, 44, 5), False),
    ((3, 44, 6), True),
    ((3, 44, 9), True),
    ((3, 45, 6), False),
    ((3, 49, 2), False),
    ((3, 50, 6), False),
    ((3, 50, 7), True),
    ((3, 51, 2), False),
    ((3, 51, 3), True),
    ((3, 53, 4), True),
    ((4, 0, 0), True),
]


@pytest.mark.parametrize(("version", "is_safe"), VERSIONS)
def test_only_versions_without_the_wal_reset_bug_are_accepted(
    version: tuple[int, int, int], is_safe: bool
) -> None:
    if is_safe:
        check_sqlite_version(version)
    else:
        with pytest.raises(UnsafeSqliteError, match=r"install pysqlite3 0\.6\.1 or later"):
            check_sqlite_version(version)


def test_the_driver_that_is_installed_carries_a_safe_version() -> None:
    check_sqlite_version(pysqlite3.dbapi2.sqlite_version_info)
