"""What the driver says of this host's card, and where that is not what is on record (CX-75)."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from pointwork.policy.documents.catalogue import Gpu

_TIMEOUT_SECONDS = 20
_MEMORY_TOLERANCE = 0.02
"""Of the record: the driver keeps some hundred MB of the card to itself and does not count them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """One card, as its driver describes it."""

    name: str
    vram_mb: int
    driver: str
    cuda: str
    """The latest CUDA that the driver serves."""


class CardUnreadableError(Exception):
    """No card could be read. The text says why."""


ReadCards = Callable[[], list[Card]]


def read_cards(program: str = "nvidia-smi") -> list[Card]:
    """Every card of this host; it takes up to some seconds.

    Raises:
        CardUnreadableError: there is no driver, or it does not answer.
    """
    path = shutil.which(program)
    if path is None:
        msg = f"{program} is not installed"
        raise CardUnreadableError(msg)
    try:
        said = subprocess.run(
            [path, "-q", "-x"], check=True, capture_output=True, timeout=_TIMEOUT_SECONDS
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        msg = f"{program} failed ({type(error).__name__})"
        raise CardUnreadableError(msg) from error
    return _cards(said, program)


def drift(record: Gpu, cards: list[Card]) -> Iterator[str]:
    """What differs between the card on record and the host's one, a sentence each."""
    if len(cards) != 1:
        found = ", ".join(each.name for each in cards) or "none"
        yield f"gpu: one card is on record, and the host has {len(cards)} ({found})"
    if not cards:
        return
    card = next((each for each in cards if each.name == record.name), cards[0])
    for field in ("name", "driver", "cuda"):
        recorded, actual = getattr(record, field), getattr(card, field)
        if recorded != actual:
            yield f"gpu.{field}: {recorded} is on record, and the host has {actual}"
    if abs(card.vram_mb - record.vram_mb) > _MEMORY_TOLERANCE * record.vram_mb:
        yield f"gpu.vram_mb: {record.vram_mb} is on record, and the host has {card.vram_mb}"


def _cards(said: bytes, program: str) -> list[Card]:
    try:
        log = ElementTree.fromstring(said)
        driver, cuda = _text(log, "driver_version"), _text(log, "cuda_version")
        return [
            Card(
                name=_text(gpu, "product_name"),
                vram_mb=int(_text(gpu, "fb_memory_usage/total").removesuffix(" MiB")),
                driver=driver,
                cuda=cuda,
            )
            for gpu in log.findall("gpu")
        ]
    except (ElementTree.ParseError, ValueError) as error:
        msg = f"{program} answered in a form that is not known"
        raise CardUnreadableError(msg) from error


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.findtext(path)
    if not found:
        msg = f"{path} is missing"
        raise ValueError(msg)
    return found.strip()
