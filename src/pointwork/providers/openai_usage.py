"""The token meter of OpenAI's Chat Completions, as its many speakers fill it."""

from pydantic import BaseModel, ConfigDict, ValidationError

from pointwork.contract.outcome import TokenUsage
from pointwork.providers.metering import metered


class _Wire(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="ignore")


class _InputDetails(_Wire):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _OutputDetails(_Wire):
    reasoning_tokens: int | None = None


class _Usage(_Wire):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int = 0
    cached_tokens: int | None = None
    """Moonshot's place for it."""
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's."""
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


def token_usage(usage: object) -> TokenUsage | None:
    """Normalise; None for a meter that cannot be read, since the answer itself is whole."""
    try:
        counts = _Usage.model_validate(usage)
    except ValidationError:
        return None
    given = counts.prompt_tokens_details or _InputDetails()
    made = counts.completion_tokens_details or _OutputDetails()
    cached = given.cached_tokens or counts.cached_tokens or counts.prompt_cache_hit_tokens or 0
    return metered(
        input_tokens=counts.prompt_tokens,
        # xAI leaves reasoning out of completion_tokens, and charges for it; the total has it.
        output_tokens=max(counts.completion_tokens, counts.total_tokens - counts.prompt_tokens),
        cached_input_tokens=cached,
        cache_write_tokens=given.cache_write_tokens or 0,
        reasoning_tokens=made.reasoning_tokens or 0,
    )
