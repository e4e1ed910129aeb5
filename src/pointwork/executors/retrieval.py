"""Stage 0: which passages of a corpus a question is about, without any model (CX-22, CX-70).

TF-IDF says how near a passage is, Maximal Marginal Relevance keeps one that only repeats another
from taking its place. Equal corpus and question give the equal ranking in every process: scores
are compared to nine decimals, and what is level stands in the order of ids.
"""

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from pointwork.contract.canonical import canonical_bytes, sha256_hex
from pointwork.contract.executors import PASSAGES_MAX
from pointwork.contract.failures import PointworkError
from pointwork.executors.corpus import Corpus, Document
from pointwork.executors.passages import Passage, TermWeight

INDEX_FORMAT = "pointwork-corpus-index/1"
"""Changes with the file's form and with how words are made of a text."""

POOL_MAX = 200
"""Diversity is weighed among this many of the nearest passages."""

_SCORE_DECIMALS = 9


class CorpusIndexError(PointworkError):
    """An index cannot be used; the text names the file and the remedy."""


def build_index(corpus: Corpus, path: Path) -> "Index":
    """Index ``corpus`` into the file ``path``, whole or not at all; equal corpora give equal bytes.

    Raises:
        CorpusIndexError: no document holds a letter or a digit.
        OSError: the file cannot be written.
    """
    vectorizer = _vectorizer()
    texts = [f"{each.title}\n{each.text}" for each in corpus.documents]
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError:
        # scikit-learn's word for a corpus without words; it is the only one it has here.
        raise CorpusIndexError(
            "the corpus holds no word to search for; add documents with letters or digits"
        ) from None
    weights.sort_indices()
    content = {
        "corpus_sha256": corpus.sha256,
        "documents": [[each.id, each.title, each.text] for each in corpus.documents],
        "vocabulary": vectorizer.get_feature_names_out().tolist(),
    }
    arrays: dict[str, Any] = {
        "content": np.frombuffer(canonical_bytes(content), dtype=np.uint8),
        "data": weights.data.astype("<f8"),
        "idf": vectorizer.idf_.astype("<f8"),
        "indices": weights.indices.astype("<i8"),
        "indptr": weights.indptr.astype("<i8"),
    }
    written = io.BytesIO()
    # numpy dates every member 1980, so the time of writing leaves no trace in the bytes.
    np.savez(written, **arrays)
    body = written.getvalue()
    _write(path, f"{INDEX_FORMAT} {sha256_hex(body)}\n".encode() + body)
    return Index.open(path)


