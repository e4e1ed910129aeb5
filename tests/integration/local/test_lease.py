"""A device belongs to one worker at a time."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pointwork.local.lease import DeviceBusyError, DeviceLease


@pytest.mark.req("DC-21")
async def test_a_held_device_is_refused_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "gpu.lease"
    async with DeviceLease(path, wait_seconds=0):
        with pytest.raises(DeviceBusyError, match=f"held by process {os.getpid()}; stop that"):
            await DeviceLease(path, wait_seconds=0).acquire()


async def test_a_patient_worker_gets_the_device_when_it_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "gpu.lease"
    first, second = DeviceLease(path), DeviceLease(path, wait_seconds=60)
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0)
    assert not second.is_held
    first.release()
    await waiting
    assert second.is_held
    second.release()


async def test_acquiring_twice_is_acquiring_once(tmp_path: Path) -> None:
    lease = DeviceLease(tmp_path / "gpu.lease", wait_seconds=0)
    await lease.acquire()
    await lease.acquire()
    lease.release()
    async with DeviceLease(tmp_path / "gpu.lease", wait_seconds=0):
        pass


async def test_two_devices_do_not_wait_for_each_other(tmp_path: Path) -> None:
    first = DeviceLease(tmp_path / "0", wait_seconds=0)
    second = DeviceLease(tmp_path / "1", wait_seconds=0)
    async with first, second:
        assert first.is_held
        assert second.is_held


async def test_the_device_stays_taken_while_a_process_that_was_handed_it_lives(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gpu.lease"
    lease = DeviceLease(path, wait_seconds=0)
    await lease.acquire()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        pass_fds=(lease.fileno(),),
    ) as user:
        lease.release()
        with pytest.raises(DeviceBusyError):
            await DeviceLease(path, wait_seconds=0).acquire()
        user.kill()
    async with DeviceLease(path, wait_seconds=0):
        pass


async def test_a_lease_that_is_not_held_has_no_descriptor(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not held; acquire it first"):
        DeviceLease(tmp_path / "gpu.lease").fileno()
