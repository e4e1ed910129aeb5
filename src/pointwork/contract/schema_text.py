"""What a detector has to read of a schema: it is sent with the prompt, and nothing redacts it."""

import json
from collections.abc import Iterator

from pointwork.contract.prompt import AnswerSchema


def schema_text(schema: AnswerSchema) -> str:
    """The schema as it is sent, where a key stands before its value, and without JSON's escapes."""
    return "\n".join((json.dumps(schema, ensure_ascii=False), *_words_of(schema)))


def _words_of(value: object) -> Iterator[str]:
    match value:
        case dict():
            for key, held in value.items():
                yield str(key)
                yield from _words_of(held)
        case list():
            for each in value:
                yield from _words_of(each)
        case str():
            yield value
