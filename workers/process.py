"""``python -m workers all | gpu | gateway | <queue> | replay TASK_ID | check``."""

import argparse
import asyncio
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from temporalio.client import Client
from temporalio.worker import Interceptor, Worker

from pointwork.contract.names import TaskQueue
from pointwork.embedded import read_endpoints
from pointwork.failpoints import arm
from pointwork.ledger.engine import LedgerUrlError
from pointwork.ledger.master_keys import MasterKeyError
from pointwork.ledger.sealed_bytes import SealedStoreError, VaultUrlError
from pointwork.local.lease import DeviceBusyError, DeviceLease
from pointwork.policy.documents.strict_yaml import PolicyError
from pointwork.privacy.language.host import LanguageHost, LanguageUnavailableError
from workers.gpu import gpu_worker
from workers.replay import replay_task
from workers.runtimes import open_runtime, served_models
from workers.settings import GatewaySettings, Settings
from workers.sweep import schedule_sweep
from workers.wiring import Parts, build_worker, codec_of, connect, endpoints_of, open_parts

T = TypeVar("T")

_log = logging.getLogger("workers")
ALL, GPU, GATEWAY, REPLAY, CHECK = "all", "gpu", "gateway", "replay", "check"
BAD_POLICY, UNAVAILABLE = 3, 4
"""Exit codes, the same as the command line's (docs/exit-codes.md)."""
_GIVEN = ("state_dir", "payload_keys", "payload_plaintext_accepted")
"""Settings that the command line may give too."""
_QUEUES = {queue.value: queue for queue in TaskQueue if queue is not TaskQueue.GPU}


def main() -> int:
    arguments = _parse(sys.argv[1:])
    settings = Settings()
    given = {name: value for name in _GIVEN if (value := getattr(arguments, name)) is not None}
    settings = settings.model_copy(update=given)
    stated = {"port": arguments.port, "listen_fd": arguments.fd}
    if stated := {name: value for name, value in stated.items() if value is not None}:
        gateway = settings.gateway.model_copy(update=stated)
        settings = settings.model_copy(update={"gateway": gateway})
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        return _do(arguments, settings)
    except PolicyError as error:
        sys.stderr.write(f"error: {error}\n")
        return BAD_POLICY
    except (
        DeviceBusyError,
        LedgerUrlError,
        MasterKeyError,
        SealedStoreError,
        VaultUrlError,
    ) as error:
        sys.stderr.write(f"error: {error}\n")
        return UNAVAILABLE


def _do(arguments: argparse.Namespace, settings: Settings) -> int:
    match arguments.what:
        case "check":
            codec_of(settings)
            parts = open_parts(settings)
            usable = {name: name in parts.usable_endpoints for name in endpoints_of(parts.library)}
            sys.stdout.write(json.dumps({"endpoints": dict(sorted(usable.items()))}) + "\n")
            return 0
        case "replay":
            return asyncio.run(_replay(settings, arguments.task_id, arguments.history))
        case _:
            asyncio.run(serve(settings, arguments.what))
            return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("what", choices=[ALL, GPU, GATEWAY, *_QUEUES, REPLAY, CHECK])
    parser.add_argument("task_id", nargs="?", help="with replay: the task to replay")
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--history", type=Path, help="with replay: an exported history, as JSON")
    parser.add_argument("--port", type=int, help="with gateway: as POINTWORK_GATEWAY_PORT")
    parser.add_argument("--fd", type=int, help="with gateway: a listening socket to serve")
    parser.add_argument("--payload-keys", type=Path, help="as POINTWORK_PAYLOAD_KEYS")
    parser.add_argument(
        "--accept-plaintext-payloads",
        dest="payload_plaintext_accepted",
        action="store_const",
        const=True,
    )
    parser.add_argument("--json", action="store_true", help="replay always prints JSON")
    arguments = parser.parse_args(argv)
    if arguments.what == REPLAY and not arguments.task_id:
        parser.error("replay needs the id of a task")
    return arguments


def _address(settings: Settings) -> str:
    return settings.temporal_address or read_endpoints(settings.state_dir).temporal_address


async def _replay(settings: Settings, task_id: str, history: Path | None) -> int:
    parts = open_parts(settings)
    client = None if history else await connect(settings, _address(settings), parts.library)
    report = await replay_task(task_id, client, parts, history)
    sys.stdout.write(report.as_json() + "\n")
    return 0 if report.ok else 1


