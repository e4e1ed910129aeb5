"""Large answers on their way into the store outside the ledger, ahead of their transaction."""

import logging

from sqlalchemy import Engine, bindparam, select

from pointwork.ledger.engine import read
from pointwork.ledger.holds import ATTEMPT
from pointwork.ledger.sealed_bytes import SealedStoreError
from pointwork.ledger.vault import ContentUnavailableError, Outside, Vault

_log = logging.getLogger(__name__)


def put_answer(
    engine: Engine, vault: Vault, attempt_id: str, answer: bytes, media_type: str
) -> Outside | None:
    """Put an attempt's answer into the store; None where it belongs into the ledger's table.

    It is paid for, so a store that does not answer loses nothing: the table takes it then.
    """
    if not vault.is_outside(len(answer)):
        return None
    with read(engine) as connection:
        task_id = connection.execute(_TASK_OF, {"of_attempt": attempt_id}).scalar()
    if task_id is None:
        return None
    try:
        return vault.put_outside(task_id, answer, media_type)
    except ContentUnavailableError:
        # Told by whoever seals it, who records the cost first.
        return None
    except SealedStoreError as error:
        _log.warning("the answer of attempt %s is kept in the ledger: %s", attempt_id, error)
        return None


_TASK_OF = select(ATTEMPT.c.task_id).where(ATTEMPT.c.attempt_id == bindparam("of_attempt"))
