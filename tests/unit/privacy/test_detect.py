"""What the always-on tier finds, and what it leaves alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pointwork.contract.task import DataClass, Sensitivity
from pointwork.privacy.detect import DETECTORS, scan
from pointwork.privacy.findings import Detector, Finding
from pointwork.privacy.tokens import TOKEN_RULES
from pointwork.privacy.view import View
from tests.unit.privacy.canaries import CREDENTIALS, PERSONAL, Canary, card
from tests.unit.privacy.wrappings import ENCODINGS, full_width, other_digits, zero_width

ALL = CREDENTIALS + PERSONAL
BARE = tuple(
    canary
    for canary in CREDENTIALS
    if "\n" not in canary.value and scan(canary.value).counts[:1] != ()
)
SURROUNDINGS = (
    *('"{}"', "'{}'", "`{}`", "({})", "[{}]", "{},b", "a,{},b", "x={}", "x={}&y=1", "a|{}|b"),
    *("**{}**", "\n{}\n", "{}.", "<b>{}</b>", "https://x.example/{}", "{};", '{{"k":"{}"}}'),
)


def harmless_lines() -> list[tuple[str, str]]:
    """Label and line of the labelled negative set."""
    lines = []
    label = ""
    for line in Path(__file__).with_name("harmless.txt").read_text("utf-8").splitlines():
        if line.startswith("# ") and line[2:].isalpha():
            label = line[2:]
        else:
            lines.append((label, line))
    return lines


def covers(text: str, value: str, kind: str | None = None) -> bool:
    start = text.index(value)
    return any(
        finding.start <= start
        and finding.end >= start + len(value)
        and kind in {None, finding.kind}
        for finding in scan(text).findings
    )


@pytest.mark.req("OM-40", "OM-48", "OM-50")
@pytest.mark.parametrize("canary", ALL, ids=lambda canary: canary.kind)
def test_every_canary_is_found_as_what_it_is(canary: Canary) -> None:
    assert covers(canary.text, canary.value, canary.kind)


@pytest.mark.req("OM-40")
def test_a_credential_makes_a_text_sensitive_and_a_plain_text_says_nothing() -> None:
    detection = scan(CREDENTIALS[0].text)
    assert detection.data_classes == (DataClass.CREDENTIAL,)
    assert detection.sensitivity is Sensitivity.SENSITIVE
    assert scan("A poem about rain.").sensitivity is None


def test_canaries_cover_at_least_forty_kinds_and_thirty_five_credentials() -> None:
    assert len({canary.kind for canary in ALL}) >= 40
    assert len({canary.kind for canary in CREDENTIALS}) >= 35
    assert len({rule.kind for rule in TOKEN_RULES}) >= 35


@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_a_credential_is_found_whatever_punctuation_touches_it(surroundings: str) -> None:
    missed = [
        canary.kind
        for canary in BARE
        if not covers(surroundings.format(canary.value), canary.value)
    ]
    assert missed == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_credential_is_found_behind_one_wrapping(encoding: str) -> None:
    encode = ENCODINGS[encoding]
    missed = [
        canary.kind
        for canary in BARE
        if not covers(f"see {encode(canary.value)} ok", encode(canary.value))
    ]
    assert missed == []
    assert len(BARE) >= 50


@pytest.mark.parametrize("disguise", [full_width, zero_width, other_digits])
def test_personal_data_is_found_in_look_alike_characters(disguise: Callable[[str], str]) -> None:
    missed = []
    for canary in PERSONAL:
        disguised = "".join(c if c.isspace() else disguise(c) for c in canary.value)
        text = canary.text.replace(canary.value, disguised)
        if not covers(text, disguised, canary.kind):
            missed.append(canary.kind)
    assert missed == []


@pytest.mark.parametrize("label", sorted({label for label, _ in harmless_lines()}))
def test_ordinary_lines_give_no_finding(label: str) -> None:
    flagged = {
        line: [finding.kind for finding in scan(line).findings]
        for labelled, line in harmless_lines()
        if labelled == label and scan(line).findings
    }
    assert flagged == {}


def test_the_negative_set_has_at_least_150_lines() -> None:
    assert len(harmless_lines()) >= 150


def test_a_number_whose_checksum_fails_is_not_reported() -> None:
    good = card("411111111111111")
    bad = good[:-1] + str((int(good[-1]) + 1) % 10)
    assert scan(f"charge {good} now").findings
    assert not scan(f"charge {bad} now").findings
    assert not scan("pay to DE00370400440532013000 today").findings


def test_a_web_token_counts_only_if_its_header_decodes() -> None:
    assert not scan("eyJhbGciOiJIUzI1NiIsInR5cCI6.eyJzdWIiOiIxMDQyIn0.c2lnbmF0dXJl").findings


def test_the_middle_of_a_long_text_is_read_like_its_ends() -> None:
    harmless = "All work and no play makes Jack a dull boy. " * 20_000
    text = harmless + CREDENTIALS[0].text + " " + harmless
    detection = scan(text)
    assert detection.scanned_characters == len(text)
    assert [finding.kind for finding in detection.findings] == [CREDENTIALS[0].kind]


def test_every_row_of_a_table_is_found() -> None:
    rows = "\n".join(
        f"{n},ada{n}@example.org,{card('41111111111' + f'{n:04}')}" for n in range(500)
    )
    counts = {count.kind: count.count for count in scan(rows).counts}
    assert counts == {"CARD": 500, "EMAIL": 500}


def test_the_detectors_that_ran_are_named_with_their_version() -> None:
    names = scan("anything").detectors
    assert names == tuple(detector.name for detector in DETECTORS)
    assert all("@" in name for name in names)


def test_a_detector_is_a_value_that_a_caller_can_add() -> None:
    def find(view: View) -> list[Finding]:
        at = view.text.index("Ada")
        return [Finding("PERSON", at, at + 3, DataClass.PERSONAL, "names@1")]

    detection = scan("It was \u200bAda.", (*DETECTORS, Detector(name="names@1", find=find)))
    assert [(finding.kind, finding.start, finding.end) for finding in detection.findings] == [
        ("PERSON", 8, 11)
    ]


def test_a_detector_that_fails_fails_the_scan() -> None:
    def find(_view: View) -> list[Finding]:
        raise OSError("model gone")

    with pytest.raises(OSError, match="model gone"):
        scan("text", (Detector(name="broken@1", find=find),))


def test_a_finding_never_holds_the_text_it_points_at() -> None:
    for canary in ALL:
        assert canary.value not in repr(scan(canary.text))
