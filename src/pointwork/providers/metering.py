"""Token counts as every vendor's meter gives them, brought to one meaning."""

from pointwork.contract.outcome import TokenUsage

TOKENS_MAX = 10_000_000
"""Of one call. No model takes or makes as many, so a meter that says more is out of order."""


def metered(
    *,
    input_tokens: int,
    output_tokens: int,
    cached_input_tokens: int = 0,
    cache_write_tokens: int = 0,
    reasoning_tokens: int = 0,
) -> TokenUsage | None:
    """The usage of one call, in tokens: input counts cached input, output counts reasoning (JG-41).

    None where the counts contradict themselves, pass ``TOKENS_MAX`` or count no input: an unknown
    usage is settled at its worst case, where a wrong one would refund money that is owed.
    """
    counts = (output_tokens, cached_input_tokens, cache_write_tokens, reasoning_tokens)
    if (
        input_tokens < 1
        or max(input_tokens, output_tokens) > TOKENS_MAX
        or min(counts) < 0
        or cached_input_tokens + cache_write_tokens > input_tokens
        or reasoning_tokens > output_tokens
    ):
        return None
    return TokenUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_input_tokens=cached_input_tokens,
        cache_write_tokens=cache_write_tokens,
        reasoning_tokens=reasoning_tokens,
    )
