"""What we ask of one vLLM server, in its own words: sleep, wake, health, models, queue.

``/sleep``, ``/wake_up``, ``/is_sleeping``, ``/collective_rpc`` and ``/reset_prefix_cache`` are
there only for a server started with ``VLLM_SERVER_DEV_MODE=1``, and ask for no key.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Literal

from pointwork.local.loopback import PROBE_TIMEOUT_SECONDS, Answer, asked

SleepLevel = Literal[1, 2]
"""1 keeps the weights in the host's memory, 2 drops them and reads them again from disk."""

_POLL_SECONDS = 0.05
_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_SAMPLE = re.compile(r"^(?P<name>[\w:]+)(?:\{.*\})? (?P<value>\S+)", re.MULTILINE)


class SleepNotOfferedError(Exception):
    """The server has no sleep mode; it can only be stopped."""


class Health(Enum):
    WELL = auto()
    SLOW = auto()
    """It did not say in time; a server under load may be well all the same."""
    DEAD = auto()


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """Requests a server has in work and in its queue."""

    running: int
    waiting: int

    @property
    def is_empty(self) -> bool:
        return self.running == self.waiting == 0


class VllmApi:
    """One server at ``base_url`` (``http://127.0.0.1:PORT/v1``). Its methods raise OSError where
    it does not answer, or answers with an error."""

    def __init__(self, base_url: str, api_key: str = "") -> None:
        self.base_url = base_url
        self._api_key = api_key

    async def health(self) -> Health:
        try:
            answer = await asked(self.base_url, "/health")
        except TimeoutError:
            return Health.SLOW
        except OSError:
            return Health.DEAD
        return Health.WELL if answer.is_ok else Health.DEAD

    async def served_models(self) -> list[str]:
        """Every name it serves under, and those of adapters on its model."""
        answer = await self._got("/v1/models")
        try:
            return [str(entry["id"]) for entry in answer.json()["data"]]
        except (KeyError, TypeError):
            raise OSError("/v1/models of the local model's server lists no models") from None

    async def version(self) -> str:
        """vLLM's own version; empty where it does not tell."""
        answer = await asked(self.base_url, "/version")
        told = answer.json() if answer.is_ok else {}
        return str(told.get("version", "")) if isinstance(told, dict) else ""

    async def queue_depth(self) -> QueueDepth:
        """As ``/metrics`` counts at this moment, over all its engines."""
        text = (await self._got("/metrics")).body.decode(errors="replace")
        return QueueDepth(running=_sum(text, _RUNNING), waiting=_sum(text, _WAITING))

    async def is_sleeping(self) -> bool:
        """Whether any of its memory is put away, or its scheduling paused.

        Raises:
            SleepNotOfferedError: it has no sleep mode.
        """
        path = "/is_sleeping"
        answer = _expected(path, _offered(await asked(self.base_url, path))).json()
        if not isinstance(answer, dict) or not isinstance(answer.get("is_sleeping"), bool):
            raise OSError("/is_sleeping of the local model's server does not say yes or no")
        return bool(answer["is_sleeping"])

    async def sleep(self, level: SleepLevel, timeout_seconds: float) -> None:
        """Free the card's memory, and return when it is free.

        Requests in work are awaited by servers that can; older ones abort them, so see before
        that there are none.

        Raises:
            SleepNotOfferedError: it has no sleep mode.
        """
        await self._post(f"/sleep?level={level}&mode=wait", timeout_seconds)
        await self._until_sleeping(True, timeout_seconds)

    async def wake(self, level: SleepLevel, timeout_seconds: float) -> None:
        """Undo ``sleep`` of the same level, and return when the server serves.

        Raises:
            SleepNotOfferedError: it has no sleep mode.
        """
        if level == 1:
            await self._post("/wake_up", timeout_seconds)
        else:
            await self._post("/wake_up?tags=weights", timeout_seconds)
            await self._post("/collective_rpc", timeout_seconds, {"method": "reload_weights"})
            await self._post("/wake_up?tags=kv_cache", timeout_seconds)
            # What was cached belongs to memory that is gone.
            await self._post("/reset_prefix_cache", timeout_seconds)
        await self._until_sleeping(False, timeout_seconds)
        if await self.health() is Health.DEAD:
            raise OSError("the local model's server woke up unwell")

    async def _until_sleeping(self, wanted: bool, timeout_seconds: float) -> None:
        # The answer to /sleep and /wake_up may come before the work is done.
        deadline = time.monotonic() + timeout_seconds
        while await self.is_sleeping() is not wanted:
            if time.monotonic() >= deadline:
                state = "asleep" if wanted else "awake"
                raise OSError(f"the local model's server was not {state} in {timeout_seconds:g} s")
            await asyncio.sleep(_POLL_SECONDS)

    async def _got(self, path: str) -> Answer:
        return _expected(path, await asked(self.base_url, path, api_key=self._api_key))

    async def _post(self, path: str, timeout_seconds: float, body: object = None) -> None:
        answer = await asked(
            self.base_url,
            path,
            method="POST",
            body=body,
            timeout_seconds=max(timeout_seconds, PROBE_TIMEOUT_SECONDS),
        )
        _expected(path, _offered(answer))


def _offered(answer: Answer) -> Answer:
    if answer.status == HTTPStatus.NOT_FOUND:
        raise SleepNotOfferedError
    return answer


def _expected(path: str, answer: Answer) -> Answer:
    if not answer.is_ok:
        name = path.partition("?")[0]
        raise OSError(f"{name} of the local model's server answered {answer.status}")
    return answer


def _sum(metrics: str, name: str) -> int:
    values = [each["value"] for each in _SAMPLE.finditer(metrics) if each["name"] == name]
    try:
        if values:
            return int(sum(map(float, values)))
    except (ValueError, OverflowError):
        pass
    raise OSError(f"/metrics of the local model's server has no number for {name}")
