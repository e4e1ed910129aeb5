"""The owner's key is made once, kept from others, and never brought back by itself."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pointwork.cli.errors import CliError
from pointwork.cli.owner import OWNER, ensure_owner, key_path, load_key
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.engine import open_engine
from pointwork.ledger.migrate import migrate


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate(engine)
    return engine


def test_the_owner_is_made_once_with_a_key_only_they_can_read(
    engine: Engine, tmp_path: Path
) -> None:
    first, second = ensure_owner(engine, tmp_path), ensure_owner(engine, tmp_path)
    assert first == (second[0], True)
    assert second[1] is False
    keys = ApprovalBook(engine).keys()
    assert [key.key_id for key in keys] == [first[0]]
    assert key_path(tmp_path, OWNER).stat().st_mode & 0o777 == 0o600


def test_a_revoked_key_stays_revoked(engine: Engine, tmp_path: Path) -> None:
    key_id, _ = ensure_owner(engine, tmp_path)
    book = ApprovalBook(engine)
    book.revoke_key(key_id, datetime.now(UTC))
    ensure_owner(engine, tmp_path)
    assert book.keys() == []


def test_a_key_that_others_may_read_is_refused(engine: Engine, tmp_path: Path) -> None:
    ensure_owner(engine, tmp_path)
    key_path(tmp_path, OWNER).chmod(0o640)
    with pytest.raises(CliError, match="chmod 600"):
        load_key(tmp_path, OWNER)


@pytest.mark.parametrize("name", ["../master", "a/b", "", "two words"])
def test_a_name_cannot_point_outside_the_keys(name: str, tmp_path: Path) -> None:
    with pytest.raises(CliError, match="--as"):
        key_path(tmp_path, name)


def test_a_file_that_is_no_key_is_told_so(tmp_path: Path) -> None:
    path = key_path(tmp_path, OWNER)
    path.parent.mkdir()
    path.touch(mode=0o600)
    with pytest.raises(CliError, match="no Ed25519 key"):
        load_key(tmp_path, OWNER)
