"""The card on record against the one that the driver describes (CX-75)."""

from pathlib import Path

import pytest

from pointwork.local.card import Card, CardUnreadableError, drift, read_cards
from pointwork.policy.documents.catalogue import Gpu, HostProfile
from pointwork.policy.documents.strict_yaml import read_document

RTX_5090 = Card(name="NVIDIA GeForce RTX 5090", vram_mb=32607, driver="580.105.08", cuda="13.0")
SAID = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v13.dtd">
<nvidia_smi_log>
  <driver_version>580.105.08</driver_version>
  <cuda_version>13.0</cuda_version>
  <attached_gpus>1</attached_gpus>
  <gpu id="00000000:01:00.0">
    <product_name>NVIDIA GeForce RTX 5090</product_name>
    <fb_memory_usage>
      <total>32607 MiB</total>
      <used>512 MiB</used>
    </fb_memory_usage>
  </gpu>
</nvidia_smi_log>
"""


@pytest.fixture
def record(repository: Path) -> Gpu:
    gpu = read_document(repository / "policies" / "hosts" / "rtx5090.yaml", HostProfile).gpu
    assert gpu is not None
    return gpu


def driver(folder: Path, script: str) -> str:
    """A program in the place of ``nvidia-smi``."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    return str(program)


def test_the_driver_is_asked_for_every_card(tmp_path: Path) -> None:
    (tmp_path / "said.xml").write_text(SAID)
    asked = f'test "$*" = "-q -x" && cat {tmp_path / "said.xml"}'
    assert read_cards(driver(tmp_path, asked)) == [RTX_5090]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 9", "failed"),
        ("echo NVIDIA-SMI has failed", "in a form that is not known"),
        ("echo '<nvidia_smi_log><gpu/></nvidia_smi_log>'", "in a form that is not known"),
    ],
)
def test_a_driver_that_does_not_tell_is_no_card(tmp_path: Path, script: str, why: str) -> None:
    with pytest.raises(CardUnreadableError, match=why):
        read_cards(driver(tmp_path, script))


def test_a_host_without_a_driver_has_no_card_to_read(tmp_path: Path) -> None:
    with pytest.raises(CardUnreadableError, match="is not installed"):
        read_cards(str(tmp_path / "nvidia-smi"))


def test_the_card_on_record_differs_in_nothing_from_itself(record: Gpu) -> None:
    """What the driver keeps of the card's memory to itself is no difference."""
    assert list(drift(record, [RTX_5090])) == []


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "NVIDIA H200", "gpu.name: NVIDIA GeForce RTX 5090 is on record, and the host has"),
        ("vram_mb", 24564, "gpu.vram_mb: 32768 is on record, and the host has 24564"),
        ("driver", "590.1", "gpu.driver: 580.105.08 is on record, and the host has 590.1"),
        ("cuda", "13.1", "gpu.cuda: 13.0 is on record, and the host has 13.1"),
    ],
)
def test_each_difference_is_a_sentence(record: Gpu, field: str, value: object, says: str) -> None:
    facts = {name: getattr(RTX_5090, name) for name in ("name", "vram_mb", "driver", "cuda")}
    (told,) = drift(record, [Card(**(facts | {field: value}))])
    assert told.startswith(says)


def test_a_second_card_and_a_missing_one_are_differences(record: Gpu) -> None:
    both = f"{RTX_5090.name}, {RTX_5090.name}"
    assert list(drift(record, [RTX_5090, RTX_5090])) == [
        f"gpu: one card is on record, and the host has 2 ({both})"
    ]
    assert list(drift(record, [])) == ["gpu: one card is on record, and the host has 0 (none)"]
