"""The contract's line, six space-separated fields: a rendering of the outcome, not its source.

``2024-12-13T10:23:45Z task-001 local_open_model low succeeded no`` (OM-80)
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args
from urllib.parse import quote, unquote

from pointwork.contract.decision import CostClass
from pointwork.contract.outcome import TaskOutcome, TaskStatus

CostWord = Literal["low", "medium", "high", "none"]

_COST_WORDS: dict[CostClass, CostWord] = {
    CostClass.LOWEST: "low",
    CostClass.LOW: "low",
    CostClass.MEDIUM: "medium",
    CostClass.MEDIUM_HIGH: "medium",
    CostClass.HIGH: "high",
    CostClass.HIGHEST: "high",
}
_NONE = "none"
_MODEL_SUFFIX = "_model"
# What a reader of plain ASCII takes at face value; everything else is percent-encoded UTF-8.
_PLAIN = "!\"#$&'()*+,/:;<=>?@[\\]^`{|}"
_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<task_id>[!-~]*) (?P<model>[!-~]+)"
    r" (?P<cost>low|medium|high|none) (?P<outcome>[a-z_]+) (?P<fallback>yes|no)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLine:
    """The six fields as values."""

    finished_at: datetime
    """To the second, in UTC."""
    task_id: str
    family: str | None
    """The family of the model that served; None where none did."""
    cost: CostWord
    outcome: TaskStatus
    used_fallback: bool


def log_line(outcome: TaskOutcome) -> LogLine:
    """The fields of an outcome's line."""
    cost: CostWord = "none" if outcome.cost_class is None else _COST_WORDS[outcome.cost_class]
    return LogLine(
        finished_at=outcome.finished_at.astimezone(UTC).replace(microsecond=0),
        task_id=outcome.task_id,
        family=outcome.served_family,
        cost=cost,
        outcome=outcome.status,
        used_fallback=outcome.used_fallback,
    )


def render_log_line(outcome: TaskOutcome) -> str:
    """The line, in printable ASCII: no field can hold a space or end the line."""
    line = log_line(outcome)
    return " ".join(
        (
            line.finished_at.replace(tzinfo=None).isoformat(timespec="seconds") + "Z",
            quote(line.task_id, safe=_PLAIN),
            _NONE if line.family is None else quote(line.family, safe=_PLAIN) + _MODEL_SUFFIX,
            line.cost,
            line.outcome,
            "yes" if line.used_fallback else "no",
        )
    )


def parse_log_line(line: str) -> LogLine:
    """The fields of a rendered line.

    Raises:
        ValueError: it is no such line.
    """
    found = _LINE.fullmatch(line)
    model = found["model"] if found else ""
    if found is None or not (model == _NONE or model.endswith(_MODEL_SUFFIX)):
        msg = "the line is not six fields as TIME TASK MODEL COST OUTCOME FALLBACK; export it again"
        raise ValueError(msg)
    (cost,) = (word for word in get_args(CostWord) if word == found["cost"])
    return LogLine(
        finished_at=datetime.fromisoformat(found["time"]),
        task_id=unquote(found["task_id"]),
        family=None if model == _NONE else unquote(model.removesuffix(_MODEL_SUFFIX)),
        cost=cost,
        outcome=TaskStatus(found["outcome"]),
        used_fallback=found["fallback"] == "yes",
    )
