"""Which build of each local model a host loaded last, and that it changed (CX-13)."""

from datetime import datetime

from sqlalchemy import Connection, Engine, bindparam, insert, select, update

from pointwork.contract.local_run import ModelBuild
from pointwork.ledger import audit
from pointwork.ledger.columns import table_of
from pointwork.ledger.engine import transact
from pointwork.ledger.local_tables import LocalModelBuild

CHANGED = "local_model_changed"

_BUILD = table_of(LocalModelBuild)
_OF = (
    _BUILD.c.host == bindparam("of_host"),
    _BUILD.c.model == bindparam("of_model"),
    _BUILD.c.runtime == bindparam("of_runtime"),
)
_FIND = select(_BUILD.c.body).where(*_OF).with_for_update()
_REPLACE = update(_BUILD).where(*_OF)


class LocalBuilds:
    """Thread-safe; keeps no state outside the ledger."""

    def __init__(self, engine: Engine, host: str) -> None:
        """``host``: name of the host profile whose models are told of."""
        self._engine = engine
        self._host = host

    def note(self, model: str, build: ModelBuild, now: datetime) -> bool:
        """Put on record what ``model`` is; True, and a line of the audit chain, where it changed.

        Builds are compared for each runtime alone: that another one serves has a line of its own.
        """
        of = {"of_host": self._host, "of_model": model, "of_runtime": build.runtime}

        def write(connection: Connection) -> bool:
            stored = connection.execute(_FIND, of).scalar_one_or_none()
            if stored is None:
                row = {"host": self._host, "model": model, "runtime": build.runtime}
                body = build.model_dump_json()
                connection.execute(insert(_BUILD), {**row, "body": body, "loaded_at": now})
                return False
            before = ModelBuild.model_validate_json(stored)
            # What a server did not tell this time is no change, and what it tells at last is none.
            told = {name: word for name, word in build if word}
            after = before.model_copy(update=told)
            if after == before:
                return False
            body = after.model_dump_json()
            connection.execute(_REPLACE, {**of, "body": body, "loaded_at": now})
            if all(getattr(before, name) in ("", word) for name, word in told.items()):
                return False
            changed = {
                "host": self._host,
                "model": model,
                "from": before.model_dump(mode="json"),
                "to": after.model_dump(mode="json"),
            }
            audit.append(connection, CHANGED, changed, now)
            return True

        return transact(self._engine, write)
