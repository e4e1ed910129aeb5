"""The wire format is what the golden files say. A change of it is a decision, not an accident.

Regenerate them with `python tools/regenerate_golden.py` and read the difference.
"""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from temporalio.converter import DataConverter

from pointwork.contract import (
    approval,
    branches,
    bulk,
    decision,
    executors,
    identity,
    local_lane,
    notice,
    outcome,
    overlay,
    override,
    prompt,
    snapshot,
    steps,
    task,
    tools,
)
from pointwork.contract.canonical import canonical_bytes, canonical_json
from pointwork.contract.task import Message
from pointwork.temporal import pointwork_plugin
from tests.contract.decision_samples import DECLARATION
from tests.contract.samples import SAMPLES
from tests.contract.wire import GOLDEN, SCHEMA_FILE, golden_files

MODULES = (
    approval,
    branches,
    bulk,
    decision,
    executors,
    identity,
    local_lane,
    notice,
    outcome,
    overlay,
    override,
    prompt,
    snapshot,
    steps,
    task,
    tools,
)


def _name(sample: BaseModel) -> str:
    return type(sample).__name__


def _golden(sample: BaseModel) -> Any:
    return json.loads((GOLDEN / f"{_name(sample)}.json").read_text())


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_a_message_is_written_as_its_golden_file(sample: BaseModel) -> None:
    assert sample.model_dump(mode="json") == _golden(sample)


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_a_golden_file_is_read_as_its_message(sample: BaseModel) -> None:
    assert type(sample).model_validate_json(json.dumps(_golden(sample))) == sample


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_a_message_hashes_the_same_before_and_after_the_wire(sample: BaseModel) -> None:
    assert canonical_json(sample) == canonical_bytes(_golden(sample))


@pytest.mark.req("DC-6")
@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
async def test_a_message_survives_temporals_own_converter(sample: BaseModel) -> None:
    converter = _data_converter()
    payloads = await converter.encode([sample])
    (back,) = await converter.decode(payloads, [type(sample)])
    assert back == sample


def _data_converter() -> DataConverter:
    """The converter that client, worker and replayer get from the one plugin."""
    found = pointwork_plugin().data_converter
    assert isinstance(found, DataConverter)
    return found


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_a_sender_that_leaves_out_what_is_optional_is_understood(sample: BaseModel) -> None:
    required = {
        name: value
        for name, value in _golden(sample).items()
        if type(sample).model_fields[name].is_required()
    }
    assert type(sample).model_validate_json(json.dumps(required))


@pytest.mark.parametrize("sample", [s for s in SAMPLES if isinstance(s, Message)], ids=_name)
def test_a_misspelt_key_is_refused_by_name_and_its_value_is_not_quoted(sample: BaseModel) -> None:
    spoilt = _golden(sample) | {"sensitivty": "canary"}
    with pytest.raises(ValidationError, match="sensitivty") as caught:
        type(sample).model_validate(spoilt)
    assert "canary" not in str(caught.value)


def test_every_message_of_the_contract_has_a_sample() -> None:
    declared = {
        name
        for module in MODULES
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, Message) and each is not Message
    }
    assert declared <= {_name(sample) for sample in SAMPLES}
    assert len({_name(sample) for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=_name)
def test_a_sample_leaves_no_field_at_its_default(sample: BaseModel) -> None:
    """A field at its default would leave its form on the wire unproven."""
    exclusive = {"task_class" if sample is DECLARATION else "task_type"}
    if "kind" in type(sample).model_fields and type(sample).__name__.endswith("Part"):
        exclusive.add("kind")  # the one value it may have
    idle = [
        name
        for name, field in type(sample).model_fields.items()
        if not field.is_required()
        and name not in exclusive
        and getattr(sample, name) == field.get_default(call_default_factory=True)
    ]
    assert not idle


def test_the_schema_of_all_messages_is_the_golden_one() -> None:
    assert (GOLDEN / SCHEMA_FILE).read_text() == golden_files()[SCHEMA_FILE]


def test_there_is_no_golden_file_without_a_message() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(golden_files())