@dataclass(frozen=True)
class Index:
    """An index in memory. Immutable, so threads may share one."""

    documents: tuple[Document, ...] = field(repr=False)
    corpus_sha256: str
    _weights: csr_matrix = field(repr=False)
    """Documents by terms; each row has unit length."""
    _idf: NDArray[np.float64] = field(repr=False)
    _vocabulary: tuple[str, ...] = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> "Index":
        """Read an index that ``build_index`` wrote.

        Raises:
            CorpusIndexError: the file is missing, no index, of another version, or altered.
            OSError: the file system refused.
        """
        if not path.is_file():
            raise CorpusIndexError(
                f"{path}: there is no such index; add the corpus with `pointwork corpus add`"
            )
        head, _, body = path.read_bytes().partition(b"\n")
        form, _, sha256 = head.decode("latin-1").partition(" ")
        if form != INDEX_FORMAT:
            raise _unusable(path, f"is not of the format {INDEX_FORMAT}")
        if sha256 != sha256_hex(body):
            raise _unusable(path, "was altered after it was written")
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            content = json.loads(arrays["content"].tobytes())
            parts = (arrays["data"], arrays["indices"], arrays["indptr"])
            idf = arrays["idf"]
        documents = tuple(Document(*row) for row in content["documents"])
        vocabulary = tuple(content["vocabulary"])
        weights = csr_matrix(parts, shape=(len(documents), len(vocabulary)))
        return cls(documents, content["corpus_sha256"], weights, idf, vocabulary)

    def search(self, query: str, k: int = 5, diversity: float = 0.3) -> tuple[Passage, ...]:
        """At most ``k`` passages that share a word with ``query``, best first.

        ``diversity`` from 0 (relevance alone) to 1 weighs likeness to what was chosen before.

        Raises:
            ValueError: ``k`` is not 1 to PASSAGES_MAX, or ``diversity`` not 0 to 1.
        """
        if not 1 <= k <= PASSAGES_MAX:
            raise ValueError(f"k is {k}; give 1 to {PASSAGES_MAX}")
        if not 0.0 <= diversity <= 1.0:
            raise ValueError(f"diversity is {diversity}; give 0 to 1")
        scores = self._scores(query)
        # Rows stand in the order of ids, and a stable sort keeps that order among equals.
        nearest = np.argsort(-scores, kind="stable")[:POOL_MAX]
        pool = nearest[scores[nearest] > 0]
        chosen = self._diverse(pool, scores[pool], k, diversity)
        return tuple(
            self._passage(rank, row, scores[row]) for rank, row in enumerate(chosen, start=1)
        )

    def explain(
        self, query: str, passages: Sequence[Passage]
    ) -> tuple[tuple[TermWeight, ...], ...]:
        """For each passage the words it shares with ``query``, the heaviest first (CX-22).

        The weights of a passage add up to its score. No model is asked and no rank changes.
        """
        asked = self._question(query)
        return tuple(self._shared_terms(asked, self._rows[each.id]) for each in passages)

    @cached_property
    def _vectors(self) -> TfidfVectorizer:
        vectorizer = _vectorizer(vocabulary=list(self._vocabulary))
        vectorizer.idf_ = self._idf
        return vectorizer

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {document.id: row for row, document in enumerate(self.documents)}

    def _question(self, query: str) -> csr_matrix:
        return self._vectors.transform([query])

    def _scores(self, query: str) -> NDArray[np.float64]:
        near = (self._weights @ self._question(query).T).toarray().ravel()
        scores: NDArray[np.float64] = np.round(near, _SCORE_DECIMALS)
        return scores

    def _diverse(
        self,
        pool: NDArray[np.int64],
        relevance: NDArray[np.float64],
        k: int,
        diversity: float,
    ) -> list[int]:
        """Maximal Marginal Relevance; the most relevant passage always comes first."""
        vectors = self._weights[pool]
        likeness = np.zeros(len(pool))
        is_open = np.ones(len(pool), dtype=bool)
        chosen: list[int] = []
        for _ in range(min(k, len(pool))):
            worth = (1.0 - diversity) * relevance - diversity * likeness if chosen else relevance
            worth = np.where(is_open, np.round(worth, _SCORE_DECIMALS), -np.inf)
            # The pool stands in the order of relevance, then id: the first of equals is taken.
            best = int(np.argmax(worth))
            is_open[best] = False
            chosen.append(int(pool[best]))
            likeness = np.maximum(likeness, (vectors @ vectors[best].T).toarray().ravel())
        return chosen

    def _passage(self, rank: int, row: int, score: float) -> Passage:
        document = self.documents[row]
        return Passage(rank, document.id, document.title, document.text, float(score))

    def _shared_terms(self, asked: csr_matrix, row: int) -> tuple[TermWeight, ...]:
        shared = self._weights[row].multiply(asked).tocoo()
        terms = [
            TermWeight(self._vocabulary[column], round(float(weight), _SCORE_DECIMALS))
            for column, weight in zip(shared.col, shared.data, strict=True)
        ]
        return tuple(sorted(terms, key=lambda each: (-each.weight, each.term)))


def _vectorizer(vocabulary: list[str] | None = None) -> TfidfVectorizer:
    """How words are made and weighed. A word ends at an underscore, so code is found by its parts;
    a word said ten times says little more than one said once."""
    return TfidfVectorizer(
        token_pattern=r"[^\W_]+", sublinear_tf=True, dtype=np.float64, vocabulary=vocabulary
    )


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a reader meets the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # The index holds the corpus's own text.
        draft.touch(mode=0o600)
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _unusable(path: Path, problem: str) -> CorpusIndexError:
    return CorpusIndexError(f"{path}: {problem}; build it again with `pointwork corpus add`")
