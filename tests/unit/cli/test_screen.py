"""What a person sees: figures in line, text as it is, and no terminal led astray by an answer."""

import pytest

from pointwork.cli.screen import Screen, age, milliseconds, shown, table, usd_aligned


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (200_000, "2 d")],
)
def test_an_age_is_told_in_its_largest_whole_unit(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_milliseconds_turn_into_seconds_from_one_second_on() -> None:
    assert milliseconds(999.4) == "999 ms"
    assert milliseconds(1000) == "1.0 s"


def test_amounts_in_a_column_have_their_points_in_one_line() -> None:
    amounts = [usd_aligned(each) for each in (0, 1, 7_860, 1_250_000_000)]
    assert amounts == ["$0.000000000", "$0.000000001", "$0.000007860", "$1.250000000"]


def test_escape_sequences_of_an_answer_never_reach_a_terminal() -> None:
    assert "\x1b" not in shown("plain \x1b[31mred\x1b]0;title\x07 text")
    assert shown("line one\nline two\tand ü 世界") == "line one\nline two\tand ü 世界"


def test_into_a_pipe_an_answer_goes_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Screen().text("a \x1b[31m b [bold]c[/bold] :smile:")
    assert capsys.readouterr().out == "a \x1b[31m b [bold]c[/bold] :smile:\n"


def test_into_a_pipe_a_table_is_neither_cut_nor_padded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    rows = table("ID", "WHY", shrink=["WHY"])
    rows.add_row("x" * 60, "because " * 12)
    Screen().show(rows)
    head, row = capsys.readouterr().out.splitlines()
    assert head == f"{'ID':<62}WHY"
    assert row == f"{'x' * 60}  {('because ' * 12).strip()}"
