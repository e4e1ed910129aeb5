"""How other programs use Pointwork; each name is imported with what it alone needs.

The clients of the gateway load no database driver and no Temporal, and a workflow that imports
``pointwork.client.child`` loads neither of the clients.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointwork.client.blocking import SyncPointworkClient
    from pointwork.client.direct import PointworkClient, parse_schema
    from pointwork.client.gateway import GatewayClient, SyncGatewayClient
    from pointwork.client.gateway_replies import (
        AccessRefusedError,
        ApprovalPendingError,
        PendingApproval,
        TaskProgress,
    )
    from pointwork.leaving import leave
else:

    def __getattr__(name: str) -> object:
        match name:
            case "PointworkClient" | "parse_schema":
                import pointwork.client.direct as module
            case "SyncPointworkClient":
                import pointwork.client.blocking as module
            case "leave":
                import pointwork.leaving as module
            case "GatewayClient" | "SyncGatewayClient":
                import pointwork.client.gateway as module
            case "AccessRefusedError" | "ApprovalPendingError" | "PendingApproval" | "TaskProgress":
                import pointwork.client.gateway_replies as module
            case _:
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(module, name)


__all__ = [
    "AccessRefusedError",
    "ApprovalPendingError",
    "GatewayClient",
    "PendingApproval",
    "PointworkClient",
    "SyncGatewayClient",
    "SyncPointworkClient",
    "TaskProgress",
    "leave",
    "parse_schema",
]
