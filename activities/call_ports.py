"""What ``invoke-model`` reads and writes: ports, which the ledger and the vault fill."""

from datetime import datetime
from typing import Protocol

from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.outcome import FinishReason, Invocation, Invoke, Settlement, TokenUsage
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import ContentRef
from pointwork.contract.tools import ToolCall


class AttemptStart(Protocol):
    @property
    def attempt_id(self) -> str: ...
    @property
    def stored(self) -> Invocation | None: ...


class Attempts(Protocol):
    """The attempt rows. ``begin`` raises the error class handed to the activities beside it."""

    def begin(self, invoke: Invoke, part_id: str, now: datetime) -> AttemptStart: ...
    def note_request_id(self, attempt_id: str, provider_request_id: str) -> None: ...
    def finish(
        self,
        attempt_id: str,
        *,
        answer: bytes,
        media_type: str,
        served_model: str,
        finish_reason: FinishReason,
        usage: TokenUsage | None,
        cost_nano_usd: int,
        settlement: Settlement,
        duration_ms: int,
        provider_request_id: str,
        unknown_placeholders: int,
        local_run: LocalRun | None,
        now: datetime,
    ) -> Invocation: ...
    def fail(
        self,
        attempt_id: str,
        kind: ProviderFailureKind,
        cost_nano_usd: int,
        settlement: Settlement,
        duration_ms: int,
        now: datetime,
        local_run: LocalRun | None,
    ) -> None: ...


class EndpointHealth(Protocol):
    def record_endpoint(
        self,
        endpoint: str,
        ok: bool,
        kind: ProviderFailureKind | None,
        rate_limited_until: datetime | None,
        now: datetime,
    ) -> None: ...


class InvokeContent(Protocol):
    def prompt(self, task_id: str, ref: ContentRef) -> Prompt: ...
    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema: ...
    def placeholders(self, task_id: str, ref: ContentRef) -> bytes: ...
    def encode_answer(self, text: str, tool_calls: tuple[ToolCall, ...]) -> tuple[bytes, str]: ...


class AnswerContracts(Protocol):
    def schema(self, contract: str) -> AnswerSchema: ...
