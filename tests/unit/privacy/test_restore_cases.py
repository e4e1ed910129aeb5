"""Five hundred answers as models write them, put back in one piece and in any pieces (row 57)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from pointwork.contract.prompt import Prompt
from pointwork.privacy.placeholders import Placeholders
from pointwork.privacy.redact import redact
from pointwork.privacy.restore import StreamRestorer
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL, filler
from workers.adapters import PlaceholderRestorer

CASES = 500
SECRETS = tuple(canary.value for canary in CREDENTIALS if len(canary.value) >= 8)
"""A PIN of four digits stands in many a number."""
PROSE = (
    *(
        "So",
        "is written,",
        "a < b > c",
        "x & y",
        "&amp;",
        "<b>bold</b>",
        "List<int_32>",
        "\\",
        "1)",
    ),
    *("<", "&lt;", "&lt", "<EMAIL", "EMAIL_1", "_1>", "**", "`code`", "\n", "日本", "<div_1>"),
)
WRITTEN = (
    *("<{}>", "\\<{}\\>", "&lt;{}&gt;", "<**{}**>", "<`{}`>", "<{}\\>", "&lt;*{}*&gt;"),
    *("<{lower}>", "<{title}>", "&lt;{lower}&gt;", "<{escaped}>", "\\<{escaped}\\>"),
)
"""What models make of a placeholder: it is restored, and nothing of the writing stays."""
WRAPPED = (
    "**<{}>**",
    "`<{}>`",
    '"<{}>"',
    "(<{}>)",
    "<<{}>>",
    "<EMAIL_<{}>>",
    "[<{}>](<{}>)",
    "\\\\<{}>",
)
"""Writing that stays around what is restored. The last holds a backslash of the answer's own."""
FORGED = ("EMAIL_9000", "EMAIL_00001", "PHONE_777", "PERSON_1", "SECRET_9000", "US_SSN_55555")
"""Names that no task gave away."""


@dataclass(frozen=True)
class Case:
    answer: str
    restored: str
    forged: int


def task(number: int) -> tuple[Placeholders, frozenset[str]]:
    """A task's mapping as redaction makes it, and every value it stands for."""
    drawn = random.Random(f"task {number}")
    mails = [f"{filler('abcdefgh', 8, seed=number * 100 + n)}@example.org" for n in range(4)]
    personal = drawn.sample(PERSONAL, 12)
    secrets = drawn.sample(CREDENTIALS, 3)
    lines = [*mails, *(canary.text for canary in (*personal, *secrets))]
    mapping = redact(Prompt.from_text("\n\n".join(lines))).placeholders
    return mapping, frozenset(mapping.values.values())


def written(shape: str, name: str) -> str:
    return shape.replace("{}", name).format(
        lower=name.lower(), title=name.title(), escaped=name.replace("_", "\\_")
    )


def case_of(drawn: random.Random, mapping: Placeholders) -> Case:
    """Twenty pieces with a space between, each with what it is to become."""
    pieces: list[tuple[str, str, int]] = []
    names, secrets = sorted(mapping.values), sorted(mapping.secrets)
    for _ in range(20):
        name = drawn.choice(names)
        match drawn.choice(("prose", "written", "written", "wrapped", "secret", "forged")):
            case "prose":
                word = drawn.choice(PROSE)
                pieces.append((word, word, 0))
            case "written":
                pieces.append((written(drawn.choice(WRITTEN), name), mapping.values[name], 0))
            case "wrapped":
                shape = drawn.choice(WRAPPED)
                restored = shape.replace("<{}>", mapping.values[name])
                pieces.append((shape.replace("{}", name), restored, 0))
            case "secret":
                word = f"<{drawn.choice(secrets)}>"
                pieces.append((word, word, 0))
            case _:
                word = f"<{drawn.choice([f for f in FORGED if not mapping.knows(f)])}>"
                pieces.append((word, word, 1))
    return Case(
        answer=" ".join(piece for piece, _, _ in pieces),
        restored=" ".join(restored for _, restored, _ in pieces),
        forged=sum(forged for _, _, forged in pieces),
    )


def in_chunks(drawn: random.Random, answer: str) -> list[str]:
    chunks, at = [], 0
    while at < len(answer):
        size = drawn.choice((1, 1, 2, 3, 5, 8, 40))
        chunks.append(answer[at : at + size])
        at += size
    return chunks


def streamed(mapping: Placeholders, chunks: Sequence[str]) -> tuple[str, int]:
    restorer = StreamRestorer(mapping)
    shown = [restorer.feed(chunk) for chunk in chunks]
    return "".join((*shown, restorer.finish())), restorer.unknown


@pytest.mark.req("OM-49", "OM-50")
def test_five_hundred_answers_are_restored_right_whole_and_in_any_chunks() -> None:
    drawn, wrong = random.Random(57), []
    for number in range(CASES):
        mapping, _ = task(number % 25)
        case = case_of(drawn, mapping)
        right = (case.restored, case.forged)
        whole = PlaceholderRestorer().restore(case.answer, mapping.to_bytes())
        if whole != right or streamed(mapping, in_chunks(drawn, case.answer)) != right:
            wrong.append(number)
        assert not any(secret in case.restored for secret in SECRETS)
    assert wrong == []


def test_no_answer_reveals_a_value_of_another_task_whatever_names_it_makes_up() -> None:
    """Every name of the one task, and every forged one, restored by the other task's mapping."""
    for number in range(0, 24, 2):
        (mine, own), (theirs, foreign) = task(number), task(number + 1)
        answer = " ".join(f"<{name}>" for name in (*theirs.values, *theirs.secrets, *FORGED))
        for restored, _ in (
            PlaceholderRestorer().restore(answer, mine.to_bytes()),
            streamed(mine, list(answer)),
        ):
            assert [value for value in foreign - own if value in restored] == []
            assert any(value in restored for value in own)


def test_a_value_that_reads_like_a_placeholder_is_put_back_as_it_was() -> None:
    mapping = Placeholders(values={"NOTE_1": "<EMAIL_1>", "EMAIL_1": "ada@example.org"})
    for chunks in (["<NOTE_1>"], list("<NOTE_1>"), ["<NOTE", "_1", ">"]):
        assert streamed(mapping, chunks) == ("<EMAIL_1>", 0)


@pytest.mark.parametrize(
    "written", ["&amp;lt;EMAIL_1&amp;gt;", "%3CEMAIL_1%3E", "EMAIL_1", "< EMAIL_1 >", "<EMAIL-1>"]
)
def test_what_is_no_longer_a_placeholder_stays_as_it_is(written: str) -> None:
    """Not restored, and so nothing is revealed where nobody expects it."""
    mapping = Placeholders(values={"EMAIL_1": "ada@example.org"})
    assert streamed(mapping, list(written)) == (written, 0)
