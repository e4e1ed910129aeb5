"""Prompts, schemas and answers in and out of the vault, as the messages they are."""

import json
from datetime import UTC, datetime

from pydantic import ValidationError

from pointwork.contract.canonical import canonical_json
from pointwork.contract.prompt import (
    MEDIA_TYPE_ANSWER,
    MEDIA_TYPE_PROMPT,
    Answer,
    AnswerSchema,
    Prompt,
)
from pointwork.contract.task import ContentRef
from pointwork.contract.tools import ToolCall
from pointwork.ledger.vault import ContentTooLargeError, ContentUnavailableError, Vault

MEDIA_TYPE_PLACEHOLDERS = "application/vnd.pointwork.placeholders"


class SealedContent:
    """Reads and seals the content of tasks. No error of this class quotes content."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def prompt(self, task_id: str, ref: ContentRef) -> Prompt:
        """The prompt sealed as ``ref``.

        Raises:
            ContentUnavailableError: it is missing, erased, altered, or no prompt.
        """
        try:
            return Prompt.model_validate_json(self._vault.open(task_id, ref))
        except ValidationError:
            raise ContentUnavailableError(f"content of {task_id} is not a prompt") from None

    def answer(self, task_id: str, ref: ContentRef) -> Answer:
        try:
            return Answer.model_validate_json(self._vault.open(task_id, ref))
        except ValidationError:
            raise ContentUnavailableError(f"content of {task_id} is not an answer") from None

    def answer_text(self, task_id: str, ref: ContentRef) -> str:
        """All of the answer, for who looks at it: calls of tools stand in words after the text."""
        return self.answer(task_id, ref).shown

    def answer_schema(self, task_id: str, ref: ContentRef) -> AnswerSchema:
        try:
            schema: AnswerSchema = json.loads(self._vault.open(task_id, ref))
        except ValueError:
            raise ContentUnavailableError(f"schema of {task_id} is not JSON") from None
        return schema

    def placeholders(self, task_id: str, ref: ContentRef) -> bytes:
        return self._vault.open(task_id, ref)

    def encode_answer(self, text: str, tool_calls: tuple[ToolCall, ...] = ()) -> tuple[bytes, str]:
        return canonical_json(Answer(text=text, tool_calls=tool_calls)), MEDIA_TYPE_ANSWER

    def seal_prompt(self, task_id: str, prompt: Prompt) -> ContentRef | None:
        """The prompt's reference; None where it is larger than the vault takes."""
        return self._seal(task_id, canonical_json(prompt), MEDIA_TYPE_PROMPT)

    def seal_placeholders(self, task_id: str, mapping: bytes) -> ContentRef | None:
        """The mapping's reference; None where it is larger than the vault takes."""
        return self._seal(task_id, mapping, MEDIA_TYPE_PLACEHOLDERS)

    def _seal(self, task_id: str, data: bytes, media_type: str) -> ContentRef | None:
        try:
            return self._vault.seal(task_id, data, media_type, datetime.now(UTC))
        except ContentTooLargeError:
            return None


def encode_schema(schema: AnswerSchema) -> bytes:
    """The schema as JSON in its author's order: a model writes the properties in that order."""
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False).encode()
