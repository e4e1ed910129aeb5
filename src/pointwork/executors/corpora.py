"""The corpora of this host: one index file each, under the name tasks ask for them by."""

import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.contract.executors import CORPUS_NAME_PATTERN
from pointwork.contract.failures import PointworkError

if TYPE_CHECKING:
    from pointwork.executors.retrieval import Index

INDEX_SUFFIX = ".index"
_NAME = re.compile(CORPUS_NAME_PATTERN)


class CorpusNotFoundError(PointworkError):
    """No corpus has this name; the text says which there are."""


def index_path(folder: Path, name: str) -> Path:
    """Where the index of ``name`` lies.

    Raises:
        CorpusNotFoundError: ``name`` is no name a corpus can have.
    """
    if not _NAME.fullmatch(name):
        raise CorpusNotFoundError(
            "corpus: a name is 1 to 64 of a-z, 0-9, dot, _ and -, beginning with a letter or "
            "digit; choose such a name"
        )
    return folder / f"{name}{INDEX_SUFFIX}"


def corpus_names(folder: Path) -> tuple[str, ...]:
    """Every corpus that was added, in the order of the alphabet."""
    found = (path.name.removesuffix(INDEX_SUFFIX) for path in folder.glob(f"*{INDEX_SUFFIX}"))
    return tuple(sorted(name for name in found if _NAME.fullmatch(name)))


def open_corpus(folder: Path, name: str) -> "Index":
    """The index of ``name``.

    Raises:
        CorpusNotFoundError: there is no such corpus.
        CorpusIndexError: its file is damaged or of another version.
    """
    path = index_path(folder, name)
    if not path.is_file():
        known = ", ".join(corpus_names(folder)) or "none"
        raise CorpusNotFoundError(
            f"corpus {name!r} was never added (there are: {known}); "
            f"add it with `pointwork corpus add {name} PATH`"
        )
    # Takes a second and 60 MB, which a worker that never retrieves is spared.
    from pointwork.executors.retrieval import Index

    return Index.open(path)


class CorpusShelf:
    """Indexes kept open; one that was written anew is read anew. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: dict[str, tuple[tuple[int, int], Index]] = {}

    def index(self, name: str) -> "Index":
        """As ``open_corpus``; the same file is read once."""
        path = index_path(self._folder, name)
        with self._lock:
            # A new index is a new file, so its inode tells; the clock may be too coarse.
            state = path.stat() if path.is_file() else None
            stamp = (state.st_ino, state.st_mtime_ns) if state else (0, 0)
            kept = self._open.get(name)
            if kept is None or kept[0] != stamp or state is None:
                self._open[name] = kept = (stamp, open_corpus(self._folder, name))
            return kept[1]
