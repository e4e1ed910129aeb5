"""The database's own clock, which alone decides whether a hold has expired.

A worker's clock may be wrong by hours; every worker that shares a ledger shares its clock.
"""

from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement, FunctionElement

from pointwork.ledger.tables import UtcTime


class seconds_from_now(FunctionElement[Any]):  # noqa: N801  (reads as the SQL function it is)
    """The database's time plus its argument, a number of seconds."""

    name = "seconds_from_now"
    type = UtcTime()
    inherit_cache = True


@compiles(seconds_from_now, "sqlite")
def _sqlite(element: seconds_from_now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(_argument(element), **options)
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', {seconds} || ' seconds') || '000')"


@compiles(seconds_from_now, "postgresql")
def _postgresql(element: seconds_from_now, compiler: SQLCompiler, **options: Any) -> str:
    seconds = compiler.process(_argument(element), **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"


def _argument(element: seconds_from_now) -> ColumnElement[Any]:
    (argument,) = element.clauses
    return argument
