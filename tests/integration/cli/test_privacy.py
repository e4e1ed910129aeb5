"""``pointwork privacy scan``: what would be found in a text, and what would leave of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("language")

POINTWORK = str(Path(sys.executable).with_name("pointwork"))
KEY = "sk-ant-api03-" + "Zb7" * 31 + "AA"
LETTER = f"""Dear Martha Kowalska,
write to ada@example.org or call +44 7700 900123.
The key is {KEY}.
"""


def scan(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [POINTWORK, "privacy", "scan", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def letter(tmp_path: Path) -> str:
    path = tmp_path / "letter.txt"
    path.write_text(LETTER)
    return str(path)


def test_the_redacted_text_alone_goes_to_stdout_and_the_findings_beside_it(letter: str) -> None:
    done = scan(letter)
    assert done.returncode == 0
    assert done.stdout == (
        "Dear <PERSON_1>,\nwrite to <EMAIL_1> or call <PHONE_1>.\nThe key is <SECRET_1>.\n"
    )
    for found in ("1:6", "PERSON", "2:10", "EMAIL", "PHONE", "ANTHROPIC_KEY", "credential"):
        assert found in done.stderr
    assert "at least sensitive" in done.stderr
    for value in ("Kowalska", "ada@example.org", KEY):
        assert value not in done.stderr


def test_values_are_shown_when_asked_for_and_a_credential_never(letter: str) -> None:
    done = scan(letter, "--values")
    assert "Martha Kowalska" in done.stderr
    assert "ada@example.org" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_json_has_every_finding_by_place_and_the_redacted_text(letter: str) -> None:
    document = json.loads(scan(letter, "--json").stdout)
    assert document["sensitivity"] == "sensitive"
    assert document["characters"] == len(LETTER)
    kinds = {each["kind"]: each for each in document["findings"]}
    assert LETTER[kinds["EMAIL"]["start"] : kinds["EMAIL"]["end"]] == "ada@example.org"
    assert document["replaced"]["PERSON"] == 1
    assert "language@1" in document["detectors"]
    assert "Kowalska" not in json.dumps(document)


def test_patterns_only_leaves_names_and_loads_no_model(letter: str) -> None:
    done = scan(letter, "--patterns-only")
    assert "Dear Martha Kowalska" in done.stdout
    assert "ada@example.org" not in done.stdout


def test_fail_ends_with_one_where_anything_is_found_and_with_none_elsewhere(letter: str) -> None:
    assert scan(letter, "--patterns-only", "--fail").returncode == 1
    clean = scan("-", "--patterns-only", "--fail", text="Explain a hash map.\n")
    assert clean.returncode == 0
    assert clean.stdout == "Explain a hash map.\n"
    assert "That is no proof" in clean.stderr


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("missing.txt", None, "cannot be read (No such file or directory)"),
        ("noise.bin", b"\xff\xfe\x00", "is not text in UTF-8: see its byte 0"),
    ],
)
def test_a_file_that_is_no_text_is_named_with_the_remedy_and_not_quoted(
    tmp_path: Path, name: str, data: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    done = scan(str(path))
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_text_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.write_text("")
    assert scan(str(path), "--json").returncode == 0
