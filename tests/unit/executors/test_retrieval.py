"""Stage 0: the ranking is a function of corpus and question, and of nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointwork.executors.corpora import (
    CorpusNotFoundError,
    CorpusShelf,
    corpus_names,
    index_path,
    open_corpus,
)
from pointwork.executors.corpus import Corpus, Document
from pointwork.executors.retrieval import CorpusIndexError, Index, build_index

HARBOUR = Corpus(
    (
        Document("crane", "Crane", "The crane at the quay lifts containers from the ship."),
        Document("dredge", "Dredging", "Dredging of the basin ended; the quay was closed."),
        Document("dredge-copy", "Dredging", "Dredging of the basin ended; the quay was closed."),
        Document("menu", "Canteen", "Soup on Monday, fish on Friday."),
        Document("pilot", "Pilots", "The pilot boards the ship outside the harbour basin."),
        Document("read_file", "Code", "def read_file(path): return path.read_text()"),
    )
)
QUERY = "dredging of the basin at the quay"
WORDS = ("crane", "quay", "ship", "basin", "pilot", "soup", "fish", "harbour", "lift", "unseen")
# A list of a test's own replaces that of the profile.
SUPPRESSED = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)

BUILD_AND_SEARCH = """
import hashlib, sys
from pathlib import Path
from pointwork.executors.corpus import Corpus
from pointwork.executors.retrieval import build_index
index = build_index(Corpus.load(Path(sys.argv[1])), Path(sys.argv[2]))
print(hashlib.sha256(Path(sys.argv[2]).read_bytes()).hexdigest())
print(index.search(sys.argv[3], 3))
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return build_index(HARBOUR, tmp_path_factory.mktemp("index") / "harbour.index")


def ids(index: Index, query: str, k: int = 5, diversity: float = 0.0) -> list[str]:
    return [each.id for each in index.search(query, k, diversity)]


def test_the_passage_that_shares_the_rarest_words_comes_first(index: Index) -> None:
    assert ids(index, "who boards outside the harbour")[0] == "pilot"
    assert ids(index, "FISH")[:1] == ["menu"]


def test_code_is_found_by_the_parts_of_a_name(index: Index) -> None:
    assert ids(index, "read the file")[:1] == ["read_file"]


def test_equal_scores_stand_in_the_order_of_ids(index: Index) -> None:
    found = index.search(QUERY, 2, 0.0)
    assert [each.id for each in found] == ["dredge", "dredge-copy"]
    assert found[0].score == found[1].score


def test_diversity_spares_the_copy_and_keeps_the_best_first(index: Index) -> None:
    assert ids(index, QUERY, 2, 0.5)[0] == "dredge"
    assert "dredge-copy" not in ids(index, QUERY, 3, 0.5)


@pytest.mark.parametrize("query", ["", "  ", "?!", "zebra", "\0", "\ud800"])
def test_a_question_that_shares_no_word_finds_nothing(index: Index, query: str) -> None:
    assert index.search(query) == ()


@pytest.mark.parametrize(("k", "diversity"), [(0, 0.0), (51, 0.0), (1, -0.1), (1, 1.1)])
def test_a_bound_out_of_range_is_refused(index: Index, k: int, diversity: float) -> None:
    with pytest.raises(ValueError, match="give"):
        index.search("quay", k, diversity)


@settings(max_examples=200, suppress_health_check=SUPPRESSED)
@given(
    texts=st.lists(st.lists(st.sampled_from(WORDS[:-1]), min_size=1), min_size=1, max_size=12),
    query=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join),
    k=st.integers(1, 15),
    diversity=st.floats(0.0, 1.0),
)
def test_a_ranking_is_short_enough_unique_and_led_by_relevance(
    tmp_path: Path, texts: list[list[str]], query: str, k: int, diversity: float
) -> None:
    corpus = Corpus(
        tuple(Document(f"d{at:02}", "", " ".join(words)) for at, words in enumerate(texts))
    )
    index = build_index(corpus, tmp_path / "any.index")
    plain = index.search(query, 15, 0.0)
    found = index.search(query, k, diversity)

    assert [(-each.score, each.id) for each in plain] == sorted(
        (-each.score, each.id) for each in plain
    )
    assert len(found) == min(k, len(plain))
    assert len({each.id for each in found}) == len(found)
    assert {each.id for each in found} <= {each.id for each in plain}
    assert [each.rank for each in found] == list(range(1, len(found) + 1))
    assert found[:1] == plain[:1]
    assert index.search(query, k, 0.0) == plain[:k]
    assert index.search(query, k, diversity) == found


