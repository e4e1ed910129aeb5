"""From a call that may be shown to whoever listens to its task."""

from pointwork.contract.outcome import Invoke
from pointwork.ledger.listeners import Listeners
from pointwork.ledger.vault import Vault
from pointwork.providers.stream_frames import Opens
from pointwork.providers.stream_sender import StreamSender, TokenStream


class GatewaySinks:
    """Finds in the ledger which gateway replica holds a task's caller."""

    def __init__(self, listeners: Listeners, vault: Vault) -> None:
        self._sender = StreamSender(listeners.url_of, vault.stream_key)

    async def open(self, call: Invoke, attempt_id: str) -> TokenStream | None:
        opens = Opens(
            attempt_id=attempt_id,
            model=call.candidate.model,
            served_as=call.candidate.served_as,
            number=call.number,
            estimate_nano_usd=call.candidate.estimate_nano_usd,
        )
        return await self._sender.open(call.task_id, opens)
