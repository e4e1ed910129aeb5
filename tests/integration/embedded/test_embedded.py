"""The embedded deployment on the real Temporal server: start, restart, crash, stop."""

import asyncio
import os
import re
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import psutil
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus

from pointwork.embedded import (
    AlreadyRunningError,
    EmbeddedError,
    Endpoints,
    NotRunningError,
    PartState,
    find_app_root,
    read_endpoints,
)
from pointwork.embedded.supervisor import Embedded
from pointwork.embedded.temporal_server import (
    HISTORY_RETENTION_DAYS,
    SEARCH_ATTRIBUTE_TYPES,
    Ports,
    port_of,
    temporal_binary,
)
from tests.integration.embedded.conftest import Deployment
from tests.integration.embedded.processes import PATIENCE_SECONDS, all_gone, is_running, until


async def client_of(endpoints: Endpoints) -> Client:
    return await Client.connect(endpoints.temporal_address, namespace=endpoints.namespace)


async def search_attributes(endpoints: Endpoints) -> str:
    listing = await asyncio.create_subprocess_exec(
        *(str(temporal_binary()), "operator", "search-attribute", "list"),
        *("--address", endpoints.temporal_address),
        stdout=PIPE,
    )
    out, _ = await listing.communicate()
    return out.decode()


async def test_up_starts_every_part_and_stop_leaves_no_process(deployment: Deployment) -> None:
    embedded = await deployment.started()
    pids = embedded.pids
    assert sorted(pids) == ["all", "gateway", "gpu", "temporal"]
    assert read_endpoints(deployment.state_dir) == embedded.endpoints
    assert deployment.state_dir.stat().st_mode & 0o777 == 0o700
    await embedded.stop()
    assert not any(is_running(pid) for pid in pids.values())
    assert [(event.part, event.state) for event in deployment.events][-1] == (
        "temporal",
        PartState.STOPPED,
    )
    with pytest.raises(NotRunningError, match="start it with `pointwork up --state-dir"):
        read_endpoints(deployment.state_dir)


async def test_the_server_listens_on_loopback_only_and_is_given_none_of_our_secrets(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "canary-key")
    embedded = await deployment.started()
    server = psutil.Process(embedded.pids["temporal"])
    listening = [c.laddr for c in server.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert "canary-key" not in server.environ().values()


async def test_the_namespace_has_our_search_attributes_and_keeps_histories(
    deployment: Deployment,
) -> None:
    embedded = await deployment.started()
    listed = await search_attributes(embedded.endpoints)
    for name, kind in SEARCH_ATTRIBUTE_TYPES.items():
        assert re.search(rf"\b{name}\s+{kind}\b", listed)
    client = await client_of(embedded.endpoints)
    namespace = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace="default")
    )
    retention = namespace.config.workflow_execution_retention_ttl.ToTimedelta()
    assert retention.days == HISTORY_RETENTION_DAYS


