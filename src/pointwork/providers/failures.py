"""From a vendor's refusal to one of our words. Vendors echo prompts in error bodies, so a body is
read for its codes here and nothing of it is kept."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import TokenUsage
from pointwork.providers.port import ProviderError

RETRY_AFTER_SECONDS_MAX = 3600
"""A longer wish of a vendor is cut to this; the policy decides about longer pauses."""

_REQUEST_ID_HEADERS = ("x-request-id", "request-id")
_DEPTH_MAX = 6
_CODE_KEYS = frozenset({"code", "type", "status", "reason", "quotaId"})

# The first row that matches decides. A specific word stands before the vague one it comes with:
# an OpenAI 429 with insufficient_quota also has a type, a Google one for a day also has a status.
_KIND_BY_CODE: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (
        re.compile(
            r"insufficient_quota|insufficient_balance|billing_error|billing_hard_limit_reached"
            r"|exceeded_current_quota_error|\w*PerDay\w*(-\w+)?",
            re.IGNORECASE,
        ),
        Kind.QUOTA_EXHAUSTED,
    ),
    (
        re.compile(
            r"content_filter|content_policy_violation|moderation_blocked|flagged_input"
            r"|responsible_ai_policy_violation",
            re.IGNORECASE,
        ),
        Kind.CONTENT_FILTERED,
    ),
    (
        re.compile(
            r"context_length_exceeded|exceed_context_size_error|request_too_large"
            r"|string_above_max_length",
            re.IGNORECASE,
        ),
        Kind.CONTEXT_TOO_LONG,
    ),
    (re.compile(r"model_not_found|not_found_error", re.IGNORECASE), Kind.MODEL_NOT_FOUND),
    (
        re.compile(
            r"invalid_api_key|api_key_invalid|authentication_error|invalid_authentication_error"
            r"|permission_error|unauthenticated|permission_denied",
            re.IGNORECASE,
        ),
        Kind.AUTHENTICATION_FAILED,
    ),
    (
        re.compile(r"overloaded_error|engine_overloaded_error|unavailable", re.IGNORECASE),
        Kind.OVERLOADED,
    ),
    (
        re.compile(
            r"rate_limit_error|rate_limit_exceeded|rate_limit_reached_error|resource_exhausted",
            re.IGNORECASE,
        ),
        Kind.RATE_LIMITED,
    ),
    (re.compile(r"timeout_error|deadline_exceeded", re.IGNORECASE), Kind.TIMEOUT),
)

# Three vendors say these two only in prose.
_SAYS_TOO_LONG = re.compile(
    r"prompt is too long|maximum context|context (length|window|size)"
    r"|input token count.{0,40}exceeds",
    re.IGNORECASE,
)
_SAYS_NO_CREDIT = re.compile(r"credit balance is too low|insufficient (balance|credits)", re.I)

_KIND_BY_STATUS: Mapping[int, Kind] = {
    401: Kind.AUTHENTICATION_FAILED,
    402: Kind.QUOTA_EXHAUSTED,
    403: Kind.AUTHENTICATION_FAILED,
    404: Kind.MODEL_NOT_FOUND,
    408: Kind.TIMEOUT,
    409: Kind.OVERLOADED,
    413: Kind.CONTEXT_TOO_LONG,
    429: Kind.RATE_LIMITED,
    504: Kind.TIMEOUT,
    524: Kind.TIMEOUT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """What a vendor's error says, without its text."""

    kind: Kind
    retry_after_seconds: int | None


def provider_error(
    endpoint: str,
    kind: Kind,
    *,
    status: int | None = None,
    retry_after_seconds: int | None = None,
    usage: TokenUsage | None = None,
    provider_request_id: str = "",
) -> ProviderError:
    """A failure whose text is the endpoint, the kind and the status, and nothing else."""
    answered = "" if status is None else f" (HTTP {status})"
    return ProviderError(
        kind,
        f"{endpoint}: {kind}{answered}",
        retry_after_seconds=retry_after_seconds,
        usage=usage,
        provider_request_id=provider_request_id,
    )


