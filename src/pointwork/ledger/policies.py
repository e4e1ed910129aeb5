"""The policy bundles that ever decided, by hash: a task pins one and must find it years later."""

from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, func, select

from pointwork.contract.failures import PointworkError
from pointwork.contract.snapshot import PolicyRef
from pointwork.ledger.engine import insert_if_absent, read, transact
from pointwork.ledger.tables import PolicyRevision, table_of

_REVISION = table_of(PolicyRevision)


class RevisionConflictError(PointworkError):
    """Another text stands under the same hash; a stored revision never changes."""


class RevisionStore:
    """Immutable policy revisions. Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def remember(
        self,
        bundle_sha256: str,
        pack: str,
        version: str,
        pack_sha256: str,
        canonical_json: str,
        now: datetime,
    ) -> None:
        """Store a bundle once; the same bundle again changes nothing.

        Raises:
            RevisionConflictError: the hash is stored with another text, pack or version.
        """
        row = {
            "bundle_sha256": bundle_sha256,
            "pack": pack,
            "version": version,
            "pack_sha256": pack_sha256,
            "canonical_json": canonical_json,
        }

        def write(connection: Connection) -> None:
            statement = _INSERT[connection.dialect.name]
            if connection.execute(statement, {**row, "created_at": now}).rowcount == 1:
                return
            stored = connection.execute(_FIND, {"of_bundle": bundle_sha256}).mappings().one()
            for name, value in row.items():
                if stored[name] != value:
                    msg = (
                        f"policy bundle {bundle_sha256} is stored with another {name}; "
                        "give the changed pack a new version"
                    )
                    raise RevisionConflictError(msg)

        transact(self._engine, write)

    def find(self, bundle_sha256: str) -> str | None:
        """The bundle's canonical JSON; None where it was never stored."""
        with read(self._engine) as connection:
            row = connection.execute(_FIND, {"of_bundle": bundle_sha256}).first()
        return row.canonical_json if row else None

    def kept_since(self, pack: str | None = None) -> dict[tuple[str, str], datetime]:
        """When each version was first stored, by pack and version; of one pack, or of all."""
        with read(self._engine) as connection:
            rows = connection.execute(_SINCE).all()
        return {(row.pack, row.version): row.since for row in rows if pack in (None, row.pack)}

    def hashes(self) -> list[str]:
        """Hashes of all bundles, oldest first."""
        return [ref.bundle_sha256 for ref in self.list()]

    def list(self) -> "list[PolicyRef]":
        """What is stored, without the texts, oldest first."""
        with read(self._engine) as connection:
            rows = connection.execute(_LIST).all()
        return [
            PolicyRef(
                pack=row.pack,
                version=row.version,
                pack_sha256=row.pack_sha256,
                bundle_sha256=row.bundle_sha256,
            )
            for row in rows
        ]


_INSERT = insert_if_absent(_REVISION, "bundle_sha256")
_FIND = select(_REVISION).where(_REVISION.c.bundle_sha256 == bindparam("of_bundle"))
_SINCE = select(
    _REVISION.c.pack, _REVISION.c.version, func.min(_REVISION.c.created_at).label("since")
).group_by(_REVISION.c.pack, _REVISION.c.version)
_LIST = select(
    _REVISION.c.pack, _REVISION.c.version, _REVISION.c.pack_sha256, _REVISION.c.bundle_sha256
).order_by(_REVISION.c.created_at, _REVISION.c.bundle_sha256)
