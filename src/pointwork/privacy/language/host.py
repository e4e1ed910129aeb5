"""The language readers in a process of their own, so that nothing they do can take ours along.

They hold 400 MB, keep a processor busy for a tenth of a second for each thousand characters, and
are other people's native code. A reader that crashes, hangs or gives nothing back has read
nothing: the text then does not leave.
"""

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Protocol

from pointwork.contract.failures import PointworkError
from pointwork.privacy.findings import Finding

START_SECONDS_MAX = 120.0
"""To import the libraries and load the models, on a busy machine."""
READ_SECONDS_MIN = 30.0
READ_SECONDS_PER_CHARACTER = 0.002
"""Ten times what a character costs where nothing else runs."""
_STOP_SECONDS = 2.0


class LanguageUnavailableError(PointworkError):
    """The text could not be read by the language readers, so it must not leave."""


class Reader(Protocol):
    """What runs in the other process."""

    def read(self, text: str) -> Sequence[Finding]: ...


def load_reader() -> Reader:
    """The readers of this package; called in the process that will use them."""
    from pointwork.privacy.language.reader import LanguageReader

    return LanguageReader()


class LanguageHost:
    """Reads texts in one child process, one after the other. Thread-safe.

    The child is started by the first text and again after it was lost; it ends with its parent.
    """

    def __init__(
        self,
        load: Callable[[], Reader] = load_reader,
        *,
        read_seconds_min: float = READ_SECONDS_MIN,
    ) -> None:
        self._load = load
        self._read_seconds_min = read_seconds_min
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    def find(self, text: str) -> list[Finding]:
        """Findings in all of ``text``.

        Raises:
            LanguageUnavailableError: the readers could not be loaded, crashed, or took longer than
                ``read_seconds_min`` and ``READ_SECONDS_PER_CHARACTER`` allow. No text is quoted.
        """
        with self._lock:
            pipe = self._started()
            try:
                pipe.send(text)
                patience = self._read_seconds_min + READ_SECONDS_PER_CHARACTER * len(text)
                return self._answer(pipe, patience, "read the text")
            except (EOFError, OSError):
                self._end()
                raise LanguageUnavailableError(_ended("reading a text")) from None

    def warm(self) -> None:
        """Load the readers now, so that the first text does not wait for them.

        Raises:
            LanguageUnavailableError: they cannot be loaded.
        """
        with self._lock:
            self._started()

    def close(self) -> None:
        """End the child; the next text would start another."""
        with self._lock:
            self._end()

    def _started(self) -> Connection:
        if self._pipe is not None and self._process is not None and self._process.is_alive():
            return self._pipe
        self._end()
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_serve, args=(theirs, self._load), name="language", daemon=True
        )
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        try:
            self._answer(ours, START_SECONDS_MAX, "load its models")
        except (EOFError, OSError):
            self._end()
            raise LanguageUnavailableError(_ended("loading its models")) from None
        return ours

    def _answer(self, pipe: Connection, patience_seconds: float, what: str) -> list[Finding]:
        if not pipe.poll(patience_seconds):
            self._end()
            msg = f"the language reader did not {what} within {patience_seconds:.0f} s"
            raise LanguageUnavailableError(msg)
        answer = pipe.recv()
        if isinstance(answer, str):
            raise LanguageUnavailableError(f"the language reader failed to {what}: {answer}")
        findings: list[Finding] = answer
        return findings

    def _end(self) -> None:
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()
        if process is not None:
            process.kill()
            process.join(_STOP_SECONDS)
            # A process that cannot even be joined is the system's; we start another.
            with suppress(ValueError):
                process.close()


def _ended(doing: str) -> str:
    return f"the language reader's process ended while {doing}"


def _serve(pipe: Connection, load: Callable[[], Reader]) -> None:
    """Answer texts until the other side is gone. An error's own words may quote the text."""
    with suppress(EOFError, OSError, KeyboardInterrupt):
        try:
            reader = load()
        except Exception as error:  # noqa: BLE001 - whatever it is, the other process must hear of it
            pipe.send(f"{type(error).__name__}; install 'pointwork[service]'")
            return
        pipe.send([])
        while True:
            text = pipe.recv()
            try:
                found: list[Finding] | str = list(reader.read(text))
            except Exception as error:  # noqa: BLE001 - as above
                found = type(error).__name__
            pipe.send(found)
