"""Which character sequences a text holds, as a vector of fixed length.

The embedding knows what a text means; the words "brainstorm" or "loophole" say what is asked
for more plainly than their meaning does. Beside the embedding they raised cross-validated
accuracy from .89 to .92. Four-character sequences rather than words, so that an inflected or
misspelt word still shares most of its features with the one seen in training.
"""

import re
import zlib

import numpy as np
from numpy.typing import NDArray

BUCKETS = 4096
_SEQUENCE_CHARS = 4
_NUMBER = re.compile(r"\d[\d.,]*")
_WORD = re.compile(r"[^\W_]+|\?")


def hashed_sequences(text: str) -> NDArray[np.float32]:
    """A vector of BUCKETS numbers, of unit length; all zero where `text` has no word.

    CRC-32 spreads the features, since Python's own hash of a string differs in every process.
    """
    vector = np.zeros(BUCKETS, dtype=np.float32)
    for feature in _features(text):
        vector[zlib.crc32(feature.encode("utf-8", "replace")) % BUCKETS] = 1.0
    length = np.linalg.norm(vector)
    return vector / length if length > 0 else vector


def _features(text: str) -> set[str]:
    features: set[str] = set()
    # Every number becomes 0: that there is one matters, which one does not.
    for word in _WORD.findall(_NUMBER.sub("0", text.lower())):
        bounded = f"<{word}>"
        starts = range(max(1, len(bounded) - _SEQUENCE_CHARS + 1))
        features.add(bounded)
        features.update(bounded[start : start + _SEQUENCE_CHARS] for start in starts)
    return features
