"""Copies of the shipped policies, changed by a test and put on record as they then stand."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pointwork.policy.documents.load import load_pack
from pointwork.policy.documents.revisions import REVISIONS_FILE, VERSION, number_of
from pointwork.policy.documents.sealing import seal

SEALED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def copy_pack(repository: Path, folder: Path, pack: str = "omega") -> Path:
    """The shipped policies with ``pack`` alone, and nothing of it on record."""
    policies = folder / "policies"
    shutil.copytree(repository / "policies", policies)
    for other in policies.iterdir():
        if other.is_dir() and other.name not in (pack, "hosts"):
            shutil.rmtree(other)
    (policies / pack / REVISIONS_FILE).unlink(missing_ok=True)
    return policies


def seal_all(policies: Path, host: str = "embedded") -> None:
    """Put every version of every pack on a new record, as its document stands now."""
    for folder in sorted(each for each in policies.iterdir() if each.is_dir()):
        for number, path in enumerate(versions(folder)):
            if number == 0:
                (folder / REVISIONS_FILE).unlink(missing_ok=True)
            bundle = load_pack(path, policies, host)
            seal(folder, bundle.pack.version, bundle.pack_sha256, "test", SEALED_AT)


def versions(folder: Path) -> Iterator[Path]:
    """The pack's documents, oldest version first."""
    found = [each for each in folder.glob("*.yaml") if VERSION.match(each.stem)]
    return iter(sorted(found, key=lambda path: number_of(path.stem)))
