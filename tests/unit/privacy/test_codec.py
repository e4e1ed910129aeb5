"""A payload opens where it belongs, with a key at hand, whole; and nowhere else (case 77)."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    NexusSerializationContext,
    SerializationContext,
    WorkflowSerializationContext,
)

from pointwork.privacy.codec import (
    ENCODING_FIELD,
    KEY_ID_FIELD,
    WORKFLOW_FIELD,
    EncryptingCodec,
    PayloadRefusedError,
    is_encrypted,
)

HERE = WorkflowSerializationContext("default", "task-1")
CANARY = b"the heron stands in the mill pond"


class Ring:
    def __init__(self, active: str, **keys: bytes) -> None:
        self.active = active
        self._keys = keys

    def find(self, key_id: str) -> bytes | None:
        return self._keys.get(key_id)


OLD = Ring("old", old=b"o" * 32)
ROTATED = Ring("new", old=b"o" * 32, new=b"n" * 32)
OTHER = Ring("old", old=b"x" * 32)


def codec(ring: Ring = OLD, context: SerializationContext = HERE) -> EncryptingCodec:
    return EncryptingCodec(ring).with_context(context)


def activity_context(
    workflow_id: str | None, activity_type: str = "classify"
) -> ActivitySerializationContext:
    return ActivitySerializationContext(
        namespace="default",
        activity_id=activity_type,
        activity_type=activity_type,
        activity_task_queue=activity_type,
        workflow_id=workflow_id,
        workflow_type="RouteTask",
        is_local=False,
    )


def payload(data: bytes = CANARY) -> Payload:
    return Payload(metadata={ENCODING_FIELD: b"json/plain"}, data=data)


async def sealed(ring: Ring = OLD, data: bytes = CANARY) -> Payload:
    [found] = await codec(ring).encode([payload(data)])
    return found


async def test_a_sealed_payload_shows_its_key_and_workflow_and_nothing_of_its_content() -> None:
    found = await sealed()
    assert dict(found.metadata) == {
        ENCODING_FIELD: b"binary/encrypted",
        KEY_ID_FIELD: b"old",
        WORKFLOW_FIELD: b"task-1",
    }
    assert CANARY not in found.SerializeToString()
    assert is_encrypted(found)
    assert not is_encrypted(payload())


async def test_the_same_payload_twice_gives_two_ciphertexts() -> None:
    assert (await sealed()).data != (await sealed()).data


async def test_what_the_old_key_sealed_is_still_readable_after_a_rotation() -> None:
    assert await codec(ROTATED).decode([await sealed(OLD)]) == [payload()]


async def test_after_a_rotation_the_new_key_seals() -> None:
    assert (await sealed(ROTATED)).metadata[KEY_ID_FIELD] == b"new"


async def test_several_payloads_keep_their_order() -> None:
    several = [payload(bytes([number])) for number in range(5)]
    assert await codec().decode(await codec().encode(several)) == several


def truncated(found: Payload) -> Payload:
    return Payload(metadata=found.metadata, data=found.data[:-1])


def emptied(found: Payload) -> Payload:
    return Payload(metadata=found.metadata)


def under_another_name(found: Payload) -> Payload:
    return Payload(metadata={**found.metadata, KEY_ID_FIELD: b"new"}, data=found.data)


def without_a_name(found: Payload) -> Payload:
    return Payload(metadata={ENCODING_FIELD: found.metadata[ENCODING_FIELD]}, data=found.data)


def plaintext(_: Payload) -> Payload:
    return payload(b'"injected"')


def nothing(_: Payload) -> Payload:
    return Payload(metadata={ENCODING_FIELD: b"binary/null"})


def bare(_: Payload) -> Payload:
    return Payload()


def same(found: Payload) -> Payload:
    return found


Spoil = Callable[[Payload], Payload]
ALTERED = "was altered, or made for another workflow or namespace; treat it as an incident"
MISSING = "does not hold; add that key to it"
PLAIN = "is not encrypted although keys are set"
ELSEWHERE = [
    WorkflowSerializationContext("default", "task-2"),
    WorkflowSerializationContext("other", "task-1"),
    activity_context("task-2"),
]


@pytest.mark.parametrize(
    ("ring", "spoil", "says"),
    [
        (OTHER, same, ALTERED),
        (Ring("new", new=b"n" * 32), same, MISSING),
        (ROTATED, under_another_name, ALTERED),
        (OLD, without_a_name, MISSING),
        (OLD, truncated, ALTERED),
        (OLD, emptied, ALTERED),
        (OLD, plaintext, PLAIN),
        (OLD, nothing, PLAIN),
        (OLD, bare, PLAIN),
    ],
)
async def test_a_spoilt_payload_is_refused_with_the_reason_and_without_its_content(
    ring: Ring, spoil: Spoil, says: str
) -> None:
    with pytest.raises(PayloadRefusedError, match=re.escape(says)) as refused:
        await codec(ring).decode([spoil(await sealed())])
    assert "heron" not in str(refused.value)
    assert "injected" not in str(refused.value)


@pytest.mark.parametrize("elsewhere", ELSEWHERE, ids=["workflow", "namespace", "activity"])
async def test_a_payload_moved_elsewhere_does_not_open(elsewhere: SerializationContext) -> None:
    with pytest.raises(PayloadRefusedError, match=ALTERED):
        await codec(context=elsewhere).decode([await sealed()])


async def test_one_that_is_spoilt_has_all_of_its_batch_refused() -> None:
    good = await sealed()
    with pytest.raises(PayloadRefusedError):
        await codec().decode([good, truncated(good)])


async def test_workflow_and_activity_read_each_others_payloads() -> None:
    """Also where the two sides disagree on an activity's id, as the SDK's two sides do."""
    scheduled, run = activity_context("task-1"), activity_context("task-1", "other")
    found = await codec(context=scheduled).encode([payload()])
    assert await codec(context=run).decode(found) == [payload()]
    assert await codec(context=HERE).decode(found) == [payload()]


async def test_each_firing_of_the_sweep_reads_what_the_schedule_and_the_one_before_sealed() -> None:
    ids = ["pointwork-sweep", *(f"pointwork-sweep-2026-11-21T18:0{n}:00Z" for n in (1, 2))]
    for sealed_by in ids:
        found = await codec(context=WorkflowSerializationContext("default", sealed_by)).encode(
            [payload()]
        )
        for opened_by in ids:
            here = codec(context=WorkflowSerializationContext("default", opened_by))
            assert await here.decode(found) == [payload()]


@pytest.mark.parametrize(
    "workflow_id", ["task-1-2026-11-21T18:01:00Z", "pointwork-sweep-2", "pointwork-sweeper"]
)
async def test_no_other_workflow_shares_an_id_with_the_sweep(workflow_id: str) -> None:
    here = codec(context=WorkflowSerializationContext("default", workflow_id))
    found = await here.encode([payload()])
    for other in ("task-1", "pointwork-sweep"):
        with pytest.raises(PayloadRefusedError, match=ALTERED):
            await codec(context=WorkflowSerializationContext("default", other)).decode(found)


@pytest.mark.parametrize(
    "nowhere",
    [
        EncryptingCodec(OLD),
        codec(context=activity_context(None)),
        codec(context=NexusSerializationContext("endpoint", "service", "operation")),
    ],
    ids=["no context", "activity of no workflow", "nexus"],
)
async def test_what_belongs_to_no_workflow_is_neither_sealed_nor_opened(
    nowhere: EncryptingCodec,
) -> None:
    with pytest.raises(PayloadRefusedError, match="belongs to no workflow"):
        await nowhere.encode([payload()])
    with pytest.raises(PayloadRefusedError, match="belongs to no workflow"):
        await nowhere.decode([await sealed()])


async def test_where_plaintext_is_accepted_it_passes_and_what_is_sealed_must_still_open() -> None:
    lenient = EncryptingCodec(OLD, accepts_plaintext=True).with_context(HERE)
    assert await lenient.decode([payload()]) == [payload()]
    assert is_encrypted((await lenient.encode([payload()]))[0])
    with pytest.raises(PayloadRefusedError, match=ALTERED):
        await lenient.decode([truncated(await sealed())])


async def test_the_same_bytes_used_as_another_key_do_not_open_it() -> None:
    """The key of the file is never used itself, so a file that serves two purposes is no harm."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    found = await sealed()
    bound_to = b'["pointwork payload 1","old","default","task-1"]'
    with pytest.raises(InvalidTag):
        AESGCM(b"o" * 32).decrypt(found.data[:12], found.data[12:], bound_to)


