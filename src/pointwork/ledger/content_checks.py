"""What a task's content must be before it is sealed, said in words its caller can act on."""

from collections.abc import Callable

from jsonschema import Draft202012Validator, SchemaError

from pointwork.contract.canonical import canonical_json
from pointwork.contract.failures import TaskRefusedError
from pointwork.contract.prompt import AnswerSchema, Prompt
from pointwork.contract.task import CONTENT_BYTES_MAX
from pointwork.ledger.content import encode_schema


def checked_prompt(prompt: Prompt) -> bytes:
    """The prompt as it is sealed.

    Raises:
        TaskRefusedError: it is empty, too large or no text, or a tool's parameters are no JSON
            Schema.
    """
    if not any(turn.whole_text.strip() for turn in prompt.turns) and not prompt.has_image:
        raise TaskRefusedError("the prompt is empty; give a text or an image")
    for at, tool in enumerate(prompt.tools):
        _check_schema(tool.parameters, f"tools.{at}.parameters")
    sealed = _written(lambda: canonical_json(prompt), "the prompt")
    if len(sealed) > CONTENT_BYTES_MAX:
        raise TaskRefusedError(
            f"the prompt has {len(sealed)} bytes, more than the {CONTENT_BYTES_MAX} a task may "
            "carry; shorten it or split it into several tasks"
        )
    return sealed


def _written(write: Callable[[], bytes], name: str) -> bytes:
    try:
        return write()
    except UnicodeEncodeError:
        # Half of a pair of surrogates: JSON can escape it, and no encoding of text can write it.
        raise TaskRefusedError(
            f"{name} holds half of a surrogate pair, which is no text; remove it"
        ) from None


def _check_schema(schema: AnswerSchema, name: str) -> None:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "top level"
        raise TaskRefusedError(
            f"{name} is no JSON Schema (draft 2020-12) at {place}; correct it"
        ) from None


def checked_schema(schema: AnswerSchema) -> bytes:
    """The schema of an answer as it is sealed.

    Raises:
        TaskRefusedError: it is too large, no text or no JSON Schema.
    """
    _check_schema(schema, "answer_schema")
    sealed = _written(lambda: encode_schema(schema), "answer_schema")
    if len(sealed) > CONTENT_BYTES_MAX:
        raise TaskRefusedError(
            f"answer_schema has {len(sealed)} bytes, more than the {CONTENT_BYTES_MAX} a task may "
            "carry; ask for less in one answer"
        )
    return sealed
