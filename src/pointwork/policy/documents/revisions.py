"""The chain of a pack's versions: who made each, when, and from which one (OM-82, OM-83).

``policies/<pack>/revisions.yaml`` records the hash of every version. A document that is not the
recorded one, a version nobody recorded, or a broken chain stops the load.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from pointwork.contract.task import Name
from pointwork.policy.documents.document import Document
from pointwork.policy.documents.strict_yaml import PolicyError, place_in, read_document

REVISIONS_FILE = "revisions.yaml"
VERSION = re.compile(r"^[0-9]+(\.[0-9]+){1,2}$")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PolicyFault(StrEnum):
    """How a policy on disk is not the one that was put on record; the code of its incident."""

    DOCUMENT_ALTERED = "policy_document_altered"
    REVISION_MISSING = "policy_revision_missing"
    DOCUMENT_MISSING = "policy_document_missing"
    CHAIN_BROKEN = "policy_chain_broken"
    RELEASE_MISSING = "policy_release_missing"
    RELEASE_INVALID = "policy_release_invalid"


class TamperedPolicyError(PolicyError):
    """A policy that was changed past the record. Nothing is loaded, and an incident is due."""

    def __init__(self, message: str, *, pack: str, version: str, fault: PolicyFault) -> None:
        super().__init__(message)
        self.pack = pack
        self.version = version
        self.fault = fault


class Revision(Document):
    """One version as it was put on record."""

    version: Annotated[str, Field(pattern=VERSION)]
    pack_sha256: Sha256
    """``PolicyBundle.pack_sha256`` of the version's document."""
    author: Name
    at: AwareDatetime
    parent: Sha256 | None
    """``pack_sha256`` of the revision before; null for the first."""

    @field_validator("at")
    @classmethod
    def _in_utc(cls, value: datetime) -> datetime:
        if value.utcoffset() != timedelta(0):
            msg = f"{value.isoformat()} is not in UTC; write it with a Z at its end"
            raise ValueError(msg)
        return value


class Revisions(Document):
    """The whole file, oldest first."""

    schema_version: Literal["pointwork/revisions/1"]
    pack: Name
    revisions: Annotated[tuple[Revision, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _recorded_in_order(self) -> Self:
        for before, after in pairwise(self.revisions):
            if number_of(after.version) <= number_of(before.version):
                msg = f"revisions: {after.version} follows {before.version}; list each version once"
                raise ValueError(msg)
            if after.at < before.at:
                msg = f"revisions: {after.version} is older than {before.version}; correct at"
                raise ValueError(msg)
        return self


def number_of(version: str) -> tuple[int, ...]:
    """``1.10`` comes after ``1.9``."""
    return tuple(int(part) for part in version.split("."))


def read_revisions(folder: Path) -> Revisions:
    """The record of the pack in ``folder``.

    Raises:
        PolicyError: the file is missing or says something its schema does not allow.
    """
    path = folder / REVISIONS_FILE
    revisions = read_document(path, Revisions)
    if revisions.pack != folder.name:
        place = place_in(path, "pack")
        raise PolicyError(f"{place}: pack {revisions.pack!r} is not the folder's name; align them")
    return revisions


def check_revisions(folder: Path, packs: Mapping[str, str]) -> None:
    """Refuse a folder whose documents are not exactly the recorded ones.

    Args:
        folder: ``policies/<pack>``.
        packs: ``PolicyBundle.pack_sha256`` of every document in it, by version.

    Raises:
        TamperedPolicyError: a document has another hash than was recorded, a version has no
            revision, a revision has no document, or the chain has a gap.
        PolicyError: the file of revisions itself is wrong.
    """
    path = folder / REVISIONS_FILE
    if not path.is_file():
        version = max(packs, key=number_of, default="")
        raise _tampered(folder, path, version, PolicyFault.REVISION_MISSING, "it does not exist")
    revisions = read_revisions(folder).revisions
    check_chain(folder, revisions)
    recorded = {each.version: each for each in revisions}
    for at, each in enumerate(revisions):
        place = place_in(path, "revisions", at)
        found = packs.get(each.version)
        document = folder / f"{each.version}.yaml"
        if found is None:
            raise TamperedPolicyError(
                f"{place}: version {each.version} is on record with hash {each.pack_sha256} and "
                f"{document} is missing; restore the document",
                pack=folder.name,
                version=each.version,
                fault=PolicyFault.DOCUMENT_MISSING,
            )
        if found != each.pack_sha256:
            raise TamperedPolicyError(
                f"{document}: version {each.version} has hash {found} and {place} records "
                f"{each.pack_sha256}; restore the document, or save the change as a new version "
                f"and run `{_seal(folder)}`",
                pack=folder.name,
                version=each.version,
                fault=PolicyFault.DOCUMENT_ALTERED,
            )
    for version in sorted(set(packs) - set(recorded), key=number_of):
        problem = f"version {version} with hash {packs[version]} is not on record"
        raise _tampered(folder, path, version, PolicyFault.REVISION_MISSING, problem)


def check_chain(folder: Path, revisions: tuple[Revision, ...]) -> None:
    """Each revision names the one before it, and the first names none.

    Raises:
        TamperedPolicyError: one does not.
    """
    before: Revision | None = None
    for at, each in enumerate(revisions):
        expected = before.pack_sha256 if before else None
        if each.parent != expected:
            place = place_in(folder / REVISIONS_FILE, "revisions", at, "parent")
            wanted = f"version {before.version} has hash {expected}" if before else "is the first"
            subject = "the one before it, " if before else "it "
            raise TamperedPolicyError(
                f"{place}: version {each.version} names {each.parent} as its parent and "
                f"{subject}{wanted}; restore the file as `pointwork policy seal` wrote it",
                pack=folder.name,
                version=each.version,
                fault=PolicyFault.CHAIN_BROKEN,
            )
        before = each


def _seal(folder: Path) -> str:
    return f"pointwork policy seal {folder.name} --author NAME"


def _tampered(
    folder: Path, path: Path, version: str, fault: PolicyFault, problem: str
) -> TamperedPolicyError:
    return TamperedPolicyError(
        f"{path}: {problem}; run `{_seal(folder)}`",
        pack=folder.name,
        version=version,
        fault=fault,
    )
