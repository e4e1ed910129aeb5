"""What ``pointwork run`` is given to read: text, images, an answer's schema. Checked here, whole.

No error quotes what was read.
"""

import base64
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.errors import CliError
from pointwork.contract.task import CONTENT_BYTES_MAX

if TYPE_CHECKING:
    from pointwork.contract.prompt import AnswerSchema, ImagePart, Prompt

_IMAGE_HEADS = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
}
_WEBP_HEAD, _WEBP_MARK = b"RIFF", b"WEBP"


def read_prompt(
    text: str | None, file: Path | None, system: str, images: Sequence[Path]
) -> "Prompt":
    """The prompt from TEXT, ``--file`` or stdin, with a system text and images before it.

    Raises:
        CliError: two sources, none, or one that is empty, too large, or not UTF-8 text.
    """
    from pointwork.contract.prompt import Part, Prompt, Speaker, TextPart, Turn

    words = _read_text(text, file, is_optional=bool(images))
    if not words.strip() and not images:
        raise CliError(f"{_source(text, file)} is empty", "give the task a text")
    parts: list[Part] = [_read_image(path) for path in images]
    if words.strip():
        parts.append(TextPart(text=words))
    turns = [Turn(speaker=Speaker.USER, parts=tuple(parts))]
    if system.strip():
        turns.insert(0, Turn(speaker=Speaker.SYSTEM, parts=(TextPart(text=system),)))
    return Prompt(turns=tuple(turns))


def read_schema(path: Path) -> "AnswerSchema":
    """The JSON Schema in the file.

    Raises:
        CliError, TaskRefusedError: no such file, not JSON, or no JSON Schema.
    """
    from jsonschema import Draft202012Validator, SchemaError

    from pointwork.client import parse_schema

    schema = parse_schema(_decoded(_read_file(path, "--schema"), f"--schema {path}"), str(path))
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = "/".join(str(part) for part in error.absolute_path) or "its top level"
        problem = f"--schema {path} is no JSON Schema (draft 2020-12) at {place}"
        raise CliError(problem, "correct it there") from None
    return schema


def _read_text(text: str | None, file: Path | None, *, is_optional: bool) -> str:
    if text is not None and file is not None:
        raise CliError("TEXT and --file are both given", "give one of them")
    if file is not None and str(file) != "-":
        return _decoded(_read_file(file, "--file"), f"--file {file}")
    if text is not None and text != "-":
        return _decoded(text.encode("utf-8", "surrogateescape"), "TEXT")
    if text is None and file is None and sys.stdin.isatty():
        if is_optional:
            return ""
        raise CliError("the task has no text", "give TEXT or --file, or pipe a text in")
    return _decoded(sys.stdin.buffer.read(CONTENT_BYTES_MAX + 1), "stdin")


def _source(text: str | None, file: Path | None) -> str:
    if file is not None:
        return f"--file {file}"
    return "TEXT" if text is not None else "stdin"


def _read_file(path: Path, option: str) -> bytes:
    """A regular file of at most ``CONTENT_BYTES_MAX`` bytes; a pipe or device could be endless."""
    if path.is_dir():
        raise CliError(f"{option} {path} is a folder", "give the path of a file")
    if not path.exists():
        raise CliError(f"{option} {path} does not exist", "correct the path")
    if not path.is_file():
        raise CliError(f"{option} {path} is not a regular file", "give the path of a file")
    size_bytes = path.stat().st_size
    if size_bytes > CONTENT_BYTES_MAX:
        raise _too_large(f"{option} {path}", str(size_bytes))
    return path.read_bytes()


def _decoded(data: bytes, name: str) -> str:
    if len(data) > CONTENT_BYTES_MAX:
        raise _too_large(name, f"more than {CONTENT_BYTES_MAX}")
    if b"\0" in data:
        raise CliError(f"{name} holds a NUL character", "give it as plain text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"{name} is not UTF-8 at byte {error.start}"
        raise CliError(problem, "save it as UTF-8") from None


def _too_large(name: str, size: str) -> CliError:
    return CliError(
        f"{name} has {size} bytes, and a task may carry {CONTENT_BYTES_MAX}",
        "shorten it or split it into several tasks",
    )


def _read_image(path: Path) -> "ImagePart":
    from pointwork.contract.prompt import ImagePart

    data = _read_file(path, "--image")
    media_type = _image_type(data)
    if media_type is None:
        problem = f"--image {path} is no PNG, JPEG, WebP or GIF"
        raise CliError(problem, "convert it to one of these")
    return ImagePart(media_type=media_type, data=base64.b64encode(data))


def _image_type(data: bytes) -> str | None:
    for media_type, heads in _IMAGE_HEADS.items():
        if data.startswith(heads):
            return media_type
    if data.startswith(_WEBP_HEAD) and data[8:12] == _WEBP_MARK:
        return "image/webp"
    return None
