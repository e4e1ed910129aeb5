"""Opens the payloads of a stored history, so that it is replayed and compared as it was meant."""

from collections.abc import Iterator, Mapping, Sequence

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHistory
from temporalio.converter import WorkflowSerializationContext

from pointwork.privacy.codec import (
    KEYS_SETTING,
    EncryptingCodec,
    PayloadRefusedError,
    is_encrypted,
    key_id_of,
)

_NEVER_SEALED = frozenset(
    {
        "header",  # the ids of a trace
        "marker_recorded_event_attributes",  # names of patches, written by the SDK's core
        "search_attributes",
        # No replay reads it, and a worker with other keys may have written it.
        "workflow_task_failed_event_attributes",
    }
)


async def opened(
    history: WorkflowHistory, codec: EncryptingCodec | None, namespace: str
) -> WorkflowHistory:
    """The history with every payload as its workflow saw it.

    Raises:
        PayloadRefusedError: a payload does not open; the text names its event.
    """
    context = WorkflowSerializationContext(namespace, history.workflow_id)
    bound = codec.with_context(context) if codec is not None else None
    return WorkflowHistory(
        history.workflow_id, [await _opened(event, bound) for event in history.events]
    )


async def _opened(event: HistoryEvent, codec: EncryptingCodec | None) -> HistoryEvent:
    copy = HistoryEvent()
    copy.CopyFrom(event)
    for payload in _payloads(copy):
        try:
            [plain] = [_unsealed(payload)] if codec is None else await codec.decode([payload])
        except PayloadRefusedError as error:
            raise PayloadRefusedError(f"event {event.event_id}: {error}") from None
        payload.CopyFrom(plain)
    return copy


def _unsealed(payload: Payload) -> Payload:
    if is_encrypted(payload):
        raise PayloadRefusedError(
            f"a payload is encrypted under key {key_id_of(payload)!r} and no keys are set; set "
            f"{KEYS_SETTING} to the file that holds it"
        )
    return payload


def _payloads(message: Message) -> Iterator[Payload]:
    for field, value in message.ListFields():
        if field.name in _NEVER_SEALED or field.message_type is None:
            continue
        for each in _messages(value):
            if isinstance(each, Payload):
                yield each
            else:
                yield from _payloads(each)


def _messages(value: object) -> list[Message]:
    """The messages of a field, be it one, a list or a map."""
    match value:
        case Message():
            return [value]
        case Mapping():
            return [each for each in value.values() if isinstance(each, Message)]
        case Sequence():
            return [each for each in value if isinstance(each, Message)]
        case _:
            return []
