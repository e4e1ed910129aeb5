"""One llama.cpp server in a process of its own: ``python -m pointwork.local.llama_server``.

It binds a free port on loopback, writes its address to ``--address-file`` when the model is
loaded, reads an API key (one line, may be empty) from stdin, and ends with its parent.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from pointwork.local.tether import die_with_parent

_PARENT_WATCH_SECONDS = 1.0
_LOG_WARNINGS = 2


def main() -> None:
    arguments = _parser().parse_args()
    die_with_parent(arguments.parent_pid)
    # Spinning OpenMP threads collapse on a busy machine: 120 tokens/s fall to 1 to 9 (measured).
    # The library reads this when it is loaded, so it is set before the import below.
    os.putenv("GOMP_SPINCOUNT", "0")
    api_key = sys.stdin.readline().strip()

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(arguments.model)
    parameters.model_alias = {arguments.alias}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    # The default lets every web page that a browser on this host shows use the model.
    parameters.cors_origins = "http://127.0.0.1"
    parameters.cors_origins_explicit = True
    parameters.n_ctx = arguments.context_tokens * arguments.parallel
    parameters.n_parallel = arguments.parallel
    parameters.cpuparams.n_threads = arguments.threads
    parameters.cpuparams_batch.n_threads = arguments.threads_batch
    # Without it the server refuses every request that offers tools.
    parameters.use_jinja = True
    parameters.verbosity = _LOG_WARNINGS
    # The slots endpoint shows the prompts in work; the page and the prompt store (8 GB by default)
    # serve nobody here.
    parameters.endpoint_slots = False
    parameters.ui = False
    parameters.cache_ram_mib = 0
    parameters.cache_idle_slots = False
    if api_key:
        parameters.api_keys = [api_key]

    server = xllamacpp.Server(parameters)
    _be_silent()
    _announce(arguments.address_file, server.listening_address)
    while not stop.wait(_PARENT_WATCH_SECONDS):
        if os.getppid() != arguments.parent_pid:
            break
    del server


def _be_silent() -> None:
    """Log no more: from now on there are prompts, and refusals quote what was refused."""
    sys.stdout.flush()
    sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def _announce(path: Path, address: str) -> None:
    draft = path.with_suffix(".part")
    draft.write_text(address, encoding="utf-8")
    draft.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="One llama.cpp server on a free loopback port.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--alias", required=True)
    parser.add_argument("--address-file", type=Path, required=True)
    parser.add_argument("--parent-pid", type=int, required=True)
    parser.add_argument("--context-tokens", type=int, required=True, help="per parallel request")
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--threads-batch", type=int, required=True)
    return parser


if __name__ == "__main__":
    main()
