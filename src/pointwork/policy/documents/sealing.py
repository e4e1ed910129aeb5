"""Putting a new version on record: the revision file grows by one entry and never loses one."""

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from pointwork.policy.documents.revisions import (
    REVISIONS_FILE,
    Revision,
    Revisions,
    check_chain,
    number_of,
    read_revisions,
)
from pointwork.policy.documents.strict_yaml import PolicyError

_HEAD = """\
# Every version of this pack with the hash of its content. Written by `pointwork policy seal`.
schema_version: pointwork/revisions/1
pack: {pack}
revisions:
"""
_ENTRY = """\
  - version: "{version}"
    pack_sha256: "{sha256}"
    author: "{author}"
    at: "{at}"
    parent: {parent}
"""


class SealRefusedError(PolicyError):
    """The version cannot be put on record; the file is as it was."""


def seal(folder: Path, version: str, sha256: str, author: str, now: datetime) -> bool:
    """Append a version to the pack's record; the same version and hash again changes nothing.

    Args:
        folder: ``policies/<pack>``; the file is made where there is none.
        version: later than every version on record.
        sha256: ``PolicyBundle.pack_sha256`` of its document.
        author: who made the version.
        now: when it is put on record.

    Returns:
        Whether the version is new on the record.

    Raises:
        SealRefusedError: the version stands with another hash, or is not the latest.
        PolicyError: what stands on record is wrong, or a value is none the record takes.
    """
    path = folder / REVISIONS_FILE
    revisions = read_revisions(folder).revisions if path.exists() else ()
    check_chain(folder, revisions)
    for each in revisions:
        if each.version == version:
            if each.pack_sha256 == sha256:
                return False
            raise SealRefusedError(
                f"{path}: version {version} is on record with hash {each.pack_sha256}, not "
                f"{sha256}; restore its document and save the change as a new version"
            )
    last = revisions[-1] if revisions else None
    if last is not None and number_of(version) <= number_of(last.version):
        raise SealRefusedError(
            f"{path}: version {version} comes before {last.version}, which is on record; give "
            "the change a later version"
        )
    try:
        revision = Revision(
            version=version,
            pack_sha256=sha256,
            author=author,
            at=now.astimezone(UTC),
            parent=last.pack_sha256 if last else None,
        )
        whole = Revisions(
            schema_version="pointwork/revisions/1",
            pack=folder.name,
            revisions=(*revisions, revision),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise SealRefusedError(f"{path}: {field}: {first['msg']}; correct it") from None
    _write(path, _rendered(whole))
    return True


def _rendered(whole: Revisions) -> str:
    entries = [
        _ENTRY.format(
            version=each.version,
            sha256=each.pack_sha256,
            author=each.author,
            at=each.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            parent=f'"{each.parent}"' if each.parent else "null",
        )
        for each in whole.revisions
    ]
    return _HEAD.format(pack=whole.pack) + "".join(entries)


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a crash leaves the record as it was."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("x") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
