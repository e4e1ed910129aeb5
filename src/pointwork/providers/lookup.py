"""What became of a call: asked of the vendor's own records, where its API keeps any (design 5).

A vendor that keeps records knows what a call cost although its answer never arrived. It is asked
with the vendor's id of the call, which is committed before the answer is read, or with our id of
the attempt. What is not plainly the record of this call is no record: the charge stays in full.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Annotated, Protocol

import httpx2
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pointwork.contract.money import NANO_PER_USD
from pointwork.contract.outcome import TokenUsage
from pointwork.providers.departure import clear_lookup
from pointwork.providers.egress import http_client, single_exchange
from pointwork.providers.metering import metered
from pointwork.providers.openai_usage import token_usage
from pointwork.providers.origin import Origin

LOOKUP_SECONDS_MAX = 20.0
"""One question, connect to last byte."""
ATTEMPT_KEY = "pointwork_attempt"
"""Under which a stored completion carries our id of the attempt."""
COST_USD_MAX = 9_000_000
"""More than any call can cost: a figure beyond it is no price."""

_CALL_ID = re.compile(r"[\w-]{1,128}", re.ASCII)


class LookupKind(StrEnum):
    """Which records an endpoint keeps."""

    OPENROUTER_GENERATION = "openrouter_generation"
    """``GET /generation?id=``: kept for every call, without its text."""
    OPENAI_STORED = "openai_stored"
    """``GET /chat/completions/{id}``: kept because ``store`` asks for it, with the text."""


class Verdict(StrEnum):
    """What a look-up came to."""

    FOUND = "found"
    NOT_FOUND = "not_found"
    """There is no such record, or not yet: vendors write some seconds after the answer."""
    CANNOT_TELL = "cannot_tell"
    """The vendor was not reached, or what it said is not plainly the record of this call."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRecord:
    """The vendor's record of one call; FOUND has a cost in nano-USD, or a usage to price."""

    verdict: Verdict
    source: LookupKind
    cost_nano_usd: int | None = None
    usage: TokenUsage | None = None

    @property
    def is_found(self) -> bool:
        return self.verdict is Verdict.FOUND


class CallLookup(Protocol):
    """The records of one endpoint."""

    async def find(self, provider_request_id: str, attempt_id: str) -> CallRecord:
        """Ask once for one call; ``provider_request_id`` is empty where it never became known.

        It never raises: what went wrong is CANNOT_TELL.
        """
        ...

    async def aclose(self) -> None: ...


def call_id_of(stated: str) -> str:
    """``stated``, where it is fit to be an id in an address; else empty."""
    return stated if _CALL_ID.fullmatch(stated) else ""


