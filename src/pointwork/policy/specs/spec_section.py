"""One section of a Markdown document as lines, without what a reader would not take as stated."""

from collections.abc import Iterator
from dataclasses import dataclass

_INDENT_OF_CODE = 4
_FENCE_LENGTH_MIN = 3
_BULLETS = ("- ", "* ", "+ ")


@dataclass(frozen=True, slots=True)
class Line:
    """A line with its number from 1; runs of blanks and tabs in ``text`` are one space."""

    number: int
    text: str
    is_indented: bool

    @property
    def entry(self) -> str | None:
        """What a list entry says; None for a line that is no list entry."""
        return self.text[2:] if self.text.startswith(_BULLETS) else None

    @property
    def is_rule(self) -> bool:
        """A thematic break: three or more of one sign and nothing else."""
        signs = self.text.replace(" ", "")
        return len(signs) >= _FENCE_LENGTH_MIN and signs in {sign * len(signs) for sign in "-*_"}


@dataclass(frozen=True)
class Section:
    heading: Line
    lines: tuple[Line, ...]
    has_fence: bool
    """Some lines stand in a code fence; they are an example and are not among ``lines``."""


@dataclass(frozen=True)
class Search:
    """Every section with the heading looked for, and the lines that only resemble it."""

    sections: tuple[Section, ...]
    lookalikes: tuple[Line, ...]
    """The heading's words at another level, or in a code fence."""


def find_sections(text: str, heading: str) -> Search:
    """The sections under ``heading`` (``## Title``), each up to the next of its level or above.

    Code fences and HTML comments are skipped: a reader of the page takes neither as stated. The
    time taken is linear in the text.
    """
    level, title = _heading_of(heading) or (0, heading)
    sections: list[Section] = []
    lookalikes: list[Line] = []
    head: Line | None = None
    lines: list[Line] = []
    has_fence = False
    for line, kind, found in _walk(text):
        if kind == "heading" and found is not None:
            if head is not None and found[0] <= level:
                sections.append(Section(head, tuple(lines), has_fence))
                head = None
            if found == (level, title):
                head, lines, has_fence = line, [], False
                continue
        if found is not None and found[1] == title:
            lookalikes.append(line)
        if head is not None:
            has_fence = has_fence or kind == "fenced"
            if kind != "fenced":
                lines.append(line)
    if head is not None:
        sections.append(Section(head, tuple(lines), has_fence))
    return Search(tuple(sections), tuple(lookalikes))


_Walked = tuple[Line, str, tuple[int, str] | None]


def _walk(text: str) -> Iterator[_Walked]:
    """Each line that is not in a comment, its kind, and the level and title if it reads as one."""
    raws = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    fence = ""
    in_comment = False
    for at, raw in enumerate(raws):
        indent, body = _indent(raw)
        line = Line(at + 1, " ".join(raw.split()), indent > 0)
        if fence:
            yield line, "fenced", _heading_of(raw)
            fence = "" if _closes(fence, indent, body) else fence
        elif in_comment or (indent < _INDENT_OF_CODE and body.startswith("<!--")):
            in_comment = "-->" not in body
        elif indent < _INDENT_OF_CODE and (fence := _fence(body)):
            yield line, "fenced", None
        elif found := _heading_of(raw) or _underlined(line, raws, at):
            yield line, "heading", found
        elif not _is_underline(raws, at):
            yield line, "text", None


def _indent(raw: str) -> tuple[int, str]:
    body = raw.lstrip(" \t")
    lead = raw[: len(raw) - len(body)]
    return (_INDENT_OF_CODE if "\t" in lead else len(lead)), body


def _fence(body: str) -> str:
    """The run of signs that opens a code fence; empty where none does."""
    for sign in "`~":
        length = len(body) - len(body.lstrip(sign))
        if length >= _FENCE_LENGTH_MIN and not (sign == "`" and "`" in body[length:]):
            return sign * length
    return ""


def _closes(fence: str, indent: int, body: str) -> bool:
    signs = body.rstrip()
    return indent < _INDENT_OF_CODE and signs.startswith(fence) and not signs.strip(fence[0])


def _heading_of(raw: str) -> tuple[int, str] | None:
    """Level and title of a ``#`` heading."""
    indent, body = _indent(raw)
    level = len(body) - len(body.lstrip("#"))
    rest = body[level:]
    if indent >= _INDENT_OF_CODE or not 1 <= level <= 6 or (rest and rest[0] not in " \t"):
        return None
    title = " ".join(rest.split())
    opened = title.rstrip("#")
    return level, (opened.rstrip() if not opened or opened.endswith(" ") else title)


def _underlined(line: Line, raws: list[str], at: int) -> tuple[int, str] | None:
    """Level and title of a heading that the next line underlines with ``===`` or ``---``."""
    if not line.text or line.entry is not None or line.is_indented or line.is_rule:
        return None
    signs = raws[at + 1].strip() if at + 1 < len(raws) else ""
    if not signs or len(set(signs)) > 1 or signs[0] not in "=-":
        return None
    return (1 if signs[0] == "=" else 2), line.text


def _is_underline(raws: list[str], at: int) -> bool:
    if at == 0 or raws[at].strip()[:1] not in ("=", "-") or _heading_of(raws[at - 1]):
        return False
    indent, _ = _indent(raws[at - 1])
    above = Line(at, " ".join(raws[at - 1].split()), indent > 0)
    return _underlined(above, raws, at - 1) is not None
