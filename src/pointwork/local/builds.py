"""Which weights a local model is, told by the weights themselves (CX-13)."""

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from pathlib import Path

from pointwork.contract.local_run import ModelBuild
from pointwork.local.runtime import LocalRuntime, RuntimeKind

RecordBuild = Callable[[str, ModelBuild], Awaitable[bool]]
"""Puts on record which build of a model is loaded; whether it is another than the last one."""

_WEIGHTS = "*.safetensors"

_logger = logging.getLogger(__name__)


def file_revision(path: Path) -> str:
    """``sha256:…`` of a file of weights, read once for as long as the file stays as it is.

    Raises:
        OSError: it cannot be read.
    """
    found = path.stat()
    return f"sha256:{_file_sha256(path, found.st_size, found.st_mtime_ns)}"


def folder_revision(folder: Path) -> str:
    """``sha256:…`` over every file of weights in a folder by name; empty where there is none.

    Raises:
        OSError: one cannot be read.
    """
    files = sorted(folder.glob(_WEIGHTS))
    listed = "".join(f"{each.name} {file_revision(each)}\n" for each in files)
    return f"sha256:{hashlib.sha256(listed.encode()).hexdigest()}" if files else ""


def folder_quantisation(folder: Path) -> str:
    """What ``config.json`` beside the weights says they are; empty where it says nothing."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    if not isinstance(said, dict):
        return ""
    quantised = said.get("quantization_config")
    method = quantised.get("quant_method") if isinstance(quantised, dict) else None
    return str(method or said.get("dtype") or said.get("torch_dtype") or "")


def cached_commit(source: str, revision: str, environment: Mapping[str, str]) -> str:
    """The commit that a branch or tag of a repository is in Hugging Face's cache of this host.

    What the cache does not know, a commit among it, is given back as it is.
    """
    home = environment.get("HF_HOME") or f"{environment.get('HOME', '')}/.cache/huggingface"
    hub = Path(environment.get("HF_HUB_CACHE") or f"{home}/hub")
    reference = hub / f"models--{source.replace('/', '--')}" / "refs" / (revision or "main")
    try:
        return reference.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return revision


@lru_cache(maxsize=256)
def _file_sha256(path: Path, size_bytes: int, changed_ns: int) -> str:
    """``size_bytes`` and ``changed_ns`` tell one state of the file from the next."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class RecordedRuntime:
    """``LocalRuntime`` whose every load is on record before anybody is served by it (CX-13)."""

    def __init__(self, inner: LocalRuntime, record: RecordBuild) -> None:
        self._inner = inner
        self._record = record
        self._is_unrecorded = False

    @property
    def kind(self) -> RuntimeKind:
        return self._inner.kind

    @property
    def build(self) -> ModelBuild | None:
        return self._inner.build

    def loaded(self) -> str | None:
        return None if self._is_unrecorded else self._inner.loaded()

    async def ensure_loaded(self, model: str) -> str:
        self._is_unrecorded = True
        base_url = await self._inner.ensure_loaded(model)
        build = self._inner.build
        if build is not None and await self._record(model, build):
            _logger.warning(
                "%s is another build than it was on this host: now %s; answers may differ",
                model,
                build.words,
            )
        self._is_unrecorded = False
        return base_url

    async def unload(self) -> None:
        await self._inner.unload()

    async def health(self) -> bool:
        return await self._inner.health()

    async def aclose(self) -> None:
        await self._inner.aclose()