def open_lookup(
    kind: LookupKind,
    base_url: str,
    api_key: str | None,
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> CallLookup:
    """The records of the endpoint at ``base_url``; ``transport`` replaces the network in tests.

    Raises:
        ValueError: ``base_url`` is not an origin that may be called, or the key cannot be sent.
    """
    records = _Records(kind, base_url, api_key, transport)
    match kind:
        case LookupKind.OPENROUTER_GENERATION:
            return OpenRouterGenerations(records)
        case LookupKind.OPENAI_STORED:
            return StoredCompletions(records)


class _Records:
    """One question to one endpoint, under a deadline, through the one door out."""

    def __init__(
        self,
        kind: LookupKind,
        base_url: str,
        api_key: str | None,
        transport: httpx2.AsyncBaseTransport | None,
    ) -> None:
        self.kind = kind
        self._clearance = clear_lookup(str(Origin.of(base_url)))
        credential = None if api_key is None else ("authorization", f"Bearer {api_key}")
        self._client = http_client(
            base_url,
            credential=credential,
            read_timeout_seconds=LOOKUP_SECONDS_MAX,
            transport=transport,
        )

    async def get(self, path: str, query: Mapping[str, str]) -> object:
        """The answer's JSON with exact decimals; NOT_FOUND for a 404, CANNOT_TELL otherwise."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS_MAX), single_exchange(self._clearance):
                response = await self._client.get(path, params=dict(query))
                if response.status_code == httpx2.codes.NOT_FOUND:
                    return Verdict.NOT_FOUND
                if response.status_code != httpx2.codes.OK:
                    return Verdict.CANNOT_TELL
                return json.loads(response.content, parse_float=Decimal)
        except (httpx2.HTTPError, TimeoutError, ValueError, RecursionError):
            return Verdict.CANNOT_TELL

    def without(self, verdict: Verdict) -> CallRecord:
        return CallRecord(verdict=verdict, source=self.kind)

    async def aclose(self) -> None:
        await self._client.aclose()


class OpenRouterGenerations:
    """OpenRouter's generations: what it charged, and the tokens the serving host counted."""

    def __init__(self, records: _Records) -> None:
        self._records = records

    async def find(self, provider_request_id: str, attempt_id: str) -> CallRecord:
        if not call_id_of(provider_request_id):
            return self._records.without(Verdict.CANNOT_TELL)
        found = await self._records.get("generation", {"id": provider_request_id})
        if isinstance(found, Verdict):
            return self._records.without(found)
        try:
            generation = _GenerationEnvelope.model_validate(found).data
        except ValidationError:
            return self._records.without(Verdict.CANNOT_TELL)
        cost_usd = generation.charged_usd
        if generation.id != provider_request_id or cost_usd is None:
            return self._records.without(Verdict.CANNOT_TELL)
        return CallRecord(
            verdict=Verdict.FOUND,
            source=self._records.kind,
            cost_nano_usd=_nano_usd(cost_usd),
            usage=generation.usage_counted,
        )

    async def aclose(self) -> None:
        await self._records.aclose()


class StoredCompletions:
    """OpenAI's stored completions: the usage of a call that asked to be kept."""

    def __init__(self, records: _Records) -> None:
        self._records = records

    async def find(self, provider_request_id: str, attempt_id: str) -> CallRecord:
        call_id = call_id_of(provider_request_id)
        if call_id:
            found = await self._records.get(f"chat/completions/{call_id}", {})
        else:
            found = await self._only_one_of(attempt_id)
        if isinstance(found, Verdict):
            return self._records.without(found)
        try:
            stored = _Stored.model_validate(found)
        except ValidationError:
            return self._records.without(Verdict.CANNOT_TELL)
        usage = token_usage(stored.usage)
        if usage is None or (stored.metadata or {}).get(ATTEMPT_KEY) != attempt_id:
            return self._records.without(Verdict.CANNOT_TELL)
        return CallRecord(verdict=Verdict.FOUND, source=self._records.kind, usage=usage)

    async def _only_one_of(self, attempt_id: str) -> object:
        """The one completion stored under our id; two would be two charges, so neither is told."""
        query = {f"metadata[{ATTEMPT_KEY}]": attempt_id, "limit": "2"}
        listed = await self._records.get("chat/completions", query)
        if isinstance(listed, Verdict):
            return listed
        try:
            page = _StoredPage.model_validate(listed)
        except ValidationError:
            return Verdict.CANNOT_TELL
        match page.data:
            case []:
                return Verdict.NOT_FOUND
            case [one]:
                return one
            case _:
                return Verdict.CANNOT_TELL

    async def aclose(self) -> None:
        await self._records.aclose()


class _Wire(BaseModel):
    model_config = ConfigDict(extra="ignore")


_Usd = Annotated[Decimal, Field(ge=0, le=COST_USD_MAX, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]


class _Generation(_Wire):
    id: str
    total_cost: _Usd | None = None
    is_byok: bool | None = None
    upstream_inference_cost: _Usd | None = None
    """What the maker charges the key's owner directly, where the key is their own."""
    native_tokens_prompt: _Count | None = None
    native_tokens_completion: _Count | None = None
    native_tokens_cached: _Count | None = None
    native_tokens_reasoning: _Count | None = None

    @property
    def charged_usd(self) -> Decimal | None:
        """Both bills of the call; None while one of them is not known."""
        if not self.is_byok or self.total_cost is None:
            return self.total_cost
        if self.upstream_inference_cost is None:
            return None
        return self.total_cost + self.upstream_inference_cost

    @property
    def usage_counted(self) -> TokenUsage | None:
        if self.native_tokens_prompt is None or self.native_tokens_completion is None:
            return None
        return metered(
            input_tokens=self.native_tokens_prompt,
            output_tokens=self.native_tokens_completion,
            cached_input_tokens=self.native_tokens_cached or 0,
            reasoning_tokens=self.native_tokens_reasoning or 0,
        )


class _GenerationEnvelope(_Wire):
    data: _Generation


class _Stored(_Wire):
    usage: object = None
    metadata: dict[str, str] | None = None


class _StoredPage(_Wire):
    data: list[object]


def _nano_usd(amount_usd: Decimal) -> int:
    """Rounded up: a fraction of a nano-USD is never left out of a charge."""
    return int((amount_usd * NANO_PER_USD).to_integral_value(rounding=ROUND_CEILING))
