"""What a program is told where Temporal does not do as asked."""

from temporalio.service import RPCError, RPCStatusCode

from pointwork.contract.failures import ServiceUnavailableError

_SILENT = frozenset(
    {RPCStatusCode.UNAVAILABLE, RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED}
)
"""How the SDK names a server that cannot be reached, or says nothing in time."""


def unavailable(error: RPCError) -> ServiceUnavailableError:
    how = "does not answer" if error.status in _SILENT else f"answered {error.status.name}"
    return ServiceUnavailableError(
        f"Temporal {how}; check that it runs with `pointwork doctor`, then send the same again"
    )
