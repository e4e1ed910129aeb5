"""What ``pointwork doctor`` looks at on disk. No check raises for what it may find."""

import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointwork.cli.deployment import deployed_policy, load_policy
from pointwork.cli.errors import CliError
from pointwork.contract.failures import PointworkError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pointwork.policy.bundle import PolicyLibrary

_DISK_BYTES_MIN = 1_000_000_000
_DISK_BYTES_LOW = 5_000_000_000
_LEDGER = "ledger"
_INTEGRITY = "integrity"


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def check_python() -> Check:
    import platform

    return Check("python", Verdict.OK, platform.python_version())


def check_language() -> Check:
    """Whether what reads for names before a text leaves is installed; nothing is loaded."""
    from importlib.util import find_spec

    from pointwork.privacy.language import REQUIRED_PACKAGES

    missing = [name for name in REQUIRED_PACKAGES if find_spec(name) is None]
    if missing:
        remedy = (
            "text that a pack redacts cannot leave; run `pip install 'pointwork[service]'`, or set "
            "POINTWORK_LANGUAGE_READING=false to redact by patterns alone"
        )
        return Check("language", Verdict.FAIL, f"{', '.join(missing)} not installed", remedy)
    found = "names, places and addresses are read for before text leaves"
    return Check("language", Verdict.OK, found)


def check_sqlite() -> Check:
    import pysqlite3.dbapi2

    from pointwork.ledger.engine import UnsafeSqliteError, check_sqlite_version

    version = pysqlite3.dbapi2.sqlite_version_info
    number = ".".join(str(part) for part in version)
    try:
        check_sqlite_version(version)
    except UnsafeSqliteError as error:
        return Check("sqlite", Verdict.FAIL, number, str(error))
    return Check("sqlite", Verdict.OK, f"{number}, which is safe in WAL mode")


def check_policy(
    policies_dir: Path | None, host: str, state_dir: Path
) -> "tuple[Check, PolicyLibrary | None]":
    from pointwork.policy.documents.strict_yaml import PolicyError

    try:
        library = deployed_policy(policies_dir, host)
    except (PolicyError, PointworkError, CliError) as error:
        return Check("policy", Verdict.FAIL, str(error), "correct it; nothing routes without"), None
    packs = ", ".join(_in_force(library, policies_dir, host, state_dir))
    return Check("policy", Verdict.OK, packs), library


def _in_force(
    library: "PolicyLibrary", policies_dir: Path | None, host: str, state_dir: Path
) -> Iterator[str]:
    """Each pack with the version that decides new tasks; the newest where no ledger can be read."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        active = load_policy(policies_dir, host, state_dir)
    except (SQLAlchemyError, PointworkError, CliError, LookupError, ValueError):
        active = library  # the checks of the ledger say what is wrong with it
    for name in library.packs:
        version, newest = active.active(name).pack.version, library.active(name).pack.version
        is_older = library.is_deployed(name, version)
        how = "rolled back from" if is_older else "a live revision of"
        yield f"{name} {version}" + (f" ({how} {newest})" if version != newest else "")


def check_disk(state_dir: Path) -> Check:
    path = state_dir.absolute()
    folder = next(each for each in (path, *path.parents) if each.exists())
    free_bytes = shutil.disk_usage(folder).free
    found = f"{free_bytes / 1e9:.1f} GB free"
    if free_bytes < _DISK_BYTES_MIN:
        return Check("disk", Verdict.FAIL, found, "free some; the ledger stops when it is full")
    if free_bytes < _DISK_BYTES_LOW:
        return Check("disk", Verdict.WARN, found, "free some before it runs full")
    return Check("disk", Verdict.OK, found)


def check_private(path: Path) -> Check:
    """A key file must be there and be its owner's alone."""
    name = "master key"
    if not path.is_file():
        return Check(name, Verdict.FAIL, f"{path} is missing", "restore it from your backup")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        found = f"{path} can be read by other users (mode {mode:o})"
        return Check(name, Verdict.FAIL, found, f"run: chmod 600 {path}")
    return Check(name, Verdict.OK, f"{path}, mode {mode:o}")


