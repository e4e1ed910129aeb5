"""One streamed answer as it arrives: the checks that every vendor's answer has to pass."""

import re
from collections.abc import Callable
from typing import NoReturn

from pointwork.contract.failures import ProviderFailureKind as Kind
from pointwork.contract.outcome import FinishReason, TokenUsage
from pointwork.contract.tools import ToolCall
from pointwork.providers.failures import provider_error
from pointwork.providers.port import CompletionRequest, CompletionResponse, OnProgress
from pointwork.providers.tool_calls import CallsInProgress, UnusableCallError

ANSWER_BYTES_MAX = 2 * 2**20
"""Of text in UTF-8. The longest answer a task may ask for is 65,536 tokens, about 400 kB."""

ModelMatch = Callable[[str, str], bool]
"""Whether a served model's id, second, names the requested model, first."""

_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4}|\d{3})")


def is_same_model(requested: str, served: str) -> bool:
    return requested == served


def is_same_model_or_dated(requested: str, served: str) -> bool:
    """As vendors do it: ``gpt-4o`` is served by ``gpt-4o-2024-08-06``, a ``-latest`` by a date."""
    name = requested.removesuffix("-latest")
    return requested == served or (
        served.startswith(name) and _DATED.fullmatch(served[len(name) :]) is not None
    )


class Reading:
    """Collects one answer. Whatever breaks a rule ends the call at once with a typed failure."""

    def __init__(
        self,
        endpoint: str,
        request: CompletionRequest,
        on_progress: OnProgress | None,
        is_requested_model: ModelMatch,
    ) -> None:
        self.usage: TokenUsage | None = None
        self.provider_request_id = ""
        self._endpoint = endpoint
        self._request = request
        self._on_progress = on_progress
        self._is_requested_model = is_requested_model
        self._pieces: list[str] = []
        self._calls = CallsInProgress()
        self._characters = 0
        self._bytes = 0
        self._served_model = ""
        self._finish_reason: FinishReason | None = None

    @property
    def has_text(self) -> bool:
        """Whether anything of an answer came, be it a part of a call."""
        return self._bytes > 0

    def name_model(self, served: str) -> None:
        """Check the model that answers, as early as it names itself (design 11).

        Raises:
            ProviderError: WRONG_MODEL; local servers accept any name and serve what is loaded.
        """
        if not served:
            return
        if not self._is_requested_model(self._request.model, served):
            self._fail(Kind.WRONG_MODEL)
        self._served_model = served

    def add(self, piece: str) -> None:
        """Take the next piece of text; an empty one counts as a sign of life.

        Raises:
            ProviderError: MALFORMED_RESPONSE, for text after the end or beyond the cap.
        """
        if piece:
            self._count(piece)
            self._pieces.append(piece)
            if self._request.on_text is not None:
                self._request.on_text(piece)
        self._tell_progress()

    def add_call(
        self, index: int, *, call_id: str = "", name: str = "", arguments: str = ""
    ) -> None:
        """Take the next piece of the call at ``index``; id and name count where they come first.

        Raises:
            ProviderError: MALFORMED_RESPONSE, as for ``add``.
        """
        self._count(name + arguments)
        self._calls.add(index, call_id=call_id, name=name, arguments=arguments)
        self._tell_progress()

    def end(self, reason: FinishReason | Kind) -> None:
        """Take the vendor's own reason for the end; a Kind stands for an end that is a failure."""
        if isinstance(reason, Kind):
            self._fail(reason, self._metered)
        self._finish_reason = reason

    def completion(self) -> CompletionResponse:
        """The whole answer, after the stream's last event.

        Raises:
            ProviderError: STREAM_INTERRUPTED for an end without a reason, CONTENT_FILTERED,
                EMPTY_ANSWER, WRONG_MODEL where no event named the model, TRUNCATED for calls of an
                answer that was cut, or MALFORMED_RESPONSE for calls that were not asked for or
                cannot be read.
        """
        if self._finish_reason is None:
            self._fail(Kind.STREAM_INTERRUPTED)
        if self._finish_reason is FinishReason.CONTENT_FILTER:
            self._fail(Kind.CONTENT_FILTERED, self._metered)
        if not self._served_model:
            self._fail(Kind.WRONG_MODEL, self._metered)
        text = "".join(self._pieces)
        calls = self._tool_calls(self._finish_reason)
        if not text.strip() and not calls:
            self._fail(Kind.EMPTY_ANSWER, self._metered)
        return CompletionResponse(
            text=text,
            served_model=self._served_model,
            # Two vendors end an answer that calls tools as they end any other.
            finish_reason=FinishReason.TOOL_CALL if calls else self._finish_reason,
            usage=self._metered,
            provider_request_id=self.provider_request_id,
            tool_calls=calls,
        )

    def _tool_calls(self, reason: FinishReason) -> tuple[ToolCall, ...]:
        if self._calls and reason is FinishReason.LENGTH:
            self._fail(Kind.TRUNCATED, self._metered)
        try:
            calls = self._calls.of(self._request.prompt)
        except UnusableCallError:
            calls = None
        if calls is None or (reason is FinishReason.TOOL_CALL and not calls):
            self._fail(Kind.MALFORMED_RESPONSE, self._metered)
        return calls

    def _count(self, piece: str) -> None:
        if self._finish_reason is not None:
            self._fail(Kind.MALFORMED_RESPONSE)
        self._characters += len(piece)
        self._bytes += len(piece.encode(errors="replace"))
        if self._bytes > ANSWER_BYTES_MAX:
            self._fail(Kind.MALFORMED_RESPONSE)

    def _tell_progress(self) -> None:
        if self._on_progress is not None:
            self._on_progress(self._characters)

    @property
    def _metered(self) -> TokenUsage | None:
        """The usage, unless it counts no output of an answer that has some."""
        is_counted = self.usage is not None and self.usage.output_tokens > 0
        return self.usage if is_counted or not self.has_text else None

    def _fail(self, kind: Kind, usage: TokenUsage | None = None) -> NoReturn:
        """Without ``usage`` where the answer goes on: its meter would refund what it has not seen.

        Two vendors count from the first event on, so a usage is there long before it is final.
        """
        raise provider_error(
            self._endpoint,
            kind,
            usage=usage,
            provider_request_id=self.provider_request_id,
        )
