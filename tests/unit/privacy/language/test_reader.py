"""Real models over real sentences: who and where is found, and what is left alone."""

import random

import pytest

from pointwork.contract.prompt import Prompt
from pointwork.contract.task import DataClass
from pointwork.privacy.findings import Finding
from pointwork.privacy.language.reader import OVERLAP_CHARACTERS, WINDOW_CHARACTERS, LanguageReader
from pointwork.privacy.redact import Redacted, redact
from pointwork.privacy.restore import restore

pytestmark = pytest.mark.xdist_group("language")

LETTER = """Dear Dr. Martha Wiśniewska,

please send the contract of Acme Holdings Ltd to 12 Baker Street, London NW1 6XE.
Call John Smith on +44 7700 900123. Smith is 42 years old and was born in Leeds.

Regards
Martha Wiśniewska
"""


class Reading:
    """The readers as redaction is given them."""

    def __init__(self, reader: LanguageReader) -> None:
        self.find = reader.read


@pytest.fixture(scope="module")
def reader() -> LanguageReader:
    return LanguageReader()


def masked(reader: LanguageReader, text: str) -> str:
    """``text`` with every letter and digit of a finding as a full stop."""
    places = {at for found in reader.read(text) for at in range(found.start, found.end)}
    return "".join("." if at in places and c.isalnum() else c for at, c in enumerate(text))


def redacted(reader: LanguageReader, text: str) -> Redacted:
    return redact(Prompt.from_text(text), language=Reading(reader))


@pytest.mark.req("OM-48", "OM-49")
def test_persons_places_companies_and_ages_are_replaced_and_come_back(
    reader: LanguageReader,
) -> None:
    done = redacted(reader, LETTER)
    text = done.prompt.text
    for value in ("Martha", "Wiśniewska", "Acme", "Baker", "London", "Smith", "42", "Leeds"):
        assert value not in text
    assert "please send the contract of" in text
    assert "Regards" in text
    assert restore(text, done.placeholders).text.count("Martha Wiśniewska") == 2
    assert done.read_characters == len(LETTER)
    assert DataClass.PERSONAL in done.data_classes


@pytest.mark.req("OM-49")
def test_a_person_keeps_one_placeholder_in_full_in_capitals_and_by_surname(
    reader: LanguageReader,
) -> None:
    text = "John Smith wrote to us. JOHN SMITH was angry. Mr. Smith called again."
    done = redacted(reader, text)
    assert done.prompt.text.count("<PERSON_1>") == 3
    assert "PERSON_2" not in done.prompt.text
    assert done.placeholders.values["PERSON_1"].casefold() == "john smith"


def test_a_surname_that_two_persons_share_is_nobodys_in_particular(reader: LanguageReader) -> None:
    text = "John Smith met Martha Smith in London. Smith paid the bill."
    names = redacted(reader, text).placeholders.values
    persons = {value for name, value in names.items() if name.startswith("PERSON")}
    assert {"John Smith", "Martha Smith"} <= persons
    assert "Smith" in persons


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("> Benito Bianchi\n> 12 Via Roma", "Benito Bianchi"),
        ("follow up with patricia desrosiers in a couple of months.", "patricia desrosiers"),
        ("The office of MARTHA KOWALSKI is closed.", "MARTHA KOWALSKI"),
        ("Please ask Élodie Lefèvre about it.", "Élodie Lefèvre"),
        ("Please ask Γιώργος Παπαδόπουλος about it.", "Γιώργος Παπαδόπουλος"),
        ("Please ask Иван Петров about it.", "Иван Петров"),
    ],
)
def test_a_name_is_found_quoted_shouted_in_small_letters_and_in_other_scripts(
    reader: LanguageReader, text: str, name: str
) -> None:
    assert name not in masked(reader, text)


@pytest.mark.parametrize(
    "text",
    [
        "def handle(event): return json.dumps({'retries': 3, 'delay': 0.5})",
        "Explain how a hash map resolves collisions, with a short example.",
        "Welche Grenzfälle übersieht dieser Test, und wie würde man sie prüfen?",
        "Quels sont les avantages de cette méthode, et que faut-il éviter avec elle ?",
        "The queue holds 4096 items and drops the oldest after 30 seconds.",
    ],
)
def test_code_questions_and_prose_in_other_languages_are_left_alone(
    reader: LanguageReader, text: str
) -> None:
    assert masked(reader, text) == text


def test_a_place_or_a_date_alone_is_replaced_and_keeps_no_task_in(reader: LanguageReader) -> None:
    found = reader.read("The museum in Paris was opened in 1977.")
    assert {each.kind for each in found} >= {"PLACE", "DATE"}
    assert [each.data_class for each in found if each.data_class is not None] == []


def test_a_name_is_found_wherever_a_window_of_a_long_text_ends(reader: LanguageReader) -> None:
    step = WINDOW_CHARACTERS - OVERLAP_CHARACTERS
    drawn = random.Random(5)
    filler = "The next step of the work is described below. "
    name = "Patricia Kowalski"
    for edge in (WINDOW_CHARACTERS, step, step + WINDOW_CHARACTERS):
        at = edge - drawn.randrange(1, len(name))
        before = (filler * (at // len(filler) + 1))[: at - 12] + ". Ask for "
        text = f"{before} {name} about it. {filler * 20}"
        assert name not in masked(reader, text)


def test_the_longest_text_is_read_to_its_end(reader: LanguageReader) -> None:
    text = "The next step is described below. " * 1500 + "Ask for Patricia Kowalski."
    last = max(reader.read(text), key=lambda found: found.end)
    assert text[last.start : last.end].endswith("Kowalski")


def test_findings_never_reach_beyond_the_text(reader: LanguageReader) -> None:
    hangul = "한국어 문장입니다 " * 60
    for text in ("", " ", "\n\n", "x", "<PERSON_1>", "\u200b", "Ω" * 500, hangul):
        found: list[Finding] = reader.read(text)
        assert all(0 <= each.start < each.end <= len(text) for each in found)


def test_a_placeholder_that_stood_in_the_prompt_is_nobodys_name(reader: LanguageReader) -> None:
    done = redacted(reader, "Keep <PERSON_1> as it is, and greet John Smith.")
    assert done.prompt.text == "Keep <PERSON_1> as it is, and greet <PERSON_2>."
