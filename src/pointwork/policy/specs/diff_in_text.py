"""The unified diff that a longer text holds, as a whole diff of its own (CX-93).

People paste a diff between words and inside fences, shorten it, and count its lines wrongly. Here
it is cut out and its counts are set right, so that the strict reader can read it. What only looks
like a diff is not read as one; what is one and cannot be set right, the reader refuses.
"""

import re
from collections.abc import Iterator

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@")
_HEADERS = (
    *("index ", "old mode ", "new mode ", "deleted file mode ", "new file mode ", "similarity "),
    *("dissimilarity ", "rename from ", "rename to ", "copy from ", "copy to ", "Binary files "),
)
_COMBINED = ("diff --cc ", "diff --combined ", "@@@ ")
_UNNAMED = ("--- a/unnamed", "+++ b/unnamed")
"""For a hunk that somebody pasted without the names of its file."""


def diff_in(text: str) -> str:
    """The diff within ``text``; empty where it holds none. Time is linear in the text."""
    lines = [line.rstrip("\r") for line in text.split("\n")]
    found = list(_diff_lines(lines))
    return "\n".join(found) + "\n" if found else ""


def _diff_lines(lines: list[str]) -> Iterator[str]:
    at, is_named = 0, False
    while at < len(lines):
        line = lines[at]
        if line.startswith("diff --git "):
            yield line
            is_named = True
        elif line.startswith(_COMBINED):
            yield line
        elif _is_pair(lines, at):
            yield from lines[at : at + 2]
            is_named, at = True, at + 1
        elif (hunk := _HUNK.match(line)) is not None:
            end = _end_of_hunk(lines, at + 1, hunk)
            if not is_named:
                yield from _UNNAMED
                is_named = True
            yield from _counted(hunk, lines[at + 1 : end])
            at = end - 1
        elif is_named and line.startswith(_HEADERS):
            yield line
        else:
            is_named = is_named and line.strip() == ""
        at += 1


def _is_pair(lines: list[str], at: int) -> bool:
    """The names of a file. A removed line ``-- x`` before an added ``++ y`` looks the same."""
    after = lines[at + 1] if at + 1 < len(lines) else ""
    return lines[at].startswith("--- ") and after.startswith("+++ ")


def _end_of_hunk(lines: list[str], at: int, hunk: re.Match[str]) -> int:
    """Where the hunk's lines end: past its counts only while they still look like a hunk's."""
    old, new = int(hunk[2] or 1), int(hunk[4] or 1)
    while at < len(lines):
        sign, is_over = lines[at][:1], old <= 0 and new <= 0
        if sign not in ("+", "-", " ", "\\") and (sign or is_over):
            break
        if is_over and _is_pair(lines, at):
            break
        old -= sign in ("-", " ", "")
        new -= sign in ("+", " ", "")
        at += 1
    while lines[at - 1] == "":  # the hunk's own first line is none of these
        at -= 1
    return at


def _counted(hunk: re.Match[str], body: list[str]) -> Iterator[str]:
    old = sum(line[:1] in ("-", " ", "") for line in body)
    new = sum(line[:1] in ("+", " ", "") for line in body)
    yield f"@@ -{hunk[1]},{old} +{hunk[3]},{new} @@"
    yield from body
