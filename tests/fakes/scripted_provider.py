"""A provider that answers as the test wrote it down, task by task and call by call."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.contract.tools import ToolCall
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    ProviderError,
)


@dataclass(frozen=True)
class Says:
    """Answer with this text."""

    text: str = "A plain answer."
    served_model: str | None = None
    usage: TokenUsage | None = field(
        default_factory=lambda: TokenUsage(input_tokens=20, output_tokens=10)
    )
    tool_calls: tuple[ToolCall, ...] = ()
    local_run: LocalRun | None = None


@dataclass(frozen=True)
class Fails:
    """Fail in this way."""

    kind: ProviderFailureKind
    retry_after_seconds: int | None = None
    usage: TokenUsage | None = None


@dataclass(frozen=True)
class Hangs:
    """Take the call and never answer, until it is cancelled."""


@dataclass(frozen=True)
class Meets:
    """Take part in ``then`` once this many calls of the task are under way at the same time."""

    calls: int
    then: Says | Fails = field(default_factory=Says)


@dataclass(frozen=True)
class Writes:
    """Write the beginning of an answer, wait until the test lets it go on, then do ``then``."""

    pieces: tuple[str, ...]
    then: Says | Fails | Hangs = field(default_factory=Says)


Step = Says | Fails | Hangs | Meets | Writes


@dataclass
class Call:
    endpoint: str
    request: CompletionRequest


class Script:
    """What each task's calls meet, in order; past the end of its list a task gets ``Says()``."""

    def __init__(self) -> None:
        self._steps: dict[str, list[Step]] = {}
        self._steps_at: dict[tuple[str, str], list[Step]] = {}
        self.calls: dict[str, list[Call]] = defaultdict(list)
        self._called: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._go_on: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))

    def write(self, task_id: str, *steps: Step) -> None:
        self._steps[task_id] = list(steps)

    def write_at(self, task_id: str, endpoint: str, *steps: Step) -> None:
        """What the task's calls to one endpoint meet, where several are called at once."""
        self._steps_at[task_id, endpoint] = list(steps)

    def next(self, call: Call) -> Step:
        task_id = call.request.request_id.split("/")[0]
        self.calls[task_id].append(call)
        self._called[task_id].set()
        at_endpoint = self._steps_at.get((task_id, call.endpoint))
        remaining = at_endpoint if at_endpoint is not None else self._steps.get(task_id, [])
        if len(remaining) == 1 and isinstance(remaining[0], Hangs):
            # A call that a stalled machine loses is made again, and hangs again.
            return remaining[0]
        return remaining.pop(0) if remaining else Says()

    def let_go_on(self, task_id: str) -> None:
        """Let what the task's next call writes come to its end."""
        self._go_on[task_id].release()

    async def may_go_on(self, task_id: str) -> None:
        await self._go_on[task_id].acquire()

    async def called(self, task_id: str) -> None:
        """Return once the task's first call has arrived."""
        async with asyncio.timeout(60):
            await self._called[task_id].wait()

    async def met(self, task_id: str, calls: int) -> None:
        """Return once ``calls`` calls of the task have arrived."""
        async with asyncio.timeout(60):
            while len(self.calls[task_id]) < calls:
                await asyncio.sleep(0.01)


class ScriptedProvider:
    def __init__(self, endpoint: str, script: Script) -> None:
        self._endpoint = endpoint
        self._script = script

    async def complete(
        self, request: CompletionRequest, on_progress: OnProgress | None = None
    ) -> CompletionResponse:
        step = self._script.next(Call(self._endpoint, request))
        if isinstance(step, Meets):
            await self._script.met(request.request_id.split("/")[0], step.calls)
            step = step.then
        written = ""
        if isinstance(step, Writes):
            for piece in step.pieces:
                _write(request, piece)
            await self._script.may_go_on(request.request_id.split("/")[0])
            written, step = "".join(step.pieces), step.then
        match step:
            case Fails():
                raise ProviderError(
                    step.kind,
                    f"{self._endpoint} failed as scripted",
                    retry_after_seconds=step.retry_after_seconds,
                    usage=step.usage,
                )
            case Hangs():
                await asyncio.Event().wait()
                raise AssertionError("unreachable")
            case Says():
                _write(request, step.text.removeprefix(written))
                return CompletionResponse(
                    text=step.text,
                    served_model=step.served_model or request.model,
                    finish_reason=(
                        FinishReason.TOOL_CALL if step.tool_calls else FinishReason.STOP
                    ),
                    usage=step.usage,
                    tool_calls=step.tool_calls,
                    local_run=step.local_run,
                )

    async def aclose(self) -> None:
        return None


def _write(request: CompletionRequest, piece: str) -> None:
    if request.on_text is not None and piece:
        request.on_text(piece)
