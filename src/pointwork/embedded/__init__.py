"""All of Pointwork on one machine: Temporal's dev server, ledger, local model and every worker."""

from pointwork.embedded.directory import (
    AlreadyRunningError,
    EmbeddedError,
    Endpoints,
    NotRunningError,
    StateDirectory,
    find_app_root,
    read_endpoints,
)
from pointwork.embedded.part import EmbeddedEvent, OnEvent, PartState
from pointwork.embedded.supervisor import Embedded

__all__ = [
    "AlreadyRunningError",
    "Embedded",
    "EmbeddedError",
    "EmbeddedEvent",
    "Endpoints",
    "NotRunningError",
    "OnEvent",
    "PartState",
    "StateDirectory",
    "find_app_root",
    "read_endpoints",
]
