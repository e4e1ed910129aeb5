"""A start on a ledger that is gone or cannot be written is refused in words (case 38)."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pointwork.contract.prompt import MEDIA_TYPE_PROMPT
from pointwork.ledger.ledger_file import LedgerFileError
from pointwork.ledger.master_keys import MasterKeyError
from pointwork.ledger.vault import TaskDraft
from workers.settings import Settings
from workers.wiring import open_parts

NOBODY, SOMEBODY = 65534, 65533
by_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    """Root may write anything; what other users meet is seen as one of them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def settings(repository: Path) -> Iterator[Settings]:
    """A deployment that ran once, in a folder every user may reach."""
    folder = Path(tempfile.mkdtemp(prefix="pointwork-state-"))
    settings = Settings(state_dir=folder, policies_dir=repository / "policies")
    open_parts(settings).engine.dispose()
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    yield settings
    folder.chmod(0o700)
    shutil.rmtree(folder)


def refusal(settings: Settings) -> str:
    with pytest.raises(LedgerFileError) as refused:
        open_parts(settings)
    text = str(refused.value)
    assert str(settings.ledger_path.parent) in text
    return text


def test_a_ledger_that_vanished_is_not_replaced_by_an_empty_one(settings: Settings) -> None:
    settings.ledger_path.unlink()
    text = refusal(settings)
    assert f"{settings.ledger_path} is gone" in text
    assert "restore it from a backup" in text
    assert not settings.ledger_path.exists()


def test_a_master_key_file_that_vanished_is_not_replaced_where_content_was_sealed(
    settings: Settings,
) -> None:
    parts = open_parts(settings)
    draft = TaskDraft(task_id="t-1", caller="tester", pack="omega", declarations={})
    parts.vault.accept(draft, [("prompt", b"text", MEDIA_TYPE_PROMPT)], datetime.now(UTC))
    parts.engine.dispose()
    settings.master_key_path.unlink()
    with pytest.raises(MasterKeyError, match="the content of 1 tasks is sealed under what it held"):
        open_parts(settings)
    assert not settings.master_key_path.exists()


def test_a_master_key_file_that_vanished_before_anything_was_sealed_is_made_anew(
    settings: Settings,
) -> None:
    settings.master_key_path.unlink()
    open_parts(settings).engine.dispose()
    assert settings.master_key_path.is_file()


def test_a_first_start_makes_a_ledger(tmp_path: Path, repository: Path) -> None:
    settings = Settings(state_dir=tmp_path, policies_dir=repository / "policies")
    open_parts(settings).engine.dispose()
    assert settings.ledger_path.is_file()


def test_a_ledger_that_is_read_only_is_refused(settings: Settings) -> None:
    settings.ledger_path.chmod(0o444)
    with acting_as(NOBODY):
        text = refusal(settings)
    assert f"{settings.ledger_path} cannot be written (mode 444)" in text
    assert f"chmod u+rw {settings.ledger_path}" in text


def test_a_folder_that_takes_no_write_ahead_log_is_refused(settings: Settings) -> None:
    settings.state_dir.chmod(0o555)
    with acting_as(NOBODY):
        assert f"chmod u+rwx {settings.state_dir}" in refusal(settings)


@by_root
def test_a_ledger_of_another_user_is_refused_by_both_their_names(settings: Settings) -> None:
    settings.state_dir.chmod(0o777)
    os.chown(settings.ledger_path, SOMEBODY, SOMEBODY)
    settings.ledger_path.chmod(0o600)
    with acting_as(NOBODY):
        text = refusal(settings)
    assert f"belongs to {SOMEBODY} and this process runs as nobody" in text
    assert f"chown nobody {settings.ledger_path}" in text


def test_a_ledger_that_is_a_folder_is_refused(settings: Settings) -> None:
    settings.ledger_path.unlink()
    settings.ledger_path.mkdir()
    assert "is no file" in refusal(settings)


def test_the_workers_end_with_one_line_and_code_4(settings: Settings, repository: Path) -> None:
    settings.ledger_path.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "workers", "all", "--state-dir", str(settings.state_dir)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 4
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: the ledger {settings.ledger_path} is gone")
