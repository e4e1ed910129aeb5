"""Are the citations of an answer real? Deterministic, and the answer is never quoted (CX-87).

An answer cites as ``[source-id]`` and uses square brackets for nothing else, so that no bracket
can look like a citation and escape the check.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pointwork.contract.outcome import CheckResult

CHECK = "citations"
_BRACKETS = re.compile(r"[\[【]([^\[\]【】]*)[\]】]")
"""Some models cite in the second pair whatever they are told."""
_STRAY = re.compile(r"[\[\]【】]")
_SEPARATOR = re.compile(r"[,;]")
_STATEMENT = re.compile(r"[^\W_]")
_SHOWN_ID = re.compile(r"[A-Za-z][A-Za-z0-9._/#:-]{0,63}|\d{1,3}")
"""What is told of an unknown citation: an id is a fact, other text may be anything."""


def check_citations(answer_text: str, source_ids: Collection[str]) -> CheckResult:
    """Whether every citation of ``answer_text`` names one of ``source_ids``, and one is there.

    A JSON object cites in its array ``citations``; brackets in its strings are checked as well.
    Several ids in one pair of brackets are separated by commas. An answer without a letter or
    digit states nothing and needs no citation.
    """
    value = _json_object(answer_text)
    if value is None:
        return _checked([answer_text], (), source_ids, states=_states(answer_text))
    listed = value.get("citations")
    if not isinstance(listed, list) or not listed:
        return _failed("citations: is no list of sources; name the sources there")
    if not all(isinstance(each, str) for each in listed):
        return _failed("citations: holds something that is no string; name sources by their id")
    texts = [text for name, each in value.items() if name != "citations" for text in _strings(each)]
    return _checked([*value, *texts], listed, source_ids, states=True)


def _checked(
    texts: Collection[str], listed: Iterable[str], source_ids: Collection[str], *, states: bool
) -> CheckResult:
    known = frozenset(source_ids)
    cited = [*listed, *(each for text in texts for each in _in_brackets(text))]
    for number, each in enumerate(cited, start=1):
        if each not in known:
            return _failed(f"citation {number} {_shown(each)} is no given source")
    if any(_STRAY.search(_BRACKETS.sub("", text)) for text in texts):
        return _failed("a bracket is not closed or stands within another; cite as [source-id]")
    if states and not cited:
        return _failed("the answer cites no source")
    return CheckResult(passed=True, check=CHECK)


def _failed(detail: str) -> CheckResult:
    return CheckResult(passed=False, check=CHECK, detail=detail)


def _shown(cited: str) -> str:
    return f"[{cited}]" if _SHOWN_ID.fullmatch(cited) else f"(of {len(cited)} characters)"


def _in_brackets(text: str) -> list[str]:
    return [each.strip() for inside in _BRACKETS.findall(text) for each in _SEPARATOR.split(inside)]


def _states(text: str) -> bool:
    return _STATEMENT.search(_BRACKETS.sub("", text)) is not None


def _json_object(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _strings(value: Any) -> Iterator[str]:
    """Every string of a JSON value, keys included."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case list() as items:
                waiting.extend(items)
            case dict() as members:
                yield from members
                waiting.extend(members.values())
