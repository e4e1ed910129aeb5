"""What comes back to the caller, and what never does."""

import pytest

from pointwork.privacy.placeholders import Placeholders, PlaceholdersError
from pointwork.privacy.restore import StreamRestorer, restore

MAPPING = Placeholders(
    values={"EMAIL_1": "ada@example.org", "US_SSN_12": "460-89-9847"},
    secrets=frozenset({"SECRET_1"}),
    literals=frozenset({"EMAIL_9"}),
)


@pytest.mark.parametrize(
    "written",
    [
        *("<EMAIL_1>", "<email_1>", "<Email_1>", "\\<EMAIL_1\\>", "<EMAIL\\_1>", "&lt;EMAIL_1&gt;"),
        *("<**EMAIL_1**>", "<`EMAIL_1`>", "<EMAIL_1\\>"),
    ],
)
def test_a_placeholder_is_restored_however_the_model_writes_it(written: str) -> None:
    assert restore(f"to {written}.", MAPPING).text == "to ada@example.org."


def test_decoration_around_a_placeholder_stays() -> None:
    restored = restore('**<EMAIL_1>**, `<US_SSN_12>`, "<EMAIL_1>"', MAPPING)
    assert restored.text == '**ada@example.org**, `460-89-9847`, "ada@example.org"'


@pytest.mark.req("OM-50")
def test_a_secret_is_never_restored() -> None:
    restored = restore("use <SECRET_1>", MAPPING)
    assert restored.text == "use <SECRET_1>"
    assert restored.unknown == 0


def test_an_invented_placeholder_stays_and_is_counted() -> None:
    restored = restore("<EMAIL_2> <PERSON_1> <email_7> <SECRET_2> <EMAIL_1>", MAPPING)
    assert restored.text == "<EMAIL_2> <PERSON_1> <email_7> <SECRET_2> ada@example.org"
    assert restored.unknown == 4


def test_markup_of_others_is_neither_restored_nor_counted() -> None:
    text = "<div_1> <h1> <item_2/> a<b_1>c List<int_32> <EMAIL_> <_1> <EMAIL_1"
    assert restore(text, MAPPING) == restore(text, Placeholders())
    assert restore(text, MAPPING).text == text
    assert restore(text, MAPPING).unknown == 0


def test_a_name_that_the_prompt_itself_held_is_not_counted_as_invented() -> None:
    assert restore("<EMAIL_9>", MAPPING).text == "<EMAIL_9>"
    assert restore("<EMAIL_9>", MAPPING).unknown == 0


def test_a_value_that_looks_like_a_placeholder_is_not_read_again() -> None:
    nested = Placeholders(values={"EMAIL_1": "<EMAIL_2>", "EMAIL_2": "bob@example.org"})
    assert restore("<EMAIL_1>", nested).text == "<EMAIL_2>"
    assert restore("<EMAIL_<EMAIL_1>>", nested).text == "<EMAIL_<EMAIL_2>>"


def test_another_tasks_placeholder_reveals_nothing() -> None:
    other = Placeholders(values={"EMAIL_2": "bob@example.org"})
    assert restore("<EMAIL_2>", MAPPING).text == "<EMAIL_2>"
    assert restore("<EMAIL_1>", other).text == "<EMAIL_1>"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_a_placeholder_split_over_chunks_is_restored(size: int) -> None:
    text = "a < b, to <EMAIL_1> &lt;EMAIL_1&gt; \\<EMAIL\\_1\\> & <SECRET_1> <EMAIL_2> x<"
    restorer = StreamRestorer(MAPPING)
    chunks = [restorer.feed(text[at : at + size]) for at in range(0, len(text), size)]
    chunks.append(restorer.finish())
    whole = restore(text, MAPPING)
    assert "".join(chunks) == whole.text
    assert restorer.unknown == whole.unknown == 1


def test_a_stream_holds_back_no_more_than_a_placeholder_could_be() -> None:
    restorer = StreamRestorer(MAPPING)
    assert restorer.feed("plain text") == "plain text"
    assert restorer.feed(" <EMA") == " "
    assert restorer.feed("IL_1> and") == "ada@example.org and"
    assert restorer.feed("<" + "a" * 200) == "<" + "a" * 200


def test_the_mapping_survives_the_vault() -> None:
    assert Placeholders.from_bytes(MAPPING.to_bytes()) == MAPPING
    assert MAPPING.to_bytes() == Placeholders.from_bytes(MAPPING.to_bytes()).to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff", b"[]", b"{}", b'{"values":{"A_1":7},"secrets":[],"literals":[]}'),
        *(b'{"values":[],"secrets":[],"literals":[]}',),
        *(b'{"values":{},"secrets":"AB","literals":[]}',),
        *(b'{"values":{},"secrets":[],"literals":[],"more":1}', b'{"ada@example.org'),
    ],
)
def test_bytes_that_are_no_mapping_are_refused_without_being_shown(data: bytes) -> None:
    with pytest.raises(PlaceholdersError, match="pass the bytes that were sealed") as caught:
        Placeholders.from_bytes(data)
    assert "ada" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_mapping_shows_how_much_it_holds_and_not_what() -> None:
    assert repr(MAPPING) == "Placeholders(restorable=2, secrets=1)"
    assert "ada" not in f"{MAPPING!r}{MAPPING!s}"
