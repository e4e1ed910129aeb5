"""The process that reads language: whatever happens to it, a text it did not read is not read."""

from collections.abc import Iterator

import pytest

from pointwork.privacy.language.host import LanguageHost, LanguageUnavailableError
from tests.fakes.language_readers import NAME, Dies, Fails, Hangs, KnowsOneName, cannot_load

SECRET_WORDS = "the words of a prompt that must fail"


@pytest.fixture
def hosts() -> Iterator[list[LanguageHost]]:
    opened: list[LanguageHost] = []
    yield opened
    for host in opened:
        host.close()


def test_findings_come_back_from_the_other_process(hosts: list[LanguageHost]) -> None:
    hosts.append(host := LanguageHost(KnowsOneName))
    (found,) = host.find(f"This is {NAME}.")
    assert (found.start, found.end) == (8, 8 + len(NAME))


def test_a_reader_that_takes_too_long_is_ended_and_has_read_nothing(
    hosts: list[LanguageHost],
) -> None:
    hosts.append(host := LanguageHost(Hangs, read_seconds_min=0.2))
    with pytest.raises(LanguageUnavailableError, match="did not read the text within"):
        host.find("A text.")


def test_a_reader_that_dies_has_read_nothing_and_the_next_text_starts_another(
    hosts: list[LanguageHost],
) -> None:
    hosts.append(host := LanguageHost(Dies))
    with pytest.raises(LanguageUnavailableError, match="process ended while reading a text"):
        host.find("die here")
    assert len(host.find(f"{NAME} lives")) == 1


def test_the_error_of_a_reader_that_fails_does_not_quote_the_text(
    hosts: list[LanguageHost],
) -> None:
    hosts.append(host := LanguageHost(Fails))
    with pytest.raises(LanguageUnavailableError, match="failed to read the text: ValueError") as e:
        host.find(SECRET_WORDS)
    assert SECRET_WORDS not in str(e.value)
    assert len(host.find(NAME)) == 1


def test_models_that_cannot_be_loaded_are_named_with_the_remedy(hosts: list[LanguageHost]) -> None:
    hosts.append(host := LanguageHost(cannot_load))
    with pytest.raises(LanguageUnavailableError, match=r"ModuleNotFoundError; install 'pointwork"):
        host.find("A text.")