async def test_an_odd_key_id_is_not_repeated_in_the_refusal() -> None:
    found = await sealed()
    odd = Payload(metadata={**found.metadata, KEY_ID_FIELD: b"\x1b[31m canary"}, data=found.data)
    with pytest.raises(PayloadRefusedError) as refused:
        await codec().decode([odd])
    assert "canary" not in str(refused.value)


PAYLOADS = st.builds(
    Payload,
    metadata=st.dictionaries(st.text(max_size=20), st.binary(max_size=50), max_size=3),
    data=st.binary(max_size=2_000),
)


@given(given_payloads=st.lists(PAYLOADS, min_size=1, max_size=4), workflow_id=st.text(min_size=1))
async def test_whatever_is_sealed_opens_to_the_same_payloads(
    given_payloads: list[Payload], workflow_id: str
) -> None:
    here = codec(context=WorkflowSerializationContext("default", workflow_id))
    assert await here.decode(await here.encode(given_payloads)) == given_payloads


@given(content=PAYLOADS, data=st.data())
async def test_a_change_of_any_single_byte_is_refused(
    content: Payload, data: st.DataObject
) -> None:
    [found] = await codec(ROTATED).encode([content])
    field = data.draw(st.sampled_from(["data", ENCODING_FIELD, KEY_ID_FIELD]))
    before = found.data if field == "data" else found.metadata[field]
    at = data.draw(st.integers(0, len(before) - 1))
    by = data.draw(st.integers(1, 255))
    after = before[:at] + bytes([before[at] ^ by]) + before[at + 1 :]
    spoilt = Payload(metadata=found.metadata, data=found.data)
    if field == "data":
        spoilt.data = after
    else:
        spoilt.metadata[field] = after
    with pytest.raises(PayloadRefusedError):
        await codec(ROTATED).decode([spoilt])


@given(
    one=st.tuples(st.text(max_size=8), st.text(min_size=1, max_size=8)),
    other=st.tuples(st.text(max_size=8), st.text(min_size=1, max_size=8)),
)
async def test_two_places_never_share_their_payloads(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    found = await codec(context=WorkflowSerializationContext(*one)).encode([payload()])
    there = codec(context=WorkflowSerializationContext(*other))
    if one == other:
        assert await there.decode(found) == [payload()]
    else:
        with pytest.raises(PayloadRefusedError, match=ALTERED):
            await there.decode(found)
