"""A disk that is full for one SQLite ledger, without the rights or the mess of a real one."""

from typing import Any

from sqlalchemy import Engine, event

_NO_LIMIT = 2**32 - 2


class SmallDisk:
    """While it is full, connections of ``engine`` may use the pages there are and none more."""

    def __init__(self, engine: Engine) -> None:
        self._pages_max = _NO_LIMIT
        self._engine = engine
        event.listen(engine, "checkout", self._limit)

    def fill(self) -> None:
        with self._engine.connect() as connection:
            pages: int = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        self._pages_max = pages

    def make_room(self) -> None:
        self._pages_max = _NO_LIMIT

    def _limit(self, connection: Any, _record: object, _proxy: object) -> None:
        connection.cursor().execute(f"PRAGMA max_page_count = {self._pages_max}").close()
