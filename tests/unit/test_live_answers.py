"""What a caller is sent of an answer is what the answer begins with, whatever workers send."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.gateway.live_answers import LiveAnswer, LiveAnswers, Shown
from pointwork.providers.stream_frames import Opens

FIRST = Opens(attempt_id="t/1/1", model="m", served_as="m", number=1, estimate_nano_usd=0)
SECOND = replace(FIRST, attempt_id="t/2/1", number=2)


def shown_of(*texts: str, calls: tuple[Opens, ...] = (FIRST, SECOND)) -> tuple[str, bool]:
    """What a caller sees who looks after every piece of each call's text."""
    live, shown = LiveAnswer(), Shown()
    sent = ""
    for call, text in zip(calls, texts, strict=False):
        live.begin(call)
        for letter in text:
            live.add(letter)
            sent += shown.next_of(live)
    assert sent == shown.text
    return sent, shown.has_diverged


def test_a_call_sent_again_from_its_beginning_repeats_nothing() -> None:
    assert shown_of("It is", "It is tidy.", calls=(FIRST, FIRST)) == ("It is tidy.", False)


def test_a_second_call_that_says_the_same_goes_on_where_the_first_stopped() -> None:
    assert shown_of("It is", "It is tidy.") == ("It is tidy.", False)


@pytest.mark.req("JG-42")
def test_nothing_follows_once_a_second_call_says_something_else() -> None:
    assert shown_of("It is", "It was tidy.") == ("It is", True)


def test_a_restart_counts_once_a_call() -> None:
    live = LiveAnswer()
    for call in (FIRST, FIRST, SECOND):
        live.begin(call)
    assert (live.calls, live.begun) == (2, 3)


@given(st.text(max_size=30), st.integers(min_value=0, max_value=30))
def test_what_is_left_of_the_answer_completes_what_was_shown(answer: str, cut: int) -> None:
    live, shown = LiveAnswer(), Shown()
    live.begin(FIRST)
    live.add(answer[:cut])
    sent = shown.next_of(live)
    assert sent + (shown.rest_of(answer) or "") == answer


def test_an_answer_that_begins_otherwise_has_no_rest() -> None:
    live, shown = LiveAnswer(), Shown()
    live.begin(FIRST)
    live.add("It is")
    shown.next_of(live)
    assert shown.rest_of("It was") is None


def test_callers_of_one_task_share_its_answer_until_the_last_one_left() -> None:
    answers = LiveAnswers()
    with answers.listen("t") as one:
        with answers.listen("t") as other:
            assert one is other
        assert answers.find("t") is one
    assert answers.find("t") is None


def test_an_earlier_call_never_takes_the_place_of_a_later_one() -> None:
    live = LiveAnswer()
    again = replace(SECOND, attempt_id="t/2/2")
    assert [live.begin(each) for each in (FIRST, SECOND, again)] == [True, True, True]
    assert [live.begin(each) for each in (FIRST, SECOND)] == [False, False]
    assert live.call is again