async def serve(settings: Settings, what: str) -> None:
    """Serve until told to stop; running activities are given time to finish."""
    if settings.failpoint is not None and settings.failpoint_once is not None:
        _log.warning("this process ends at %s", settings.failpoint)
        arm(settings.failpoint, settings.failpoint_once)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    parts = await asyncio.to_thread(open_parts, settings)
    loop.set_default_executor(parts.threads)
    async with AsyncExitStack() as stack:
        tracing = await _tracing(settings, stack)
        client = await connect(settings, _address(settings), parts.library, *tracing)
        if what == GATEWAY:
            await _serve_gateway(settings, client, parts, stopped)
            return
        if what == GPU:
            lease = DeviceLease(settings.state_dir / "run" / "gpu.lease")
            await stack.enter_async_context(lease)
            serving = await unless_stopped(_gpu(client, parts, lease), stopped)
            if serving is None:
                return
            workers = [await stack.enter_async_context(serving)]
        else:
            queues = list(_QUEUES.values()) if what == ALL else [_QUEUES[what]]
            workers = [build_worker(client, queue, parts) for queue in queues]
            for worker in workers:
                await stack.enter_async_context(worker)
        if what in (ALL, TaskQueue.LEDGER):
            await schedule_sweep(client)
        if what in (ALL, TaskQueue.REDACT) and parts.language is not None:
            stack.callback(parts.language.close)
            if parts.providers:
                # The first text that leaves shall not wait for the models to load.
                parts.threads.submit(_warm, parts.language)
        _ready(parts, what, workers)
        await stopped.wait()
        _log.info("stopping")


async def unless_stopped(starting: Coroutine[Any, Any, T], stopped: asyncio.Event) -> T | None:
    """What ``starting`` returns; None where this process is told to stop before: models that are
    made ready at the start take minutes each."""
    start, stop = asyncio.create_task(starting), asyncio.create_task(stopped.wait())
    await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    if start.done():
        return start.result()
    start.cancel()
    await asyncio.wait({start})
    return None


async def _gpu(
    client: Client, parts: Parts, lease: DeviceLease
) -> AbstractAsyncContextManager[Worker]:
    # Loopback is shared by every user of the host; the model's server is not.
    given = parts.settings.local_api_key
    api_key = given.get_secret_value() if given else secrets.token_urlsafe()
    runtime = await open_runtime(parts, lease, api_key)
    return gpu_worker(client, parts, runtime, served_models(parts.library.of_this_host), api_key)


async def _serve_gateway(
    settings: Settings, client: Client, parts: Parts, stopped: asyncio.Event
) -> None:
    # Imported here: no worker of a queue loads the web framework.
    from workers.gateway import build_gateway, serve_gateway

    def ready(url: str) -> None:
        _run_folder(settings).joinpath("gateway.url").write_text(url)
        _mark_ready(settings, GATEWAY)

    gateway = build_gateway(client, parts, _with_temporal_ui(settings))
    await serve_gateway(gateway, settings.gateway, stopped, ready)


def _with_temporal_ui(settings: Settings) -> GatewaySettings:
    """The gateway's settings, with the UI of the server that `pointwork up` runs."""
    gateway = settings.gateway
    if gateway.temporal_ui_url or settings.temporal_address is not None:
        return gateway
    ui_url = read_endpoints(settings.state_dir).ui_url
    url = f"{ui_url}/namespaces/{settings.temporal_namespace}"
    return gateway.model_copy(update={"temporal_ui_url": url})


def _warm(language: LanguageHost) -> None:
    try:
        language.warm()
    except LanguageUnavailableError as error:
        _log.error("text that is redacted cannot leave: %s", error)


async def _tracing(settings: Settings, stack: AsyncExitStack) -> list[Interceptor]:
    """Traces to the collector of the settings, sent to the last one when the stack is left."""
    if settings.otlp_endpoint is None:
        return []
    # Imported here: without a collector no process loads the tracing libraries.
    from workers.otlp import OtlpExporter
    from workers.tracing import TaskTracing, tracer_provider

    try:
        exporter = OtlpExporter(settings.otlp_endpoint)
    except ValueError as error:
        msg = f"POINTWORK_OTLP_ENDPOINT cannot be used: {error}"
        raise ValueError(msg) from None
    provider = tracer_provider(exporter)
    stack.push_async_callback(asyncio.to_thread, provider.shutdown)
    return [TaskTracing(provider)]


def _ready(parts: Parts, what: str, workers: list[Worker]) -> None:
    """Say on disk that the queues are served: ``run/<what>.ready`` holds our process id."""
    _mark_ready(parts.settings, what)
    _log.info("serving %s", ", ".join(sorted(worker.task_queue for worker in workers)))


def _mark_ready(settings: Settings, what: str) -> None:
    _run_folder(settings).joinpath(f"{what}.ready").write_text(str(os.getpid()))


def _run_folder(settings: Settings) -> Path:
    folder = settings.state_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
