"""When an answer comes from the model that was asked, and when a meter is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.providers.metering import metered
from pointwork.providers.reading import is_same_model, is_same_model_or_dated


@pytest.mark.parametrize(
    ("requested", "served", "is_same"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-3.5-turbo", "gpt-3.5-turbo-0125", True),
        ("claude-sonnet-4-6", "claude-sonnet-4-6-20260201", True),
        ("gemini-2.0-flash", "gemini-2.0-flash-001", True),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4o-mini", "gpt-4o", False),
        ("gpt-4o-2024-08-06", "gpt-4o", False),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-11-20", False),
        ("gpt-4o", "gpt-4o-2024-08-06-preview", False),
        ("gpt-4", "gpt-4-32k", False),
        ("gpt-4o", "GPT-4o", False),
        ("claude-opus-4", "claude-opus-4-1", False),
    ],
)
def test_a_model_is_itself_or_itself_with_a_date(
    requested: str, served: str, is_same: bool
) -> None:
    assert is_same_model_or_dated(requested, served) is is_same
    assert is_same_model(requested, served) is (requested == served)


counts = st.integers(-5, 1000)


@given(given_=counts, made=counts, cached=counts, written=counts, reasoned=counts)
def test_a_usage_never_says_less_than_its_parts(
    given_: int, made: int, cached: int, written: int, reasoned: int
) -> None:
    usage = metered(
        input_tokens=given_,
        output_tokens=made,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoned,
    )
    if usage is not None:
        assert usage.input_tokens >= max(1, usage.cached_input_tokens + usage.cache_write_tokens)
        assert usage.output_tokens >= usage.reasoning_tokens >= 0
    else:
        assert min(given_ - 1, made, cached, written, reasoned) < 0 or (
            cached + written > given_ or reasoned > made
        )
