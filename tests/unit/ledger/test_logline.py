"""The contract's six-field line (OM-80; reliability case 82)."""

import random
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.contract.decision import ClassSource, CostClass, Direction, Trigger
from pointwork.contract.outcome import Fallback, TaskOutcome, TaskStatus
from pointwork.contract.task import NAME_PATTERN
from pointwork.ledger.logline import LogLine, log_line, parse_log_line, render_log_line
from tests.scale import Scale

SEED_LINE = "2024-12-13T10:23:45Z task-001 local_open_model low succeeded no"
FALLBACK = Fallback(
    from_model="a",
    to_model="b",
    trigger=Trigger.OUTAGE,
    direction=Direction.UP,
    cause="TIMEOUT",
    attempt=2,
)


def outcome(
    *,
    task_id: str = "task-001",
    status: TaskStatus = TaskStatus.SUCCEEDED,
    family: str | None = "local_open",
    cost_class: CostClass | None = CostClass.LOWEST,
    has_fallback: bool = False,
    finished_at: datetime = datetime(2024, 12, 13, 10, 23, 45, tzinfo=UTC),
) -> TaskOutcome:
    return TaskOutcome(
        task_id=task_id,
        status=status,
        caller="tester",
        task_class="bulk",
        class_source=ClassSource.DECLARED,
        served_family=family,
        cost_class=cost_class,
        fallbacks=(FALLBACK,) if has_fallback else (),
        started_at=finished_at,
        finished_at=finished_at,
    )


@pytest.mark.req("OM-80")
def test_the_seeds_example_line_is_reproduced_byte_for_byte() -> None:
    assert render_log_line(outcome()) == SEED_LINE


@pytest.mark.req("OM-80")
def test_a_time_in_another_zone_is_rendered_in_utc() -> None:
    east = datetime(2024, 12, 13, 15, 53, 45, 999999, tzinfo=timezone(timedelta(hours=5.5)))
    assert render_log_line(outcome(finished_at=east)) == SEED_LINE


@pytest.mark.req("OM-80")
@pytest.mark.parametrize(
    ("cost_class", "word"),
    [
        (CostClass.LOWEST, "low"),
        (CostClass.LOW, "low"),
        (CostClass.MEDIUM, "medium"),
        (CostClass.MEDIUM_HIGH, "medium"),
        (CostClass.HIGH, "high"),
        (CostClass.HIGHEST, "high"),
        (None, "none"),
    ],
)
def test_every_cost_class_has_its_word(cost_class: CostClass | None, word: str) -> None:
    assert render_log_line(outcome(cost_class=cost_class)).split(" ")[3] == word


@pytest.mark.req("OM-80")
@pytest.mark.parametrize(
    ("family", "token"),
    [("local_open", "local_open_model"), ("gpt_class", "gpt_class_model"), (None, "none")],
)
def test_a_family_is_named_by_its_token(family: str | None, token: str) -> None:
    assert render_log_line(outcome(family=family)).split(" ")[2] == token


@pytest.mark.req("OM-80")
def test_a_fallback_is_never_left_out() -> None:
    assert render_log_line(outcome(has_fallback=True)).endswith(" yes")


@pytest.mark.req("OM-80")
@given(
    task_id=st.one_of(
        st.text(max_size=200),
        st.sampled_from(
            ["a b", "x\ny", "\r", "\u2028", "\0", "\x1b[31m", "\u202eevil", "%20", "]"]
        ),
    ),
    status=st.sampled_from(TaskStatus),
    family=st.none() | st.from_regex(NAME_PATTERN, fullmatch=True),
    cost_class=st.none() | st.sampled_from(CostClass),
    has_fallback=st.booleans(),
    finished_at=st.datetimes(timezones=st.just(UTC)),
)
def test_any_outcome_is_one_line_of_six_fields_that_reads_back_the_same(
    task_id: str,
    status: TaskStatus,
    family: str | None,
    cost_class: CostClass | None,
    has_fallback: bool,
    finished_at: datetime,
) -> None:
    one = outcome(
        task_id=task_id,
        status=status,
        family=family,
        cost_class=cost_class,
        has_fallback=has_fallback,
        finished_at=finished_at,
    )
    line = render_log_line(one)
    assert line.isascii()
    assert line.isprintable()
    assert len(line.split(" ")) == 6
    assert parse_log_line(line) == log_line(one)


HOSTILE = [
    *(" ", "]", "[", "\n", "\r", "\r\n", "\u2028", "\u2029", "\x85", "\v", "\f", "\0", "\x1b[2J"),
    *("\u202e", "\u2066", "\u200b", "\ufeff", "\U0001f426", "\U000e0041", "\t", "%", "%20", "%0A"),
    *("_model", "none", "succeeded no", SEED_LINE, "a", "é", '"', "\\", "x" * 10_240),
]
GRAMMAR = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ [!-~]+ (none|[!-~]*_model) (low|medium|high|none) "
    r"[a-z_]+ (yes|no)"
)


@pytest.mark.req("OM-80")
def test_names_made_to_break_a_line_never_do(scale: Scale) -> None:
    """Not in 100,000 of 100,000, even where nothing had checked them before."""
    rng, count = random.Random(82), scale.of(100_000, 5_000)

    def hostile() -> str:
        return "".join(rng.choices(HOSTILE[:-1], k=rng.randint(1, 6))) + rng.choice(
            ["", "", "", "", "", "", "", "", "", HOSTILE[-1]]
        )

    def fallback() -> Fallback:
        return FALLBACK.model_copy(update={"to_model": hostile(), "cause": hostile()})

    lines, values = list[str](), list[LogLine]()
    for _ in range(count):
        changed = {
            "task_id": hostile(),
            "served_family": rng.choice((None, hostile())),
            "status": rng.choice(list(TaskStatus)),
            "fallbacks": rng.choice(((), (fallback(),))),
            "reason": hostile(),
        }
        one = outcome().model_copy(update=changed)
        lines.append(render_log_line(one))
        values.append(log_line(one))
    assert sum(GRAMMAR.fullmatch(line) is not None for line in lines) == count
    assert "\n".join(lines).splitlines() == lines
    assert [parse_log_line(line) for line in lines] == values


@pytest.mark.parametrize(
    "line",
    [
        "",
        SEED_LINE + "\n",
        SEED_LINE + " x",
        SEED_LINE.replace("low", "cheap"),
        SEED_LINE.replace("local_open_model", "local_open"),
        SEED_LINE.replace("succeeded", "won"),
        SEED_LINE.replace("2024-12", "2024-13"),
    ],
)
def test_a_line_that_is_not_the_contracts_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        parse_log_line(line)
