"""What retrieval searches: documents with an id, read from a JSON-lines file or a folder of text.

Every fault is told with file, line, field and remedy, and never with the text itself.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pointwork.contract.canonical import canonical_bytes, sha256_hex
from pointwork.contract.failures import PointworkError

DOCUMENTS_MAX = 100_000
TEXT_CHARACTERS_MAX = 20_000
TITLE_CHARACTERS_MAX = 300
FILE_BYTES_MAX = 256 * 2**20
"""Of a JSON-lines file, and of all files of a folder together."""
PASSAGE_CHARACTERS = 2_000
"""About where a file of a folder is cut into documents, at a blank line or the end of a line."""

SOURCE_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._/#:-]{0,199}"
"""An id is cited as ``[id]``, so it holds no bracket, comma or space."""

TEXT_FILE_SUFFIXES = (".txt", ".md", ".rst")
_SOURCE_ID = re.compile(SOURCE_ID_PATTERN)
_FIELDS = {"id", "title", "text"}


class CorpusError(PointworkError):
    """A corpus cannot be read; the text names file, line, field and remedy."""


@dataclass(frozen=True, slots=True)
class Document:
    id: str
    title: str = field(repr=False)
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in the order of their ids, which are unique."""

    documents: tuple[Document, ...] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> "Corpus":
        """Read ``path``: a JSON-lines file of id, title and text, or a folder of text files.

        Raises:
            CorpusError: nothing is there to read, or a document is not as it has to be.
            OSError: the file system refused.
        """
        found = _of_folder(path) if path.is_dir() else _of_lines(path)
        corpus = cls(tuple(sorted(found, key=lambda document: document.id)))
        if not corpus.documents:
            raise CorpusError(f"{path}: holds no document; add at least one with some text")
        return corpus

    @property
    def sha256(self) -> str:
        """Of every id, title and text; equal corpora have equal hashes wherever they lay."""
        rows = [[each.id, each.title, each.text] for each in self.documents]
        return sha256_hex(canonical_bytes(rows))


def _of_lines(path: Path) -> list[Document]:
    if not path.is_file():
        raise CorpusError(f"{path}: is no file or folder; give the path of one")
    _check_bytes(path, path.stat().st_size)
    lines: dict[str, int] = {}
    documents: list[Document] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            document = _of_object(_parsed(line, place), place)
            if document.id in lines:
                first = lines[document.id]
                problem = f"id: {document.id!r} stands in line {first} already"
                raise CorpusError(f"{place}: {problem}; give each document its own")
            lines[document.id] = number
            documents.append(document)
            _check_count(path, len(documents))
    return documents


def _parsed(line: bytes, place: str) -> dict[str, Any]:
    """A parser's own error quotes what it read, so it is replaced by one that does not."""
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        problem = "is not UTF-8; save the file as UTF-8"
    except (ValueError, RecursionError):
        problem = "is not JSON; write one object with id, title and text on each line"
    else:
        if isinstance(value, dict):
            return value
        problem = "is not a JSON object; write one with id, title and text on each line"
    raise CorpusError(f"{place}: {problem}")


def _of_object(value: dict[str, Any], place: str) -> Document:
    unknown = sorted(set(value) - _FIELDS)
    if unknown:
        shown = unknown[0] if _SOURCE_ID.fullmatch(unknown[0]) else "a field"
        raise CorpusError(f"{place}: {shown}: is none of id, title, text; remove it")
    for name in ("id", "text"):
        if name not in value:
            raise CorpusError(f"{place}: {name}: is missing; add it")
    for name, given in value.items():
        if not isinstance(given, str):
            raise CorpusError(f"{place}: {name}: is not a string; put it in quotes")
    return _document(value["id"], value.get("title", ""), value["text"], place)


def _document(source_id: str, title: str, text: str, place: str) -> Document:
    if not _SOURCE_ID.fullmatch(source_id):
        problem = "must be 1 to 200 letters, digits and . _ / # : - and begin with one of the first"
        raise CorpusError(f"{place}: id: {problem}; rename it")
    for name, value, most in (
        ("title", title, TITLE_CHARACTERS_MAX),
        ("text", text, TEXT_CHARACTERS_MAX),
    ):
        if len(value) > most:
            problem = f"{name}: has {len(value)} characters, and {most} are the most"
            raise CorpusError(f"{place}: {problem}; split the document")
        if not _is_encodable(value):
            raise CorpusError(f"{place}: {name}: holds half a character; write whole ones")
    if not text.strip():
        raise CorpusError(f"{place}: text: is empty; write one or remove the document")
    return Document(source_id, title, text)


def _is_encodable(text: str) -> bool:
    """JSON can spell a lone surrogate, which no UTF-8 file can hold again."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _of_folder(folder: Path) -> list[Document]:
    """Every text file below ``folder`` but hidden ones; a link is not followed out of it."""
    documents: list[Document] = []
    read_bytes = 0
    for path in sorted(_text_files(folder)):
        read_bytes += path.stat().st_size
        _check_bytes(folder, read_bytes)
        name = path.relative_to(folder).as_posix()
        for number, (line, piece) in enumerate(_pieces(_decoded(path)), start=1):
            documents.append(_document(f"{name}#{number}", name, piece, f"{path}:{line}"))
            _check_count(folder, len(documents))
    return documents


def _text_files(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.suffix in TEXT_FILE_SUFFIXES and not any(part.startswith(".") for part in parts):
            if not path.resolve().is_relative_to(root):
                raise CorpusError(f"{path}: leads out of {folder}; put the file itself there")
            if path.is_file():
                yield path


def _decoded(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
    raise CorpusError(f"{path}:{line}: is not UTF-8; save the file as UTF-8")


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """``text`` in pieces of about PASSAGE_CHARACTERS, each with the line it begins in."""
    piece: list[str] = []
    characters = 0
    first_line = 1
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        is_full = characters + len(line) > PASSAGE_CHARACTERS
        is_break = not line.strip() and characters > PASSAGE_CHARACTERS // 2
        if piece and (is_full or is_break):
            yield from _worded(first_line, piece)
            piece, characters, first_line = [], 0, number
        piece.append(line)
        characters += len(line)
    yield from _worded(first_line, piece)


def _worded(line: int, piece: list[str]) -> Iterator[tuple[int, str]]:
    text = "".join(piece).strip()
    if text:
        yield line, text


def _check_bytes(path: Path, size_bytes: int) -> None:
    if size_bytes > FILE_BYTES_MAX:
        problem = f"has {size_bytes} bytes or more, and {FILE_BYTES_MAX} are the most"
        raise CorpusError(f"{path}: {problem}; split the corpus")


def _check_count(path: Path, documents: int) -> None:
    if documents > DOCUMENTS_MAX:
        raise CorpusError(f"{path}: more than {DOCUMENTS_MAX} documents; split the corpus")
