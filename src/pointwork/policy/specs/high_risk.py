"""Which groups of High-Risk a change falls into, told from its diff.

The groups are the pack's data. A group is hit by a path, by a changed line, or by how many crates
the change touches; what hit it is told by place only, never by content (CX-93 to CX-98).
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pointwork.policy.documents.document import Document, Sentence
from pointwork.policy.specs.line_pattern import LinePattern
from pointwork.policy.specs.unified_diff import ChangedFile, ChangedLine, Side, read_diff

EVIDENCE_MAX = 20
"""Places named a group; one is enough to hit it, more help a reader."""

Glob = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\r\n]+$")]


class HighRiskGroup(Document):
    """One group of the High-Risk definition. Any one of its tests is enough."""

    title: Sentence
    paths: tuple[Glob, ...] = ()
    """Shell patterns for paths; ``*`` also crosses ``/``, and ``*/x`` matches ``x`` at the top."""
    lines: tuple[LinePattern, ...] = ()
    """Searched in every added and removed line."""
    crates_min: Annotated[int, Field(ge=2)] | None = None
    """A change that touches this many crates is in the group."""
    derived: Sentence | None = None
    """How the source's words became these tests."""

    @model_validator(mode="after")
    def _can_be_hit(self) -> Self:
        if not (self.paths or self.lines or self.crates_min):
            msg = "no test; give paths, lines or crates_min"
            raise ValueError(msg)
        return self


class Evidence(BaseModel):
    """A place that hits a group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    line: int | None
    """None where no line changed: a rename, a mode, a binary file."""
    side: Side | None

    @property
    def place(self) -> str:
        """``path:line``; a removed line's number is that of the old file."""
        where = self.path if self.line is None else f"{self.path}:{self.line}"
        return f"{where} (removed)" if self.side == "removed" else where


class GroupHit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    title: str
    evidence: tuple[Evidence, ...]
    """The first ``EVIDENCE_MAX`` places, in the order of the diff."""


class ChangeRisk(BaseModel):
    """What a diff says about a change's risk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    groups: tuple[GroupHit, ...]
    changed_lines: int
    """Added and removed lines together."""
    files: tuple[str, ...]
    crates: tuple[str, ...]
    """Folders of the Rust crates touched; ``.`` is the repository's own."""

    @property
    def is_high_risk(self) -> bool:
        return bool(self.groups)


def change_risk(diff: str, groups: Mapping[str, HighRiskGroup]) -> ChangeRisk:
    """The groups a unified diff hits. Pure; time is linear in the diff.

    Raises:
        DiffError: the text is no complete unified diff, so nothing can be told of it.
    """
    files = read_diff(diff)
    crates = _crates(files)
    hits = []
    for code, group in groups.items():
        evidence = tuple(islice(_evidence(group, files, crates), EVIDENCE_MAX))
        if evidence:
            hits.append(GroupHit(code=code, title=group.title, evidence=evidence))
    return ChangeRisk(
        groups=tuple(hits),
        changed_lines=sum(len(file.lines) for file in files),
        files=tuple(file.paths[0] for file in files),
        crates=tuple(crates),
    )


def _evidence(
    group: HighRiskGroup, files: list[ChangedFile], crates: dict[str, Evidence]
) -> Iterator[Evidence]:
    if group.crates_min is not None and len(crates) >= group.crates_min:
        yield from crates.values()
    patterns = [re.compile(pattern) for pattern in group.lines]
    for file in files:
        path = next((path for path in file.paths if _is_in(path, group)), None)
        if path is not None and path == file.paths[0]:
            yield _first(file)
        elif path is not None:  # where the file was before it moved
            yield Evidence(path=path, line=None, side=None)
        for line in file.lines:
            if any(pattern.search(line.text) for pattern in patterns):
                yield _at(file, line)


def _is_in(path: str, group: HighRiskGroup) -> bool:
    return any(fnmatchcase(each, glob) for each in (path, f"/{path}") for glob in group.paths)


def _first(file: ChangedFile) -> Evidence:
    if file.lines:
        return _at(file, file.lines[0])
    return Evidence(path=file.paths[0], line=None, side=None)


def _at(file: ChangedFile, line: ChangedLine) -> Evidence:
    return Evidence(path=file.paths[0], line=line.number, side=line.side)


def _crates(files: list[ChangedFile]) -> dict[str, Evidence]:
    """Each crate touched, with the first place in it."""
    found: dict[str, Evidence] = {}
    for file in files:
        for path in file.paths:
            if (crate := _crate(path)) is not None:
                found.setdefault(crate, _first(file))
    return dict(sorted(found.items()))


def _crate(path: str) -> str | None:
    """The folder of the crate a path belongs to, by cargo's layout; None for other files.

    Source that lies outside that layout counts as a crate of its folder: rather one too many.
    """
    folder, _, name = path.rpartition("/")
    if name == "Cargo.toml":
        return folder or "."
    if posixpath.splitext(name)[1] != ".rs":
        return None
    parts = folder.split("/")
    for at in range(len(parts) - 1, -1, -1):
        if parts[at] == "src":
            return "/".join(parts[:at]) or "."
    for at, part in enumerate(parts):
        if part in ("tests", "benches", "examples"):
            return "/".join(parts[:at]) or "."
    return folder or "."
