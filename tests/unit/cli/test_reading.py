"""What a task is made of: read whole and as it is, or refused."""

from pathlib import Path

import pytest

from pointwork.cli.errors import CliError
from pointwork.cli.reading import read_prompt, read_schema
from pointwork.contract.prompt import ImagePart, Speaker
from pointwork.contract.task import CONTENT_BYTES_MAX

IMAGES = {
    "image/png": b"\x89PNG\r\n\x1a\n....",
    "image/jpeg": b"\xff\xd8\xff\xe0....",
    "image/gif": b"GIF89a....",
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ....",
}


def test_the_text_of_a_file_is_kept_to_the_last_character(tmp_path: Path) -> None:
    text = "  Grüße,\n\t世界 \n"
    (tmp_path / "text.txt").write_text(text)
    assert read_prompt(None, tmp_path / "text.txt", "", []).text == text


def test_a_system_text_stands_before_the_text_as_a_turn_of_its_own() -> None:
    first, second = read_prompt("Hello", None, "Be brief.", []).turns
    assert (first.speaker, first.text) == (Speaker.SYSTEM, "Be brief.")
    assert (second.speaker, second.text) == (Speaker.USER, "Hello")


@pytest.mark.parametrize("media_type", IMAGES)
def test_an_image_is_known_by_its_first_bytes_not_by_its_name(
    media_type: str, tmp_path: Path
) -> None:
    (tmp_path / "picture.txt").write_bytes(IMAGES[media_type])
    (turn,) = read_prompt("Describe it", None, "", [tmp_path / "picture.txt"]).turns
    image = turn.parts[0]
    assert isinstance(image, ImagePart)
    assert (image.media_type, image.data) == (media_type, IMAGES[media_type])


def test_a_text_may_have_as_many_bytes_as_the_contract_says_and_not_one_more() -> None:
    assert len(read_prompt("x" * CONTENT_BYTES_MAX, None, "", []).text) == CONTENT_BYTES_MAX
    with pytest.raises(CliError, match="a task may carry"):
        read_prompt("x" * (CONTENT_BYTES_MAX + 1), None, "", [])


def test_an_argument_that_was_no_text_to_the_shell_is_refused() -> None:
    with pytest.raises(CliError, match="not UTF-8 at byte 3"):
        read_prompt("caf\udce9", None, "", [])


def test_a_schema_is_read_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object", "required": ["b", "a"]}')
    assert read_schema(tmp_path / "schema.json") == {"type": "object", "required": ["b", "a"]}
