"""Approvals whose every approver has a key of the console by the time they are asked."""

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Engine

from pointwork.contract.approval import ApproverKey
from pointwork.ledger.approvals import ApprovalBook
from pointwork.ledger.console_keys import ConsoleKeys
from pointwork.ledger.identities import Identities
from pointwork.ledger.master_keys import MasterKeys


class KeyedApprovals(ApprovalBook):
    """Who may answer is read when an approval opens: a key that came later would not count."""

    def __init__(self, engine: Engine, master_keys: Callable[[], MasterKeys]) -> None:
        super().__init__(engine)
        self._master_keys = master_keys
        self._console = ConsoleKeys(ApprovalBook(engine), Identities(engine))

    def keys(self, requester: str | None = None) -> list[ApproverKey]:
        self._console.register_all(self._master_keys(), datetime.now(UTC))
        return super().keys(requester)