def refusal_of(status: int | None, headers: Mapping[str, str], body: object) -> Refusal:
    """Read a vendor's error. ``status`` is None, or 2xx, for an error inside a stream (JG-40)."""
    codes = frozenset(_codes(body))
    prose = "\n".join(_messages(body))
    return Refusal(
        kind=_kind(status, codes, prose),
        retry_after_seconds=retry_after_seconds(headers, body, datetime.now(UTC)),
    )


def _kind(status: int | None, codes: frozenset[str], prose: str) -> Kind:
    for pattern, kind in _KIND_BY_CODE:
        if any(pattern.fullmatch(code) for code in codes):
            return kind
    if _SAYS_NO_CREDIT.search(prose):
        return Kind.QUOTA_EXHAUSTED
    effective = status if status is not None and status >= 300 else _status_among(codes)
    if effective is None:
        return Kind.STREAM_INTERRUPTED
    if effective in (400, 413, 422) and _SAYS_TOO_LONG.search(prose):
        return Kind.CONTEXT_TOO_LONG
    return _kind_of_status(effective)


def _kind_of_status(status: int) -> Kind:
    if status in _KIND_BY_STATUS:
        return _KIND_BY_STATUS[status]
    if status >= 500:
        return Kind.OVERLOADED
    if status >= 400:
        return Kind.INVALID_REQUEST
    # A redirect: it is not followed, and whatever gave it is no model.
    return Kind.CONNECTION_FAILED


def _status_among(codes: frozenset[str]) -> int | None:
    statuses = [int(code) for code in codes if re.fullmatch(r"[45]\d\d", code)]
    return min(statuses, default=None)


def retry_after_seconds(headers: Mapping[str, str], body: object, now: datetime) -> int | None:
    """Seconds the vendor asks us to wait, rounded up and capped; None where it names none.

    Reads ``retry-after`` as seconds or as an HTTP date, ``retry-after-ms``, and the ``retryDelay``
    that Google writes into the body.
    """
    delay_seconds = _milliseconds(headers.get("retry-after-ms", ""))
    if delay_seconds is None:
        delay_seconds = _seconds_or_date(headers.get("retry-after", ""), now)
    if delay_seconds is None:
        delay_seconds = next(_retry_delays(body), None)
    if delay_seconds is None:
        return None
    return min(max(math.ceil(delay_seconds), 0), RETRY_AFTER_SECONDS_MAX)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", text.strip(), re.ASCII) else None


def _milliseconds(text: str) -> float | None:
    number = _number(text)
    return None if number is None else number / 1000


def _seconds_or_date(text: str, now: datetime) -> float | None:
    number = _number(text)
    if number is not None:
        return number
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - now).total_seconds()


def _retry_delays(body: object) -> Iterator[float]:
    for key, value in _leaves(body):
        if key == "retryDelay" and isinstance(value, str):
            number = _number(value.removesuffix("s"))
            if number is not None:
                yield number


def _codes(body: object) -> Iterator[str]:
    for key, value in _leaves(body):
        if key in _CODE_KEYS and isinstance(value, str | int):
            yield str(value)
        if key == "flagged_input":
            yield key


def _messages(body: object) -> Iterator[str]:
    for key, value in _leaves(body):
        if key in ("message", "error", "") and isinstance(value, str):
            yield value


def _leaves(body: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, object]]:
    """Every value that is no object or list, with the key it stands under."""
    if depth > _DEPTH_MAX:
        return
    if isinstance(body, Mapping):
        for name, value in body.items():
            yield from _leaves(value, str(name), depth + 1)
    elif isinstance(body, list):
        for value in body:
            yield from _leaves(value, key, depth + 1)
    else:
        yield key, body


def provider_request_id(headers: Mapping[str, str]) -> str:
    """The vendor's own id of a call, for a support case; empty where it gives none."""
    for name in _REQUEST_ID_HEADERS:
        value = headers.get(name, "")
        if re.fullmatch(r"[\w.:=/+-]{1,128}", value, re.ASCII):
            return value
    return ""