def check_ledger(state_dir: Path) -> list[Check]:
    """Schema, journal mode, pages, invariants and chain, through one engine.

    The cost grows with the ledger: pages, audit records, outcomes and decisions are all read.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from pointwork.cli.deployment import open_ledger

    checks: list[Check] = []
    try:
        engine = open_ledger(state_dir)
    except CliError as error:
        return [Check("ledger", Verdict.FAIL, str(error))]
    steps: tuple[Callable[[Any], Iterator[Check]], ...] = (
        _schema,
        _journal,
        _integrity,
        _invariants,
        _chain,
        _owner,
    )
    try:
        for step in steps:
            checks.extend(step(engine))
            if checks[-1].name in (_LEDGER, _INTEGRITY) and checks[-1].verdict is Verdict.FAIL:
                # What is read from damaged pages or other tables says nothing, good or bad.
                break
    except (SQLAlchemyError, ValueError) as error:
        kind = type(getattr(error, "orig", None) or error).__name__
        found = f"the database cannot be read ({kind})"
        checks.append(Check("ledger", Verdict.FAIL, found, "restore it from a backup"))
    finally:
        engine.dispose()
    return checks


def _schema(engine: "Engine") -> Iterator[Check]:
    from pointwork.ledger.migrate import is_current

    if is_current(engine):
        yield Check(_LEDGER, Verdict.OK, "its schema is this version's")
    else:
        remedy = "start it once with `pointwork up`, which migrates it"
        yield Check(_LEDGER, Verdict.FAIL, "its schema is another version's", remedy)


def _journal(engine: "Engine") -> Iterator[Check]:
    """Whether a commit survives a power cut."""
    from pointwork.ledger.engine import read

    if engine.dialect.name == "postgresql":
        with read(engine) as connection:
            off = [
                name
                for name in ("fsync", "full_page_writes", "synchronous_commit")
                if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off"
            ]
        if off:
            remedy = "turn them on: a commit may be lost with the power, and its bill with it"
            yield Check("journal", Verdict.FAIL, f"Postgres has {', '.join(off)} off", remedy)
        else:
            yield Check("journal", Verdict.OK, "Postgres, every commit flushed")
        return
    with read(engine) as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode == "wal":
        yield Check("journal", Verdict.OK, "WAL")
    else:
        remedy = "put the state folder on a local disk; network file systems cannot hold it"
        yield Check("journal", Verdict.FAIL, f"{mode}, not WAL", remedy)


def _integrity(engine: "Engine") -> Iterator[Check]:
    from pointwork.ledger.engine import read

    if engine.dialect.name == "postgresql":
        return
    with read(engine) as connection:
        first: str = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalars().all()[0]
    if first == "ok":
        yield Check(_INTEGRITY, Verdict.OK, "every page, index and constraint is sound")
    else:
        found = f"the file is damaged: {' '.join(first.split())}"
        yield Check(_INTEGRITY, Verdict.FAIL, found, "stop Pointwork and restore a backup")


def _invariants(engine: "Engine") -> Iterator[Check]:
    from pointwork.ledger.invariants import check_each

    remedy = "stop Pointwork and compare with a backup; do not edit the ledger"
    for invariant, violations in check_each(engine):
        if violations:
            more = f" ({len(violations) - 1} more)" if len(violations) > 1 else ""
            found = f"{violations[0].sentence}{more}"
            yield Check(invariant.number, Verdict.FAIL, found, remedy)
        else:
            yield Check(invariant.number, Verdict.OK, invariant.words)


def _chain(engine: "Engine") -> Iterator[Check]:
    from pointwork.ledger.audit import AuditChain

    report = AuditChain(engine).verify()
    if report.holds:
        yield Check("audit chain", Verdict.OK, f"{report.count} records hold")
    else:
        remedy = "the record was changed; compare with a backup"
        yield Check("audit chain", Verdict.FAIL, report.reason, remedy)


def _owner(engine: "Engine") -> Iterator[Check]:
    from pointwork.ledger.approvals import ApprovalBook

    keys = ApprovalBook(engine).keys()
    names = sorted({key.approver for key in keys})
    if names:
        yield Check("approvers", Verdict.OK, ", ".join(names))
    else:
        remedy = "run `pointwork up`, which makes an owner; until then held tasks expire"
        yield Check("approvers", Verdict.WARN, "nobody can approve", remedy)


def check_models(state_dir: Path, library: "PolicyLibrary") -> list[Check]:
    """The weights of each model this host serves, by their whole hash."""
    import hashlib

    from pointwork.local.weights import CATALOGUE, installed_path

    checks: list[Check] = []
    for name in library.of_this_host.host.local_models:
        label = "model"
        if name not in CATALOGUE:
            checks.append(Check(label, Verdict.WARN, f"{name} is served from elsewhere"))
            continue
        path, remedy = (
            installed_path(name, state_dir / "models"),
            f"run `pointwork models pull {name}`",
        )
        if not path.is_file():
            checks.append(Check(label, Verdict.FAIL, f"{name} has no weights here", remedy))
            continue
        with path.open("rb") as file:
            is_whole = hashlib.file_digest(file, "sha256").hexdigest() == CATALOGUE[name].sha256
        if is_whole:
            checks.append(Check(label, Verdict.OK, f"{name}, weights verified"))
        else:
            checks.append(Check(label, Verdict.FAIL, f"{name}: weights are damaged", remedy))
    return checks