@pytest.mark.req("CX-22")
def test_an_explanation_adds_up_to_the_score_and_changes_no_rank(index: Index) -> None:
    before = index.search(QUERY, 5, 0.3)
    explained = index.explain(QUERY, before)
    assert index.search(QUERY, 5, 0.3) == before
    assert index.explain(QUERY, before) == explained
    for passage, terms in zip(before, explained, strict=True):
        assert sum(each.weight for each in terms) == pytest.approx(passage.score, abs=1e-6)
        assert [each.weight for each in terms] == sorted((t.weight for t in terms), reverse=True)
        assert {each.term for each in terms} <= set(QUERY.split())


@pytest.mark.req("CX-22")
def test_two_processes_write_the_same_bytes_and_rank_alike(tmp_path: Path) -> None:
    source = tmp_path / "texts"
    source.mkdir()
    for document in HARBOUR.documents:
        (source / f"{document.id}.txt").write_text(document.text)
    said = [
        subprocess.run(
            [sys.executable, "-c", BUILD_AND_SEARCH, source, tmp_path / f"{seed}.index", QUERY],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert "dredge.txt#1" in said[0]


def test_an_opened_index_ranks_like_the_one_that_was_built(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "again.index"
    build_index(HARBOUR, path)
    assert Index.open(path).search(QUERY) == index.search(QUERY)
    assert Index.open(path).corpus_sha256 == HARBOUR.sha256
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in tmp_path.iterdir()] == ["again.index"]


@settings(max_examples=60, suppress_health_check=SUPPRESSED)
@given(data=st.data())
def test_no_damaged_index_is_opened(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "harbour.index"
    build_index(HARBOUR, path)
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = data.draw(
        st.sampled_from(
            (
                whole[:at],
                whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :],
                whole[:at] + b"x" + whole[at:],
            )
        )
    )
    path.write_bytes(broken)
    with pytest.raises(CorpusIndexError, match="build it again with `pointwork corpus add`"):
        Index.open(path)


@pytest.mark.parametrize(
    "foreign", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"pointwork-corpus-index/2 00\n"]
)
def test_a_foreign_file_or_another_version_is_refused_by_name(
    tmp_path: Path, foreign: bytes
) -> None:
    path = tmp_path / "foreign.index"
    path.write_bytes(foreign)
    with pytest.raises(CorpusIndexError, match=r"foreign\.index: is not of the format"):
        Index.open(path)


def test_a_corpus_without_a_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusIndexError, match="holds no word to search for; add"):
        build_index(Corpus((Document("a", "", "?!"),)), tmp_path / "a.index")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "A", "x" * 65, "a\n"])
def test_no_name_of_a_corpus_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(CorpusNotFoundError, match="choose such a name"):
        index_path(tmp_path, name)


def test_an_unknown_corpus_is_refused_with_those_there_are(tmp_path: Path) -> None:
    build_index(HARBOUR, index_path(tmp_path, "harbour"))
    with pytest.raises(CorpusNotFoundError, match=r"there are: harbour\); add it with"):
        open_corpus(tmp_path, "town")
    assert corpus_names(tmp_path) == ("harbour",)


def test_a_worker_sees_a_corpus_that_was_added_anew(tmp_path: Path) -> None:
    path, shelf = index_path(tmp_path, "harbour"), CorpusShelf(tmp_path)
    build_index(HARBOUR, path)
    first = shelf.index("harbour")
    assert shelf.index("harbour") is first
    build_index(Corpus((Document("new", "", "A new text."),)), path)
    assert [each.id for each in shelf.index("harbour").documents] == ["new"]
    path.unlink()
    with pytest.raises(CorpusNotFoundError):
        shelf.index("harbour")
