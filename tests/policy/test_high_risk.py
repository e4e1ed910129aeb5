"""High-Risk is told from a diff: six groups, by place, and never from half a diff."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pointwork.policy.specs.high_risk import EVIDENCE_MAX, ChangeRisk, HighRiskGroup, change_risk
from pointwork.policy.specs.unified_diff import DIFF_CHARACTERS_MAX, DiffError
from tests.fakes.codex_rules import high_risk_groups

DIFFS = Path(__file__).parent / "diffs"
GROUPS = high_risk_groups()
REQUIREMENT_BY_CODE = {
    "hr_cross_crate": "CX-93",
    "hr_unsafe": "CX-94",
    "hr_security": "CX-95",
    "hr_data": "CX-96",
    "hr_tooling": "CX-97",
    "hr_public_api": "CX-98",
}


def diffs(code: str, kind: str) -> list[object]:
    found = sorted((DIFFS / code).glob(f"{kind}-*.diff"))
    assert found, code
    return [pytest.param(path, id=f"{code}-{path.stem}") for path in found]


def places(path: Path) -> dict[str, list[str]]:
    risk = change_risk(path.read_text(), GROUPS)
    return {hit.code: [each.place for each in hit.evidence] for hit in risk.groups}


def assert_hits(path: Path) -> None:
    found = places(path)[path.parent.name]
    text = path.read_text()
    assert all(place.partition(":")[0] in text for place in found)


def test_the_definition_has_its_six_groups() -> None:
    assert set(GROUPS) == set(REQUIREMENT_BY_CODE) == {each.name for each in DIFFS.iterdir()}


@pytest.mark.req("CX-93")
@pytest.mark.parametrize("path", diffs("hr_cross_crate", "hits"))
def test_a_cross_crate_refactor_is_high_risk(path: Path) -> None:
    assert_hits(path)


@pytest.mark.req("CX-94")
@pytest.mark.parametrize("path", diffs("hr_unsafe", "hits"))
def test_unsafe_code_foreign_functions_and_the_sandbox_are_high_risk(path: Path) -> None:
    assert_hits(path)


@pytest.mark.req("CX-95")
@pytest.mark.parametrize("path", diffs("hr_security", "hits"))
def test_security_secrets_and_personal_data_are_high_risk(path: Path) -> None:
    assert_hits(path)


@pytest.mark.req("CX-96")
@pytest.mark.parametrize("path", diffs("hr_data", "hits"))
def test_migrations_stored_formats_and_deletions_are_high_risk(path: Path) -> None:
    assert_hits(path)


@pytest.mark.req("CX-97")
@pytest.mark.parametrize("path", diffs("hr_tooling", "hits"))
def test_build_routing_providers_and_tools_are_high_risk(path: Path) -> None:
    assert_hits(path)


@pytest.mark.req("CX-97")
def test_an_edit_under_policies_is_high_risk_wherever_the_file_goes() -> None:
    edit = places(DIFFS / "hr_tooling" / "hits-an-edit-under-policies.diff")
    moved = places(DIFFS / "hr_tooling" / "hits-a-policy-that-was-renamed.diff")
    assert edit == {"hr_tooling": ["policies/codex/2.0.0.yaml:3"]}
    assert moved == {"hr_tooling": ["policies/codex/2.0.0.yaml"]}


@pytest.mark.req("CX-98")
@pytest.mark.parametrize("path", diffs("hr_public_api", "hits"))
def test_flags_commands_and_public_interfaces_are_high_risk(path: Path) -> None:
    assert_hits(path)


@pytest.mark.req("CX-93", "CX-94", "CX-95", "CX-96", "CX-97", "CX-98")
@pytest.mark.parametrize("path", [each for code in GROUPS for each in diffs(code, "misses")])
def test_a_near_miss_is_not_high_risk(path: Path) -> None:
    assert not change_risk(path.read_text(), GROUPS).is_high_risk


def test_evidence_is_places_and_never_content() -> None:
    diff = patch("+password = 'hunter2 of the vault'")
    assert change_risk(diff, GROUPS).is_high_risk
    assert "hunter2" not in change_risk(diff, GROUPS).model_dump_json()


def patch(*lines: str, path: str = "a.py") -> str:
    added = sum(not line.startswith("-") for line in lines)
    removed = sum(not line.startswith("+") for line in lines)
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
    return f"{head}@@ -1,{removed} +1,{added} @@\n" + "\n".join(lines) + "\n"


def test_lines_are_numbered_in_the_file_they_stand_in() -> None:
    diff = patch(" one", "-unsafe { a() }", " two", "+b()", "+unsafe { c() }")
    (hit,) = change_risk(diff, GROUPS).groups
    assert [each.place for each in hit.evidence] == ["a.py:2 (removed)", "a.py:4"]


def test_a_removed_line_that_looks_like_a_header_is_a_line() -> None:
    risk = change_risk(patch("--- a/policies/x.yaml", "+++ b/policies/x.yaml"), GROUPS)
    assert (risk.files, risk.changed_lines, risk.is_high_risk) == (("a.py",), 2, False)


def test_a_context_line_alone_is_no_change() -> None:
    assert not change_risk(patch(" unsafe { a() }", "+b()"), GROUPS).is_high_risk


def test_evidence_is_bounded() -> None:
    (hit,) = change_risk(patch(*["+unsafe { a() }"] * 100), GROUPS).groups
    assert len(hit.evidence) == EVIDENCE_MAX


@pytest.mark.parametrize(
    ("head", "path"),
    [
        (
            'diff --git "a/policies/na\\303\\257ve.yaml" "b/policies/na\\303\\257ve.yaml"',
            "naïve.yaml",
        ),
        ("diff --git a/policies/a b.yaml b/policies/a b.yaml", "a b.yaml"),
        ("diff --git policies/x.yaml policies/x.yaml", "x.yaml"),
        ("diff --git i/policies/x.yaml w/policies/x.yaml", "x.yaml"),
    ],
    ids=["quoted", "with blanks", "no prefix", "mnemonic prefix"],
)
def test_a_file_without_lines_is_known_by_its_name(head: str, path: str) -> None:
    diff = f"{head}\nindex 1..2 100644\nBinary files differ\n"
    risk = change_risk(diff, GROUPS)
    assert risk.files == (f"policies/{path}",)
    assert [hit.code for hit in risk.groups] == ["hr_tooling"]


def test_a_series_of_patches_with_messages_is_read() -> None:
    message = (
        "From 0123456789abcdef Mon Sep 17 00:00:00 2001\nSubject: x\n\n- unsafe\n---\n a | 1 +\n"
    )
    diff = f"{message}{patch('+a()')}-- \n2.40.0\n\n{message}{patch('+b()', path='b.py')}"
    risk = change_risk(diff, GROUPS)
    assert (risk.files, risk.changed_lines, risk.is_high_risk) == (("a.py", "b.py"), 2, False)


def test_a_plain_unified_diff_is_read() -> None:
    diff = "--- old/x.py\t2026-01-01\n+++ new/x.py\t2026-01-02\n@@ -1 +1 @@\n-a\n+unsafe\n"
    assert [hit.code for hit in change_risk(diff, GROUPS).groups] == ["hr_unsafe"]


@pytest.mark.parametrize("empty", ["", "\n"])
def test_no_change_has_no_risk(empty: str) -> None:
    assert change_risk(empty, GROUPS).changed_lines == 0


@pytest.mark.parametrize(
    ("diff", "says"),
    [
        ("hello", "git diff"),
        (patch("+a", "+b").removesuffix("+b\n"), "whole diff"),
        (patch("+a").replace("+1,1", "+1,2").removesuffix("\n"), "cut short"),
        (f"{patch('+a')}+unsafe\n", "outside a hunk"),
        (patch("+a").replace("@@ -1,0 +1,1 @@", "@@ here @@"), "line numbers"),
        ("@@ -1 +1 @@\n-a\n+b\n", "without a file"),
        ("diff --cc a.rs\n@@@ -1,1 -1,1 +1,1 @@@\n", "one side of the merge"),
        (f"diff --git a/{'x' * 5000} b/{'x' * 5000}\n", "4096"),
        ("diff --git a/x y b/z\nold mode 1\n", "name cannot be told"),
        ("x" * (DIFF_CHARACTERS_MAX + 1), "in parts"),
    ],
    ids=lambda value: str(value)[:20].encode("unicode_escape").decode(),
)
def test_what_cannot_be_read_in_full_is_refused(diff: str, says: str) -> None:
    with pytest.raises(DiffError, match=says):
        change_risk(diff, GROUPS)


def attempt(diff: str) -> ChangeRisk | DiffError:
    try:
        return change_risk(diff, GROUPS)
    except DiffError as error:
        return error


@given(st.text())
def test_any_text_is_a_change_or_a_refusal(text: str) -> None:
    for diff in (text, f"diff --git a/x b/x\n{text}", patch("+a") + text):
        told = attempt(diff)
        if isinstance(told, DiffError):
            assert 1 <= told.line <= diff.count("\n") + 1


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=30)))
def test_every_added_line_is_counted_whatever_it_says(lines: list[str]) -> None:
    risk = change_risk(patch(*[f"+{line}" for line in lines]), GROUPS)
    assert risk.changed_lines == len(lines)


@pytest.mark.parametrize(
    ("path", "crate"),
    [
        ("codex-rs/core/src/a/b.rs", "codex-rs/core"),
        ("codex-rs/core/src/tests/b.rs", "codex-rs/core"),
        ("codex-rs/core/tests/suite/b.rs", "codex-rs/core"),
        ("codex-rs/core/Cargo.toml", "codex-rs/core"),
        ("src/main.rs", "."),
        ("build.rs", "."),
        ("web/src/main.ts", None),
        ("codex-rs/core/README.md", None),
    ],
)
def test_a_crate_is_told_by_cargos_layout(path: str, crate: str | None) -> None:
    assert change_risk(patch("+a", path=path), {}).crates == ((crate,) if crate else ())


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        (r"(a+)+b", "without a bound"),
        (r"a*", "without a bound"),
        (r"(?:ab){1,9}", "repeats a group"),
        (r"a{1,9}{1,9}", "repeats a group"),
        (r"a{3,}", "no upper bound"),
        (r"a{1,65}", "over 64"),
        (r"(a)\1", "refers back"),
        (r"a(?=b)", "plain group"),
        (r"a(?i)b", "plain group"),
        (r"[a[b]", "set within a set"),
        (r"(a", "no regular expression"),
        (r"a)", "no regular expression"),
        (r"a{1,64}a{1,64}a{1,64}", "ways to match"),
        (r"(?:a|b)(?:a|b)" * 7, "ways to match"),
        (r"\s{0,9}", "every line"),
        (r"a|", "every line"),
    ],
)
def test_a_pattern_that_could_be_slow_or_says_nothing_is_refused(pattern: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        HighRiskGroup(title="a group", lines=(pattern,))


@pytest.mark.parametrize(
    "pattern", [r"(?i)\bab?c\b", r"[]a-z+*{]{1,9}x", r"a\{b\}", r"(?:a|b(?:c|d))?e"]
)
def test_a_bounded_pattern_is_allowed(pattern: str) -> None:
    assert HighRiskGroup(title="a group", lines=(pattern,)).lines == (pattern,)


@given(st.text("ab()|?*+{}[]\\,1i:^-", max_size=20))
def test_any_pattern_is_allowed_or_refused_in_words(pattern: str) -> None:
    with suppress(ValidationError):
        HighRiskGroup(title="a group", lines=(pattern,))


def test_a_group_without_a_test_is_refused() -> None:
    with pytest.raises(ValidationError, match="no test"):
        HighRiskGroup(title="a group")