async def test_a_database_from_before_gets_the_search_attributes_it_lacks(
    deployment: Deployment, unused_ports: list[int]
) -> None:
    deployment.state_dir.mkdir()
    grpc, ui = unused_ports
    older = await asyncio.create_subprocess_exec(
        *(str(temporal_binary()), "server", "start-dev", "--ip", "127.0.0.1"),
        *("--port", str(grpc), "--ui-port", str(ui), "--log-level", "never"),
        *("--db-filename", str(deployment.state_dir / "temporal.db")),
        stdout=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await Client.connect(f"127.0.0.1:{grpc}")
                break
            except RuntimeError:
                await asyncio.sleep(0.1)
    older.terminate()
    await older.wait()

    embedded = await deployment.started()
    listed = await search_attributes(embedded.endpoints)
    assert all(name in listed for name in SEARCH_ATTRIBUTE_TYPES)


async def test_a_restart_keeps_workflows_and_addresses(deployment: Deployment) -> None:
    first = await deployment.started()
    client = await client_of(first.endpoints)
    await client.start_workflow("Waits", id="kept", task_queue="nobody")
    await client.get_workflow_handle("kept").signal("note", "before")
    await first.stop()

    second = await deployment.started()
    assert second.endpoints == first.endpoints
    handle = (await client_of(second.endpoints)).get_workflow_handle("kept")
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        async for event in handle.fetch_history_events()
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert signals == ["note"]


async def test_a_killed_server_comes_back_with_every_acknowledged_workflow(
    deployment: Deployment,
) -> None:
    embedded = await deployment.started()
    client = await client_of(embedded.endpoints)
    ids = [f"task-{number}" for number in range(50)]
    await asyncio.gather(
        *(client.start_workflow("Waits", id=each, task_queue="nobody") for each in ids)
    )
    killed = embedded.pids["temporal"]
    deployment.events.clear()
    os.kill(killed, signal.SIGKILL)
    await until(
        lambda: ("temporal", PartState.READY) in [(e.part, e.state) for e in deployment.events]
    )
    assert embedded.pids["temporal"] != killed
    again = await client_of(embedded.endpoints)
    for each in ids:
        description = await again.get_workflow_handle(each).describe()
        assert description.status is WorkflowExecutionStatus.RUNNING


async def test_a_killed_worker_is_started_again_without_what_it_had_started(
    deployment: Deployment,
) -> None:
    deployment.order("gpu", "parent")
    embedded = await deployment.started()
    waiting = asyncio.create_task(embedded.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    killed = embedded.pids["gpu"]
    grandchild = int((deployment.state_dir / "run" / "grandchild.pid").read_text())
    deployment.events.clear()
    os.kill(killed, signal.SIGKILL)
    await until(lambda: len(deployment.events) == 3)
    assert [(event.part, event.state) for event in deployment.events] == [
        ("gpu", PartState.DIED),
        ("gpu", PartState.STARTING),
        ("gpu", PartState.READY),
    ]
    assert embedded.pids["gpu"] != killed
    assert not is_running(grandchild)


async def test_a_second_up_is_refused_with_the_process_and_the_remedy(
    deployment: Deployment,
) -> None:
    first = await deployment.started()
    pids = first.pids
    with pytest.raises(AlreadyRunningError) as refusal:
        await deployment.started()
    assert f"process {os.getpid()}" in str(refusal.value)
    assert "--state-dir" in str(refusal.value)
    assert first.pids == pids
    assert (deployment.state_dir / "run" / "gpu.ready").exists()
    assert read_endpoints(deployment.state_dir) == first.endpoints


async def test_a_worker_that_does_not_come_up_is_named_with_the_end_of_its_log(
    deployment: Deployment,
) -> None:
    deployment.order("all", "fail")
    with pytest.raises(EmbeddedError) as failure:
        await deployment.started()
    assert "all ended with status 3" in str(failure.value)
    assert str(deployment.state_dir / "logs" / "worker-all.log") in str(failure.value)
    assert str(failure.value).endswith("the ledger is on fire")
    started = re.findall(r"process (\d+)", " ".join(event.detail for event in deployment.events))
    assert not any(is_running(int(pid)) for pid in started)
    deployment.order("all")
    await deployment.started()


async def test_a_start_that_is_cancelled_leaves_nothing(deployment: Deployment) -> None:
    deployment.order("all", "slow")
    embedded = deployment.embedded()
    start = asyncio.create_task(embedded.start(deployment.events.append))
    await until(lambda: len(embedded.pids) == 4)
    pids = embedded.pids
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not any(is_running(pid) for pid in pids.values())
    with pytest.raises(NotRunningError):
        read_endpoints(deployment.state_dir)


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from pointwork.embedded import Embedded

async def main(state_dir, app_root):
    embedded = Embedded(Path(state_dir), Path(app_root))
    await embedded.start(lambda event: None)
    sys.stdout.write(" ".join(str(pid) for pid in embedded.pids.values()) + "\\n")
    sys.stdout.flush()
    await embedded.wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_killed_up_leaves_no_process_and_the_next_up_works(
    deployment: Deployment,
) -> None:
    deployment.order("gpu", "stubborn")
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SUPERVISOR),
        *(str(deployment.state_dir), str(deployment.app_root)),
        stdout=PIPE,
    )
    try:
        assert supervisor.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            pids = [int(pid) for pid in (await supervisor.stdout.readline()).split()]
        assert len(pids) == 4
        endpoints = read_endpoints(deployment.state_dir)
        client = await client_of(endpoints)
        await client.start_workflow("Waits", id="kept", task_queue="nobody")
    finally:
        supervisor.kill()
    deployment.order("gpu")
    heir = await deployment.started()
    assert not any(is_running(pid) for pid in pids)
    await supervisor.wait()
    assert heir.endpoints == endpoints
    handle = (await client_of(heir.endpoints)).get_workflow_handle("kept")
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING


async def test_a_remembered_port_that_somebody_took_is_replaced(deployment: Deployment) -> None:
    first = await deployment.started()
    await first.stop()
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", port_of(first.endpoints.temporal_address)))
        somebody.listen()
        second = await deployment.started()
        assert second.endpoints.temporal_address != first.endpoints.temporal_address
        assert second.endpoints.ui_url == first.endpoints.ui_url


async def test_a_port_that_was_asked_for_and_is_taken_fails_the_start(
    deployment: Deployment,
) -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        embedded = Embedded(deployment.state_dir, deployment.app_root, ports=Ports(grpc=port))
        with pytest.raises(EmbeddedError, match=f"port {port} is taken"):
            await embedded.start(deployment.events.append)
    assert embedded.pids == {}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"temporal_address": "nonsense"}', b"\xff"])
async def test_addresses_that_cannot_be_read_are_made_anew(
    deployment: Deployment, content: bytes
) -> None:
    deployment.state_dir.mkdir()
    (deployment.state_dir / "endpoints.json").write_bytes(content)
    with pytest.raises(NotRunningError):
        read_endpoints(deployment.state_dir)
    embedded = await deployment.started()
    assert read_endpoints(deployment.state_dir) == embedded.endpoints


async def test_a_state_directory_open_to_others_is_closed_to_them(deployment: Deployment) -> None:
    deployment.state_dir.mkdir(mode=0o755)
    await deployment.started()
    assert deployment.state_dir.stat().st_mode & 0o077 == 0


async def test_a_state_directory_that_is_a_file_is_refused_with_the_remedy(
    deployment: Deployment,
) -> None:
    deployment.state_dir.write_text("not a directory")
    with pytest.raises(EmbeddedError, match="name one that you own with --state-dir"):
        await deployment.started()


async def test_stopping_twice_or_before_a_start_is_no_error(deployment: Deployment) -> None:
    embedded = deployment.embedded()
    await embedded.stop()
    await embedded.start(deployment.events.append)
    pids = embedded.pids
    await asyncio.gather(embedded.stop(), embedded.stop())
    await all_gone(pids.values())


def test_the_code_root_is_found_from_a_directory_inside_it(
    deployment: Deployment, tmp_path: Path
) -> None:
    inside = deployment.app_root / "policies"
    assert find_app_root(inside) == deployment.app_root
    with pytest.raises(EmbeddedError, match="run this inside a checkout of Pointwork"):
        find_app_root(tmp_path)
