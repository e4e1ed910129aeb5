"""Every error a person meets: one sentence, a remedy, an exit code (docs/exit-codes.md)."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What the shell sees. The names, in lower case, are the codes of ``--json`` errors."""

    OK = 0
    NO_ANSWER = 1
    """The task ended without an answer: denied, failed, expired or cancelled."""
    BAD_INPUT = 2
    BAD_POLICY = 3
    UNAVAILABLE = 4
    WAITING = 5
    """The task waits for a person, or had no answer within ``--wait``."""
    MISMATCH = 6
    """A replay or the audit chain does not hold."""
    UNHEALTHY = 7
    """``doctor`` found a failure."""
    USAGE = 64
    """Bad input of ``policy plan``, where 2 is a privacy crossing."""
    INTERRUPTED = 130


class CliError(Exception):
    """A problem and its remedy. Neither ever quotes content or a secret."""

    def __init__(self, problem: str, remedy: str, exit_code: ExitCode = ExitCode.BAD_INPUT) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.exit_code = exit_code


def expected_errors() -> tuple[type[BaseException], ...]:
    """Every error that is told in a sentence. Anything else is a bug and keeps its traceback.

    Imported here because most runs of the program need none of these modules.
    """
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError
    from typer import Abort, TyperException

    from pointwork.contract.failures import PointworkError
    from pointwork.embedded import EmbeddedError
    from pointwork.ledger.engine import LedgerUrlError, UnsafeSqliteError
    from pointwork.ledger.master_keys import MasterKeyError
    from pointwork.policy.bundle import UnknownPackError
    from pointwork.policy.documents.strict_yaml import PolicyError

    return (
        CliError,
        TyperException,
        Abort,
        KeyboardInterrupt,
        PointworkError,
        PolicyError,
        UnknownPackError,
        EmbeddedError,
        LedgerUrlError,
        UnsafeSqliteError,
        MasterKeyError,
        DBAPIError,
        SQLAlchemyError,
        OSError,
    )


def describe(error: BaseException, arguments: Sequence[str] = ()) -> tuple[ExitCode, str]:
    """The exit code of an expected error, and its one sentence.

    ``arguments`` are those of the command line, so that a wrong value can be named.
    """
    from pointwork.contract.failures import (
        PointworkError,
        ServiceUnavailableError,
        TaskFailedError,
    )
    from pointwork.embedded import EmbeddedError
    from pointwork.ledger.vault import ContentUnavailableError
    from pointwork.local.weights import ModelPullError
    from pointwork.policy.bundle import UnknownPackError
    from pointwork.policy.documents.strict_yaml import PolicyError

    match error:
        case CliError():
            return error.exit_code, str(error)
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED, "interrupted; run the command again"
        case PolicyError():
            return ExitCode.BAD_POLICY, str(error)
        case UnknownPackError():
            return ExitCode.BAD_INPUT, str(error)
        case TaskFailedError():
            return ExitCode.NO_ANSWER, error.reason
        case ContentUnavailableError():
            return ExitCode.NO_ANSWER, str(error)
        case ServiceUnavailableError() | EmbeddedError() | ModelPullError():
            return ExitCode.UNAVAILABLE, str(error)
        case PointworkError():
            return ExitCode.BAD_INPUT, str(error)
        case OSError():
            return ExitCode.BAD_INPUT, _file_problem(error)
        case _:
            return _foreign(error, arguments)


def _file_problem(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    return f"{name}{error.strerror or type(error).__name__}; correct the path or its permissions"


def _foreign(error: BaseException, arguments: Sequence[str]) -> tuple[ExitCode, str]:
    from sqlalchemy.exc import SQLAlchemyError
    from typer import Abort, TyperException

    match error:
        case Abort():
            return ExitCode.INTERRUPTED, "interrupted; run the command again"
        case TyperException():
            return ExitCode.BAD_INPUT, _usage_problem(error, arguments)
        case SQLAlchemyError():
            # A database's own words may quote a row, so only its kind is told.
            kind = type(getattr(error, "orig", None) or error).__name__
            problem = f"the ledger refused the request ({kind})"
            remedy = "`pointwork doctor` tells whether it is damaged or another version's"
            return ExitCode.UNAVAILABLE, f"{problem}; {remedy}"
        case _:
            return ExitCode.UNAVAILABLE, str(error)


def _usage_problem(error: Any, arguments: Sequence[str]) -> str:
    """What the parser says, in this program's form: with the value, and where to look."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "pointwork"
    parameter = getattr(error, "param", None)
    typed = _typed(parameter.opts, arguments) if parameter is not None else None
    text = " ".join(str(error.message if typed else error.format_message()).split()).rstrip(".")
    if typed:
        text = f"{typed} is not allowed: {text}"
    return f"{text[:1].lower()}{text[1:]}; see `{command} --help`"


def _typed(options: Sequence[str], arguments: Sequence[str]) -> str | None:
    """The option and its value as they were typed; None for one that is missing."""
    for at, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in options:
            return f"{name} {value or ' '.join(arguments[at + 1 : at + 2])!r}"
    return None
