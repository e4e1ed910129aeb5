"""``invoke-model``: one call to one model, recorded before the first byte leaves the house."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.call_failures import (
    application_error,
    budget_exceeded,
    egress_refused,
    too_large,
)
from activities.call_ports import (
    AnswerContracts,
    Attempts,
    AttemptStart,
    EndpointHealth,
    InvokeContent,
)
from activities.heartbeats import HEARTBEAT_SECONDS, beating, to_its_end
from activities.restoring import Restorer, restored
from activities.showing import TokenSinks, shown
from activities.turns import give_up_at, in_turn, is_shutdown
from pointwork.contract.failures import ProviderFailureKind
from pointwork.contract.local_run import LocalRun
from pointwork.contract.money import usage_cost_nano_usd
from pointwork.contract.names import ActivityName
from pointwork.contract.outcome import (
    Invocation,
    InvocationFailure,
    Invoke,
    Settlement,
    TokenUsage,
)
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import CONTENT_BYTES_MAX, PRIORITY_STANDARD
from pointwork.failpoints import Failpoint, reach
from pointwork.providers.departure import Clearance, DepartureRefusedError
from pointwork.providers.port import (
    CompletionRequest,
    CompletionResponse,
    OnProgress,
    Provider,
    ProviderError,
)

HEALTH_EVERY = timedelta(seconds=5)
_NOT_SENT = ProviderFailureKind.CONNECTION_FAILED


class Door(Protocol):
    """Looks at every call at the moment of sending (``pointwork.providers.departure``)."""

    def clear(self, call: Invoke, prompt: Prompt, schema: AnswerSchema | None) -> Clearance | None:
        """Leave for the call; None for one that stays in the house.

        Raises:
            DepartureRefusedError: it must not be sent.
        """
        ...


Opened = tuple[CompletionRequest, bytes | None]
"""The call but for its attempt, and the placeholder mapping of a redacted prompt."""


@dataclass(slots=True)
class _Sending:
    """How far a call has come."""

    began: float
    """On the monotonic clock; the wait for a turn is part of what a call takes."""
    attempt_id: str = ""
    is_out: bool = False
    is_recorded: bool = False
    """How it ended is committed."""

    @property
    def is_open(self) -> bool:
        """Its attempt is on record and its end is not."""
        return bool(self.attempt_id) and not self.is_recorded

    @property
    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.began) * 1000)

    def cut(self) -> ProviderError:
        """What a cancel makes of it: nobody can have charged for what was not sent."""
        kind = ProviderFailureKind.STREAM_INTERRUPTED
        return ProviderError(kind if self.is_out else _NOT_SENT, "cancelled")


class InvokeActivities:
    def __init__(
        self,
        attempts: Attempts,
        content: InvokeContent,
        health: EndpointHealth,
        providers: Mapping[str, Provider],
        restorer: Restorer,
        contracts: AnswerContracts,
        budget_refused: type[Exception],
        door: Door,
        sinks: TokenSinks,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._attempts = attempts
        self._content = content
        self._health = health
        self._providers = providers
        self._restorer = restorer
        self._contracts = contracts
        self._budget_refused = budget_refused
        self._door = door
        self._sinks = sinks
        self._heartbeat_seconds = heartbeat_seconds
        self._well_at: dict[str, datetime] = {}

    @activity.defn(name=ActivityName.INVOKE_MODEL)
    async def invoke_model(self, call: Invoke) -> Invocation:
        """Call the candidate once; a repeat after a crash never hides the first call's cost.

        Raises:
            ApplicationError: its type is a ProviderFailureKind, or BUDGET_EXCEEDED where the hold
                does not cover a second call after a crash. Neither is retried by Temporal: the
                workflow decides what follows.
        """
        sending = _Sending(time.monotonic())
        try:
            # Until all is on record: a commit may take longer than a worker may be silent.
            async with beating(self._heartbeat_seconds) as on_progress:
                return await self._invoked(call, sending, on_progress)
        except asyncio.CancelledError:
            # Shut down it is as after a crash: whoever takes the task up sends it again.
            if sending.is_open and not is_shutdown():
                await to_its_end(self._fail, call, sending, sending.cut())
            raise

    async def _invoked(
        self, call: Invoke, sending: _Sending, on_progress: OnProgress
    ) -> Invocation:
        request, mapping = await asyncio.to_thread(self._open, call)
        try:
            async with in_turn(self._provider(call), request) as provider:
                response = await self._send(call, request, mapping, provider, on_progress, sending)
        except ProviderError as error:
            if not sending.attempt_id:
                # Never sent; on record all the same, as why the next candidate is asked.
                begun = await self._begin(call, request, sending)
                if isinstance(begun, Invocation):
                    return begun
            raise await self._failed(call, sending, error) from None
        if isinstance(response, Invocation):
            return response
        reach(Failpoint.AFTER_BODY)
        try:
            invocation = await to_its_end(self._finish, call, sending, response, mapping)
        except ProviderError as error:
            error.local_run = response.local_run
            raise await self._failed(call, sending, error) from None
        reach(Failpoint.BEFORE_ACTIVITY_RETURN)
        return invocation

    def _provider(self, call: Invoke) -> Provider:
        provider = self._providers.get(call.candidate.endpoint)
        if provider is None:
            raise ProviderError(
                ProviderFailureKind.AUTHENTICATION_FAILED,
                f"endpoint {call.candidate.endpoint} is not configured on this worker",
            )
        return provider

    async def _send(
        self,
        call: Invoke,
        request: CompletionRequest,
        mapping: bytes | None,
        provider: Provider,
        on_progress: OnProgress,
        sending: _Sending,
    ) -> CompletionResponse | Invocation:
        """Commit that the call is sent, then send it; or the answer of an earlier send.

        What it came to is committed elsewhere: here the turn of the endpoint is held.
        """
        begun = await self._begin(call, request, sending)
        if isinstance(begun, Invocation):
            return begun
        sending.is_out = True
        async with shown(self._sinks, call, begun, mapping, self._restorer) as showing:
            return await provider.complete(showing, on_progress)

    async def _failed(
        self, call: Invoke, sending: _Sending, error: ProviderError
    ) -> ApplicationError:
        """What the workflow is told of a failed call, which is on record by then."""
        failure = await to_its_end(self._fail, call, sending, error)
        await asyncio.to_thread(self._note_health, call, error)
        return application_error(failure, error)

    def _open(self, call: Invoke) -> Opened:
        prompt = self._content.prompt(call.task_id, call.content)
        schema: dict[str, Any] | None = None
        if call.answer_schema is not None:
            schema = self._content.answer_schema(call.task_id, call.answer_schema)
        elif call.contract is not None:
            schema = self._contracts.schema(call.contract)
        mapping: bytes | None = None
        if call.placeholders is not None:
            mapping = self._content.placeholders(call.task_id, call.placeholders)
        info = activity.info()
        request = CompletionRequest(
            model=call.candidate.served_as,
            prompt=prompt,
            max_output_tokens=call.candidate.max_output_tokens,
            temperature=call.temperature,
            timeout_seconds=call.candidate.timeout_seconds,
            request_id=_part_id(call),
            seed=call.seed,
            answer_schema=schema,
            effort=call.candidate.effort,
            priority=info.priority.priority_key or PRIORITY_STANDARD,
            queued_at=info.scheduled_time,
            give_up_at=give_up_at(info),
        )
        return request, mapping

    async def _begin(
        self, call: Invoke, request: CompletionRequest, sending: _Sending
    ) -> CompletionRequest | Invocation:
        """Commit that the call is sent; the answer of an earlier send where there is one.

        Raises:
            ApplicationError: the door or a budget refuses it.
        """

        def begin() -> tuple[AttemptStart, Clearance | None]:
            clearance = self._door.clear(call, request.prompt, request.answer_schema)
            return self._attempts.begin(call, _part_id(call), datetime.now(UTC)), clearance

        beginning = asyncio.ensure_future(asyncio.to_thread(begin))
        try:
            start, clearance = await asyncio.shield(beginning)
        except self._budget_refused as error:
            raise budget_exceeded(call, error) from None
        except DepartureRefusedError as error:
            raise egress_refused(call, _part_id(call), error) from None
        except asyncio.CancelledError:
            # The commit goes on in its thread, and an attempt that it began must not stay open.
            await asyncio.wait([beginning])
            if beginning.exception() is None and beginning.result()[0].stored is None:
                sending.attempt_id = beginning.result()[0].attempt_id
            raise
        if start.stored is not None:
            return start.stored
        sending.attempt_id = start.attempt_id

        async def note(call_id: str) -> None:
            await asyncio.to_thread(self._attempts.note_request_id, start.attempt_id, call_id)

        return replace(request, request_id=start.attempt_id, clearance=clearance, on_started=note)

    def _finish(
        self,
        call: Invoke,
        sending: _Sending,
        response: CompletionResponse,
        mapping: bytes | None,
    ) -> Invocation:
        """Commit the answer.

        Raises:
            ProviderError: it is larger than the vault takes, or its calls cannot be restored;
                nothing was committed.
        """
        text, calls, unknown_placeholders = restored(response, mapping, self._restorer)
        answer, media_type = self._content.encode_answer(text, calls)
        if len(answer) > CONTENT_BYTES_MAX:
            raise too_large(call, response, len(answer))
        cost_nano_usd, settlement = _cost(call, response.usage, response.local_run)
        now = datetime.now(UTC)
        invocation = self._attempts.finish(
            sending.attempt_id,
            answer=answer,
            media_type=media_type,
            served_model=response.served_model,
            finish_reason=response.finish_reason,
            usage=response.usage,
            cost_nano_usd=cost_nano_usd,
            settlement=settlement,
            duration_ms=sending.elapsed_ms,
            provider_request_id=response.provider_request_id,
            unknown_placeholders=unknown_placeholders,
            local_run=response.local_run,
            now=now,
        )
        sending.is_recorded = True
        self._note_success(call.candidate.endpoint, now)
        return invocation

    def _fail(self, call: Invoke, sending: _Sending, error: ProviderError) -> InvocationFailure:
        """A request that may have reached a meter is charged in full: AT_LEAST never refunds."""
        if error.usage is not None or _metered(error.local_run) is not None:
            cost_nano_usd, settlement = _cost(call, error.usage, error.local_run)
        elif error.kind.may_have_been_charged:
            cost_nano_usd, settlement = call.candidate.estimate_nano_usd, Settlement.AT_LEAST
        else:
            cost_nano_usd, settlement = 0, Settlement.EXACT
        self._attempts.fail(
            sending.attempt_id,
            error.kind,
            cost_nano_usd,
            settlement,
            sending.elapsed_ms,
            datetime.now(UTC),
            error.local_run,
        )
        sending.is_recorded = True
        return InvocationFailure(
            attempt_id=sending.attempt_id,
            model=call.candidate.model,
            kind=error.kind,
            retry_after_seconds=error.retry_after_seconds,
            cost_nano_usd=cost_nano_usd,
            settlement=settlement,
        )

    def _note_success(self, endpoint: str, now: datetime) -> None:
        """Good health is news once in a while, or after a failure; every call would be a read."""
        last = self._well_at.get(endpoint)
        if last is None or now - last > HEALTH_EVERY:
            self._health.record_endpoint(endpoint, True, None, None, now)
            self._well_at[endpoint] = now

    def _note_health(self, call: Invoke, error: ProviderError) -> None:
        """A caller's own cancel, or a request the endpoint rightly refused, is no ill health."""
        if not error.kind.blames_endpoint:
            return
        now, wait = datetime.now(UTC), error.retry_after_seconds
        until = now + timedelta(seconds=wait) if wait else None
        self._well_at.pop(call.candidate.endpoint, None)
        self._health.record_endpoint(call.candidate.endpoint, False, error.kind, until, now)


def _part_id(call: Invoke) -> str:
    return f"{call.task_id}/{call.number}"


def _metered(run: LocalRun | None) -> int | None:
    """What the electricity of a call cost, where it was metered."""
    return run.electricity_nano_usd if run is not None else None


def _cost(call: Invoke, usage: TokenUsage | None, run: LocalRun | None) -> tuple[int, Settlement]:
    """Electricity that was metered is the whole cost of a call in this house (CX-12)."""
    metered_nano_usd = _metered(run)
    if metered_nano_usd is not None:
        return metered_nano_usd, Settlement.EXACT
    if usage is None:
        return call.candidate.estimate_nano_usd, Settlement.AT_LEAST
    cost_nano_usd = usage_cost_nano_usd(
        call.candidate.prices,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    return cost_nano_usd, Settlement.EXACT
