"""The block of a spec: what is read from it, and that nothing else is ever believed."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointwork.contract.task import SpecFacts
from pointwork.policy.specs.spec_block import (
    SPEC_BYTES_MAX,
    SpecBlock,
    SpecBlockError,
    SpecRole,
    parse_spec,
)
from tests.fakes.codex_rules import SPEC, spec_rules

ROOT = Path(__file__).parents[2]
FULL = (ROOT / "examples/specs/full.md").read_text()
SHORT = (ROOT / "examples/specs/infrastructure-only.md").read_text()
RULES = spec_rules()
HEADING = RULES.heading
ROLES = [each.label for each in RULES.roles]
LANES = [*RULES.lanes, "Routing mode"]
FILE = "spec.md"


def read(text: str) -> SpecBlock:
    return parse_spec(text, RULES, file=FILE)


def instead(old: str, new: str, text: str = FULL) -> str:
    assert old in text, old
    return text.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    return next(at for at, line in enumerate(text.splitlines(), 1) if part in line)


def refused(text: str) -> SpecBlockError:
    with pytest.raises(SpecBlockError) as caught:
        read(text)
    error = caught.value
    assert str(error).startswith(f"{FILE}:{error.line}: {error.field}")
    assert error.remedy in str(error)
    assert "\n" not in str(error)
    return error


def attempt(text: str) -> SpecBlock | SpecBlockError:
    try:
        return read(text)
    except SpecBlockError as error:
        return error


@pytest.mark.req("CX-99")
def test_the_filled_block_is_read() -> None:
    assert read(FULL) == SpecBlock(
        policy_version="2.0.0",
        roles=("architect", "implementer", "judge"),
        local_only=False,
        high_risk=False,
        overrides=(),
        infrastructure_only=False,
        guardrails=("sandboxing", "evidence/logging", "no hallucinated citations"),
    )


@pytest.mark.req("CX-99")
def test_another_version_is_refused_with_its_line() -> None:
    text = (ROOT / "examples/specs/bad-version.md").read_text()
    error = refused(text)
    assert (error.line, error.field) == (line_of(text, "(version: 1.0.0)"), "Policy")
    assert "version: 1.0.0" in (error.found or "")
    assert RULES.policy_line in error.remedy


@pytest.mark.req("CX-99")
def test_a_spec_without_the_section_is_refused() -> None:
    error = refused(instead(f"{HEADING}\n", ""))
    assert (error.line, error.field, error.found) == (1, "heading", None)
    assert HEADING in error.remedy


@pytest.mark.req("CX-99")
def test_the_named_document_exists_in_the_version_the_rules_name() -> None:
    document = (ROOT / RULES.policy_path).read_text()
    assert re.findall(r"(?m)^\*\*Version\*\*: (.+)$", document) == [RULES.policy_version]


@pytest.mark.parametrize("label", ROLES)
def test_five_roles_are_refused(label: str) -> None:
    text = "\n".join(line for line in FULL.split("\n") if not line.startswith(f"- {label}:"))
    error = refused(text)
    assert (error.field, error.found) == (f"role {label}", None)
    assert error.line == line_of(text, HEADING)


@pytest.mark.parametrize("label", ROLES)
@pytest.mark.parametrize("value", ["YES/NO", "", "yes", "MAYBE", "<YES/NO>"])
def test_a_role_is_yes_or_no_and_nothing_else(label: str, value: str) -> None:
    text = re.sub(rf"- {re.escape(label)}: \w+", f"- {label}: {value}", FULL)
    error = refused(text)
    assert (error.line, error.field) == (line_of(text, f"- {label}:"), f"role {label}")
    assert error.remedy == "fill in YES or NO"


@pytest.mark.parametrize("role", RULES.roles, ids=lambda role: str(role.role))
def test_each_role_said_yes_to_is_among_the_roles_by_the_packs_name(role: SpecRole) -> None:
    every = re.sub(r"(?m)^(- (?:" + "|".join(map(re.escape, ROLES)) + r")): \w+$", r"\1: NO", FULL)
    text = every.replace(f"- {role.label}: NO", f"- {role.label}: YES")
    assert read(text).roles == (role.role,)


def test_a_role_that_is_never_declared_is_refused_by_name() -> None:
    error = refused(instead("- Tutor: NO", "- Embeddings: YES"))
    assert (error.field, error.found) == ("role", "Embeddings")
    assert "Auditor/Judge" in error.remedy


@pytest.mark.req("CX-101")
@pytest.mark.parametrize("name", LANES)
def test_a_line_that_differs_from_the_pack_needs_an_override_that_names_it(name: str) -> None:
    text = re.sub(rf"(?m)^{name}: .*$", f"{name}: Local only", FULL)
    error = refused(text)
    assert (error.line, error.field) == (line_of(text, f"{name}: Local only"), name)
    another = next(each for each in LANES if each != name)
    assert refused(instead("- none", f"- {another}: the GPU is free", text)).field == name
    assert refused(instead("- none", f"- about {name}: the GPU is free", text)).field == name
    assert refused(instead("- none", f"- {name}:", text)).field == name
    assert read(instead("- none", f"- {name}: the GPU is free", text)).overrides


@pytest.mark.req("CX-101")
@pytest.mark.parametrize("name", LANES)
def test_a_missing_lane_is_refused(name: str) -> None:
    error = refused(re.sub(rf"(?m)^{name}: .*\n", "", FULL))
    assert (error.field, error.found) == (name, None)


@pytest.mark.parametrize("name", list(RULES.tiers))
def test_the_tiers_are_the_packs_unless_an_override_names_one(name: str) -> None:
    changed = re.sub(rf"- {name}: .*", f"- {name}: whatever is cheap", FULL)
    assert refused(changed).field == name
    assert read(instead("- none", f"- {name}: a trial of a month", changed)).overrides
    assert refused(re.sub(rf"- {name}: .*\n", "", FULL)).field == f"tier {name}"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("- local_only = false  # if true → forbids all cloud calls", False),
        ("- local_only = true  # if true → forbids all cloud calls", True),
        ("- local_only = true", True),
        ("*\tlocal_only=true\t# offline", True),
    ],
)
def test_local_only_is_read_with_or_without_its_comment(line: str, *, expected: bool) -> None:
    text = re.sub(r"(?m)^- local_only.*$", line, FULL)
    assert read(text).local_only is expected


@pytest.mark.parametrize("value", ["", "True", "yes", "<true|false>", "true false"])
def test_local_only_is_true_or_false_and_nothing_else(value: str) -> None:
    error = refused(re.sub(r"(?m)^- local_only.*$", f"- local_only = {value}", FULL))
    assert (error.field, error.remedy) == ("local_only", "fill in true or false")


@pytest.mark.parametrize(
    "note", ["", " (if YES → cloud Architect + cloud Judge required)", " # so"]
)
def test_high_risk_is_read_with_or_without_its_note(note: str) -> None:
    text = re.sub(r"(?m)^- HR.*$", f"- HR = YES{note}", FULL)
    assert read(text).high_risk
    assert refused(text.replace("HR = YES", "HR = YES/NO")).field == "HR"


def test_overrides_are_none_or_a_list() -> None:
    two = "- Judge: the auditor asked for it\n- use the night batch, which\n  is cheaper"
    assert read(FULL).overrides == ()
    assert read(instead("- none", "* None")).overrides == ()
    assert read(instead("- none", two)).overrides == (
        "Judge: the auditor asked for it",
        "use the night batch, which is cheaper",
    )


@pytest.mark.parametrize(
    "entries",
    [
        "",
        "- <none | list>",
        "- Judge: <reason>",
        "- none\n- Judge: why",
        "- x\n" * 51,
        f"- {'x' * 501}",
    ],
    ids=["nothing", "unfilled", "unfilled reason", "none and some", "too many", "too long"],
)
def test_overrides_that_say_nothing_or_too_much_are_refused(entries: str) -> None:
    assert "Overrides" in refused(instead("- none", entries)).field


def test_the_infrastructure_only_block_is_read() -> None:
    block = read(SHORT)
    assert block.infrastructure_only
    assert (block.roles, block.local_only, block.high_risk) == ((), True, False)
    assert block.guardrails == RULES.guardrails
    assert not read(SHORT.replace("local_only = true", "local_only = false")).local_only


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("(version: 2.0.0)", "(version: 2.0.1)", "Policy"),
        ("true", "<true|false>", "local_only"),
        ("Roles exercised: none", "Roles exercised: Tutor", "Roles exercised"),
        ("sandboxing, ", "", "Guardrails still apply"),
        ("Guardrails still apply: sandboxing", "Sandboxing", "section"),
        ("Privacy: local_only = true\n", "", "local_only"),
        ("## Steps", "Primary tiers:\n\n## Steps", "section"),
    ],
)
def test_an_infrastructure_only_block_says_neither_less_nor_more(
    old: str, new: str, field: str
) -> None:
    assert refused(instead(old, new, SHORT)).field == field


@dataclass(frozen=True)
class Form:
    name: str
    write: Callable[[str], str]


HARMLESS = [
    Form("CRLF", lambda text: text.replace("\n", "\r\n")),
    Form("CR", lambda text: text.replace("\n", "\r")),
    Form("stars", lambda text: text.replace("\n- ", "\n* ")),
    Form("tabs", lambda text: text.replace("\n- ", "\n-\t").replace(": ", ":\t")),
    Form("trailing blanks", lambda text: text.replace("\n", " \t\n")),
    Form("closed heading", lambda text: text.replace(HEADING, f"{HEADING} ##")),
    Form("blank lines", lambda text: text.replace("\n", "\n\n")),
    Form(
        "end of file", lambda text: text[: text.index("\n## Acc") if "\n## Acc" in text else None]
    ),
    Form("a rule at its end", lambda text: re.sub(r"\n## (Acc|Steps)", r"\n---\n\n## \1", text)),
    Form("underlined heading", lambda text: re.sub(r"## (Acc\w*|Steps)", r"\1\n-----", text)),
    Form("an example before it", lambda text: f"```md\n{HEADING}\nPolicy: x\n```\n{text}"),
    Form("a comment", lambda text: f"<!--\n{HEADING}\n-->\n{text}"),
    Form(
        "an example within it", lambda text: text.replace("Policy:", "```\nHR = 1\n```\nPolicy:", 1)
    ),
    Form("a higher heading", lambda text: re.sub(r"## (Acc|Steps)", r"# \1", text)),
]


@pytest.mark.parametrize("form", HARMLESS, ids=lambda form: form.name)
@pytest.mark.parametrize("text", [FULL, SHORT], ids=["full", "short"])
def test_how_the_page_is_written_changes_nothing(form: Form, text: str) -> None:
    assert read(form.write(text)) == read(text)


WRONG = [
    ("a second section", FULL + "\n" + FULL, "heading"),
    ("a deeper heading", instead(HEADING, f"#{HEADING}"), "heading"),
    ("the section in a code fence", f"~~~\n{FULL}", "heading"),
    ("the body in a code fence", instead("Policy:", "```\nPolicy:"), "Policy"),
    ("the section in a comment", f"<!--\n{FULL}\n-->", "heading"),
    ("a line stated twice", instead("\nJudge: ", "\nJudge: Cloud-only (always)\nJudge: "), "Judge"),
    ("a role stated twice", instead("- Tutor: NO", "- Tutor: NO\n- Tutor: YES"), "role Tutor"),
    ("a list stated twice", instead("Privacy:", "Privacy:\nPrivacy:"), "Privacy"),
    ("no policy line", instead("Policy: docs/MODEL-POLICY.md (version: 2.0.0)\n", ""), "Policy"),
    ("another document", instead("docs/MODEL-POLICY.md", "docs/OTHER.md"), "Policy"),
    ("prose among the lines", instead("Routing mode", "We like it.\nRouting mode"), "section"),
    ("an entry under no list", instead("Routing mode", "x\n\n- y\nRouting mode"), "section"),
    ("an entry after a line", instead("Primary tiers:\n", ""), "entry"),
    ("an unknown tier", instead("local_reflex", "local_reflux"), "tier"),
    ("an invisible letter", instead("Judge: Cloud", "Judge: \u200bCloud"), "Judge"),
    ("half a character", f"{FULL}\ud800", "text"),
    ("a megabyte", FULL + "x" * SPEC_BYTES_MAX, "text"),
    ("a megabyte of wide letters", FULL + "ł" * (SPEC_BYTES_MAX // 2), "text"),
]


@pytest.mark.parametrize(("name", "text", "field"), WRONG, ids=[name for name, *_ in WRONG])
def test_what_is_not_stated_plainly_is_refused(name: str, text: str, field: str) -> None:
    assert refused(text).field == field


def test_an_error_quotes_little_and_on_one_line() -> None:
    noise = "\x1b[2J" * 5_000
    assert len(str(refused(instead("- Tutor: NO", f"- Tutor: {noise}")))) < 400


def test_a_block_becomes_the_facts_a_task_carries() -> None:
    facts = SpecFacts(
        name="retry-patch",
        policy_version="2.0.0",
        roles=("architect", "implementer", "judge"),
    )
    assert read(FULL).facts("retry-patch") == facts


PIECES = st.sampled_from([*FULL.split("\n"), *SHORT.split("\n"), *("```", "<!--", "-->", "===")])


@given(st.one_of(st.text(), st.lists(PIECES, max_size=60).map("\n".join)))
def test_any_text_is_a_block_or_an_error_that_names_a_line_of_it(text: str) -> None:
    match attempt(text):
        case SpecBlock() as block:
            assert HEADING in text
            assert block.policy_version == SPEC["policy_version"]
        case error:
            assert 1 <= error.line <= len(re.split(r"\r\n|\r|\n", text))
            assert str(error)


@given(st.integers(0, FULL.count("\n")), st.text(max_size=40))
def test_no_line_can_be_slipped_into_a_block_to_loosen_it(at: int, slipped: str) -> None:
    lines = FULL.split("\n")
    text = "\n".join([*lines[:at], slipped, *lines[at:]])
    block = attempt(text)
    if isinstance(block, SpecBlock):
        assert block.roles == read(FULL).roles
        assert not block.local_only
