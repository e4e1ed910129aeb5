"""A diff is found in the text around it, and read however it was pasted (CX-93)."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.policy.bundle import PolicyLibrary
from pointwork.policy.specs.diff_in_text import diff_in
from pointwork.policy.specs.unified_diff import DiffError, read_diff
from tests.fakes.policy_facts import shipped
from workers.adapters import DiffMarks

DIFFS = Path(__file__).parent / "diffs"
DIFF = """\
diff --git a/src/a.rs b/src/a.rs
index 1111111..2222222 100644
--- a/src/a.rs
+++ b/src/a.rs
@@ -1,3 +1,3 @@ fn main
 fn main() {
-    let x = 1;
+    let x = 2;
 }
"""


def changed_lines(text: str) -> list[tuple[str, str]]:
    found = read_diff(diff_in(text))
    return [(line.side, line.text) for file in found for line in file.lines]


CHANGE = [("removed", "    let x = 1;"), ("added", "    let x = 2;")]


@pytest.mark.parametrize(
    "text",
    [
        DIFF,
        f"Please review this change:\n\n```diff\n{DIFF}```\n- is it right?\n+ or not?\n",
        f"{DIFF}\n- first point\n- second point\n",
        f"words\n{DIFF.partition('index')[2].partition(chr(10))[2]}",
        DIFF[DIFF.index("@@") :],
        DIFF.replace("\n", "\r\n"),
        DIFF.replace("-1,3 +1,3", "-1,9 +1,9"),
        DIFF.replace("-1,3 +1,3", "-1,1 +1,1"),
        DIFF.replace("-1,3 +1,3", "-1 +1"),
    ],
    ids=[
        *("alone", "fenced", "before a list", "without git's line", "a hunk alone"),
        *("of Windows", "cut short", "counted too low", "not counted"),
    ],
)
def test_a_pasted_diff_is_read_and_the_words_around_it_are_not(text: str) -> None:
    assert changed_lines(text) == CHANGE


@pytest.mark.parametrize(
    "text",
    ["", "hello", "- one\n- two\n+ three\n", "--- a rule\ntext\n", "a @@ b\n", "index 1\n", "+++"],
)
def test_a_text_without_a_diff_holds_none(text: str) -> None:
    assert diff_in(text) == ""


def test_two_files_stay_two() -> None:
    other = DIFF.replace("a.rs", "b.rs")
    files = read_diff(diff_in(f"first\n{DIFF}then\n{other}last"))
    assert [file.paths for file in files] == [["src/a.rs"], ["src/b.rs"]]


def test_a_removed_line_that_looks_like_a_header_is_a_removed_line() -> None:
    text = "--- a/x.sql\n+++ b/x.sql\n@@ -1,1 +1,1 @@\n--- old remark\n+++ new remark\n"
    assert changed_lines(text) == [("removed", "-- old remark"), ("added", "++ new remark")]


LINES = st.sampled_from(
    [
        *("@@ -1,2 +1,2 @@", "@@ -1 +1 @@", "@@ -5,0 +6,3 @@", "--- a/x", "+++ b/x", "+a", "-b"),
        *(" c", "", "\\ No newline at end of file", "words", "```", "- list", "index 1", "\r"),
        *("--- x", "+++ y", "-- ", "commit 1234567", "rename from a"),
    ]
)


@given(st.lists(LINES, max_size=30))
def test_whatever_is_pasted_the_strict_reader_takes_what_is_found(lines: list[str]) -> None:
    read_diff(diff_in("\n".join(lines)))


@given(st.text(alphabet="@-+ 1,ab/\n\r\\dif gt", max_size=300))
def test_no_text_breaks_the_search(text: str) -> None:
    try:
        read_diff(diff_in(text))
    except DiffError:
        assert "diff --" in text or "@@@ " in text


@pytest.mark.parametrize("path", sorted(DIFFS.rglob("*.diff")), ids=lambda path: path.stem)
def test_a_whole_diff_is_found_as_it_is(path: Path) -> None:
    text = path.read_text(errors="replace")
    alone, within = read_diff(text), read_diff(diff_in(f"Look:\n```\n{text}\n```\nThanks.\n"))
    assert [(file.paths, file.lines) for file in within] == [
        (file.paths, file.lines) for file in alone
    ]


CODEX = DiffMarks(PolicyLibrary([shipped("codex"), shipped()]))
UNSAFE = DIFF.replace("let x = 2;", "unsafe { go() }")


@pytest.mark.req("CX-93")
def test_the_groups_a_pasted_diff_touches_are_marks_of_the_task() -> None:
    assert "hr_unsafe" in CODEX.marks("codex", f"Review:\n{UNSAFE}")
    assert "hr_unsafe" not in CODEX.marks("codex", f"Review:\n{DIFF}")
    assert CODEX.marks("codex", "unsafe words without a diff") == ()


def test_a_change_that_cannot_be_read_is_taken_for_high_risk() -> None:
    merge = "diff --cc src/a.rs\n@@@ -1,1 -1,1 +1,2 @@@\n++x\n"
    assert set(CODEX.marks("codex", merge)) == set(shipped("codex").pack.high_risk_groups)


def test_a_pack_without_groups_and_a_pack_that_is_not_there_mark_nothing() -> None:
    assert CODEX.marks("omega", UNSAFE) == ()
    assert CODEX.marks("alpha", UNSAFE) == ()
