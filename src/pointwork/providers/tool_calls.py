"""Tool calls of a streamed answer, put together and held against what was offered (fail closed).

A caller runs what a call names. So a call of a tool it never offered, one it forbade, and one whose
arguments cannot be read the same by everybody are no answer at all.
"""

import re
import uuid
from dataclasses import dataclass, field

from pointwork.contract.json_strings import JsonObjectError, read_object
from pointwork.contract.prompt import Prompt
from pointwork.contract.tools import CALL_ID_PATTERN, NamedTool, ToolCall, ToolChoiceMode

CALLS_MAX = 128
"""In one answer. A model that asks for more repeats itself."""


class UnusableCallError(Exception):
    """The calls cannot be handed on. The text quotes nothing of them."""


@dataclass(slots=True)
class _Begun:
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class CallsInProgress:
    """Collects pieces of calls by the index a vendor gives them; their order is that of arrival."""

    def __init__(self) -> None:
        self._begun: dict[int, _Begun] = {}

    def __bool__(self) -> bool:
        return bool(self._begun)

    def add(self, index: int, *, call_id: str, name: str, arguments: str) -> None:
        begun = self._begun.setdefault(index, _Begun())
        # Some endpoints repeat id and name with every piece of the arguments.
        begun.call_id = begun.call_id or call_id
        begun.name = begun.name or name
        begun.arguments.append(arguments)

    def of(self, prompt: Prompt) -> tuple[ToolCall, ...]:
        """The calls, each with an id of its own.

        Raises:
            UnusableCallError: there are calls the prompt does not allow, none where it requires
                one, or one whose arguments are no JSON object.
        """
        calls: list[ToolCall] = []
        for begun in self._begun.values():
            # A tool without parameters is called with nothing at all by several models.
            arguments = "".join(begun.arguments) or "{}"
            call_id = _own_id(begun.call_id, {call.call_id for call in calls})
            if not _is_allowed(begun.name, prompt) or not _is_object(arguments):
                raise UnusableCallError
            calls.append(ToolCall(call_id=call_id, name=begun.name, arguments=arguments))
        choice = prompt.tool_choice
        is_owed = choice is ToolChoiceMode.REQUIRED or isinstance(choice, NamedTool)
        if len(calls) > CALLS_MAX or (is_owed and not calls):
            raise UnusableCallError
        return tuple(calls)


def _is_allowed(name: str, prompt: Prompt) -> bool:
    choice = prompt.tool_choice
    if isinstance(choice, NamedTool):
        return name == choice.name
    offered = {tool.name for tool in prompt.tools}
    return choice is not ToolChoiceMode.NONE and name in offered


def _is_object(arguments: str) -> bool:
    try:
        read_object(arguments)
    except JsonObjectError:
        return False
    return True


def _own_id(stated: str, taken: set[str]) -> str:
    """The vendor's id; one of ours where it gives none, gives one twice, or one of another form."""
    if stated not in taken and re.fullmatch(CALL_ID_PATTERN, stated, re.ASCII):
        return stated
    return f"call_{uuid.uuid4().hex}"
