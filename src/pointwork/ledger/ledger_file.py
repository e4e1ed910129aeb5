"""Is the SQLite ledger a file this process can work on? Asked at start, before anything is made."""

import os
import pwd
import stat
from pathlib import Path

from pointwork.ledger.engine import LedgerUrlError

_BESIDE = ("", "-wal", "-shm")
"""The database and the files of its write-ahead log; a writer must be able to write each."""


class LedgerFileError(LedgerUrlError):
    """The ledger's file is gone or cannot be written. The text names the path and the remedy."""


def check_ledger_file(path: Path, *, was_used: bool) -> None:
    """Refuse a ledger that a start would lose or could not write.

    Args:
        path: the database file.
        was_used: whether there are signs that a ledger was here before. Then its absence is a
            loss: an empty one in its place would have forgotten every budget and hold.

    Raises:
        LedgerFileError: the file is gone, is no file, or it or its folder cannot be written.
    """
    if was_used and not path.exists():
        msg = (
            f"the ledger {path} is gone although Pointwork ran here before; restore it from a "
            f"backup, or move {path.parent} away to begin with an empty one"
        )
        raise LedgerFileError(msg)
    if path.exists() and not path.is_file():
        msg = f"the ledger {path} is no file; move it away or give another path"
        raise LedgerFileError(msg)
    for found in (path.with_name(path.name + suffix) for suffix in _BESIDE):
        if found.exists() and not _may(found, os.R_OK | os.W_OK):
            raise LedgerFileError(_unusable(found, "u+rw"))
    if path.parent.is_dir() and not _may(path.parent, os.W_OK | os.X_OK):
        raise LedgerFileError(_unusable(path.parent, "u+rwx"))


def _may(path: Path, access: int) -> bool:
    return os.access(path, access, effective_ids=True)


def _unusable(path: Path, mode: str) -> str:
    found = path.stat()
    owner, us = _name(found.st_uid), _name(os.geteuid())
    if owner != us:
        return (
            f"the ledger's {path} belongs to {owner} and this process runs as {us}; run "
            f"`chown {us} {path}` or start Pointwork as {owner}"
        )
    return (
        f"the ledger's {path} cannot be written (mode {stat.S_IMODE(found.st_mode):o}); run "
        f"`chmod {mode} {path}`, and see that its disk is not mounted read-only"
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
