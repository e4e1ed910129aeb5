"""In what the endpoints that speak OpenAI's Chat Completions differ, as data."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from pointwork.providers.reading import ModelMatch, is_same_model, is_same_model_or_dated

_EVERY_MODEL = re.compile(r".*")
_NO_MODEL = re.compile(r"(?!)")


class TokenLimitField(StrEnum):
    """The name under which ``max_output_tokens`` is sent."""

    MAX_TOKENS = "max_tokens"
    MAX_COMPLETION_TOKENS = "max_completion_tokens"


class SchemaForm(StrEnum):
    """How a JSON schema of the answer is sent."""

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    """The endpoint knows JSON but no schema: the schema is added to the system turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """The facts of one kind of endpoint."""

    token_limit: TokenLimitField = TokenLimitField.MAX_TOKENS
    schema_form: SchemaForm = SchemaForm.JSON_SCHEMA
    is_requested_model: ModelMatch = is_same_model
    sampling_models: re.Pattern[str] = _EVERY_MODEL
    """Models that take ``temperature``; to the others it is not sent, as they refuse the call."""
    temperature_max: float = 2.0
    """A higher wish is cut to this, which is the same end of a shorter scale."""
    takes_seed: bool = True
    takes_effort: bool = False
    """Whether ``reasoning_effort`` is understood."""
    takes_strict: bool = False
    """Whether a tool may say that its arguments must keep to its schema."""
    takes_named_tool: bool = True
    """Whether ``tool_choice`` may name a tool; else that tool alone is offered, and required."""
    relayed_models: re.Pattern[str] = _NO_MODEL
    """Models a local server would pass on to a cloud: refused before a byte leaves (design 6)."""
    tells_relays: bool = False
    """Whether the server says where a model runs, and is to be asked before the first call."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    seeded_body: Mapping[str, Any] = field(default_factory=dict)
    """Sent as well with a seed, so that the same seed gives the same answer (CX-13)."""


OPENAI = Dialect(
    token_limit=TokenLimitField.MAX_COMPLETION_TOKENS,
    is_requested_model=is_same_model_or_dated,
    # Reasoning models answer 400 to any temperature but 1.
    sampling_models=re.compile(r"(chatgpt-4o|gpt-3\.5|gpt-4).*"),
    takes_effort=True,
    takes_strict=True,
    # Left out, the project's own setting decides, and may be a tier dearer than the price held.
    extra_body=MappingProxyType({"service_tier": "default"}),
)
DEEPSEEK = Dialect(schema_form=SchemaForm.JSON_OBJECT, takes_seed=False)
MOONSHOT = Dialect(
    schema_form=SchemaForm.JSON_OBJECT,
    is_requested_model=is_same_model_or_dated,
    temperature_max=1.0,
    takes_seed=False,
)
XAI = Dialect(
    token_limit=TokenLimitField.MAX_COMPLETION_TOKENS, is_requested_model=is_same_model_or_dated
)
OPENROUTER = Dialect(
    is_requested_model=is_same_model_or_dated,
    takes_strict=True,
    # With require_parameters a temperature these do not take would leave no host to serve them.
    sampling_models=re.compile(
        r"(?!openai/(o\d|gpt-[5-9])"
        r"|anthropic/claude-(opus-4\.[78]|fable|mythos|\w+-[5-9])).*"
    ),
    # A relay drops what a model cannot do, and may pick a host that keeps prompts, unless told.
    extra_body=MappingProxyType(
        {"provider": {"require_parameters": True, "data_collection": "deny"}}
    ),
)
VLLM = Dialect()
LLAMA_CPP = Dialect(
    # Its server reads an object there as if nothing were said.
    takes_named_tool=False,
    # What it kept of the prompt before is read in other batches, whose last digits differ: of long
    # prompts every answer was another one (measured).
    seeded_body=MappingProxyType({"cache_prompt": False}),
)
OLLAMA = Dialect(
    takes_named_tool=False,
    relayed_models=re.compile(r".*[:-]cloud", re.IGNORECASE),
    tells_relays=True,
)
