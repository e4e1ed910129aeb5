"""What may be a corpus, and in which words everything else is refused."""

import json
from pathlib import Path

import pytest

from pointwork.executors import corpus
from pointwork.executors.corpus import Corpus, CorpusError

SECRET = "canary-7f3a"


def lines(path: Path, *rows: object) -> Path:
    file = path / "corpus.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


def test_documents_stand_in_the_order_of_their_ids_whatever_the_file_says(tmp_path: Path) -> None:
    rows = [{"id": "b", "title": "B", "text": "two"}, {"id": "a", "text": "one"}]
    found = Corpus.load(lines(tmp_path, *rows))
    assert [(each.id, each.title, each.text) for each in found.documents] == [
        ("a", "", "one"),
        ("b", "B", "two"),
    ]
    again = Corpus.load(lines(tmp_path, *reversed(rows)))
    assert again.sha256 == found.sha256


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("not json " + SECRET, ":2: is not JSON"),
        ("[1]", ":2: is not a JSON object"),
        ("[" * 100_000, ":2: is not JSON"),
        ('{"id": "a"}', ":2: text: is missing; add it"),
        ('{"text": "x"}', ":2: id: is missing; add it"),
        ('{"id": "a", "text": "x", "body": "y"}', ":2: body: is none of id, title, text"),
        ('{"id": 4, "text": "x"}', ":2: id: is not a string"),
        (f'{{"id": "a b {SECRET}", "text": "x"}}', ":2: id: must be 1 to 200 letters"),
        ('{"id": "a]", "text": "x"}', ":2: id: must be 1 to 200 letters"),
        ('{"id": "a", "text": "  "}', ":2: text: is empty"),
        ('{"id": "a", "text": "\\ud800"}', ":2: text: holds half a character"),
        ('{"id": "first", "text": "x"}', ":2: id: 'first' stands in line 1 already"),
        (json.dumps({"id": "a", "text": "x" * 20_001}), "20001 characters, and 20000 are the most"),
        (json.dumps({"id": "a", "text": "x", "title": "t" * 301}), ":2: title: has 301"),
    ],
)
def test_a_broken_line_is_refused_with_its_number_field_and_remedy(
    tmp_path: Path, row: str, says: str
) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_text(f'{{"id": "first", "text": "x"}}\n{row}\n')
    with pytest.raises(CorpusError) as caught:
        Corpus.load(file)
    message = str(caught.value)
    assert says in message
    assert str(file) in message
    assert "; " in message
    assert SECRET not in message


def test_a_file_that_is_not_utf_8_is_refused_by_line(tmp_path: Path) -> None:
    file = tmp_path / "corpus.jsonl"
    file.write_bytes(b'{"id": "a", "text": "x"}\n\xff\n')
    with pytest.raises(CorpusError, match=r":2: is not UTF-8; save"):
        Corpus.load(file)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"one\ntwo\n\xff\n")
    with pytest.raises(CorpusError, match=r"a\.txt:3: is not UTF-8; save"):
        Corpus.load(folder)


@pytest.mark.parametrize("name", ["missing.jsonl", "empty.jsonl", "empty"])
def test_nothing_to_read_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match=r"is no file or folder; give|holds no document; add"):
        Corpus.load(tmp_path / name)


def test_a_folder_gives_each_file_in_pieces_named_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    paragraph = "word " * 150 + "\n\n"
    (tmp_path / "docs" / "long.md").write_text(paragraph * 6)
    (tmp_path / "short.txt").write_text("A line.\n")
    (tmp_path / ".hidden.md").write_text("never")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    found = Corpus.load(tmp_path)
    ids = [each.id for each in found.documents]
    assert ids == ["docs/long.md#1", "docs/long.md#2", "docs/long.md#3", "short.txt#1"]
    assert all(len(each.text) <= corpus.PASSAGE_CHARACTERS for each in found.documents)
    joined = " ".join(each.text for each in found.documents[:3])
    assert joined.split() == (paragraph * 6).split()


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside.txt"
    inside.mkdir()
    outside.write_text("elsewhere")
    (inside / "link.txt").symlink_to(outside)
    with pytest.raises(CorpusError, match=r"link\.txt: leads out of"):
        Corpus.load(inside)
