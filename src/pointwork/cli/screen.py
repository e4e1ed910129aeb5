"""Where words go: the one result on stdout, everything a person reads meanwhile on stderr."""

import json
import shutil
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from pointwork.contract.money import NANO_PER_USD, format_usd
from pointwork.policy.reading.figures import age as age
from pointwork.policy.reading.figures import listed as listed
from pointwork.policy.reading.figures import milliseconds as milliseconds

OK, WARN, FAIL = "green", "yellow", "red"
_PIPE_COLUMNS = 200


class Screen:
    """One command's output. With ``as_json`` stdout carries exactly one JSON document."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        # Text of tasks and paths is printed as it is: no markup, no guessed highlighting.
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    def document(self, value: Any) -> None:
        """The command's one JSON document."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def text(self, text: str) -> None:
        """A text exactly as it is; on a terminal its control characters are shown, not obeyed."""
        safe = shown(text) if sys.stdout.isatty() else text
        sys.stdout.write(safe if safe.endswith("\n") else f"{safe}\n")
        sys.stdout.flush()

    def show(self, renderable: RenderableType) -> None:
        """A table or a list of facts, as part of the result."""
        _show(self.out, renderable)

    def aside(self, renderable: RenderableType) -> None:
        """The same beside the result, on stderr."""
        _show(self.err, renderable)

    def line(self, text: str = "", style: str = "") -> None:
        self.out.print(Text(text, style=style), soft_wrap=True)

    def say(self, text: str = "", style: str = "") -> None:
        """A message beside the result, on stderr."""
        self.err.print(Text(text, style=style), soft_wrap=True)

    def note(self, text: str) -> None:
        self.say(text, style="dim")

    def error(self, message: str) -> None:
        self.err.print(Text.assemble(("error: ", "bold red"), message), soft_wrap=True)


def _console(stream: TextIO) -> Console:
    # A pipe has no width to keep to: nothing is cut or folded that a program may read.
    wide = None if stream.isatty() else shutil.get_terminal_size((_PIPE_COLUMNS, 24)).columns
    return Console(file=stream, width=wide, highlight=False, markup=False, emoji=False)


def _show(console: Console, renderable: RenderableType) -> None:
    if console.is_terminal:
        console.print(renderable)
        return
    with console.capture() as captured:
        console.print(renderable)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def table(*columns: str, right: Iterable[str] = (), shrink: Iterable[str] = ()) -> Table:
    """A plain table: a rule under the head, two spaces between columns, no frame.

    ``right`` names the columns of figures; the columns of ``shrink`` give way when it is narrow.
    """
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    flexible, figures = set(shrink), set(right)
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in figures else "left",
            no_wrap=name not in flexible,
            overflow="fold" if name in flexible else "ellipsis",
            ratio=None,
        )
    return made


def facts(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """Name and value, one pair a row; a repeated name is written once."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    last = ""
    for name, value in pairs:
        made.add_row("" if name == last else name, value)
        last = name
    return made


def usd_aligned(amount_nano_usd: int) -> str:
    """For a column of amounts: nine decimals each, so that their points stand in one line."""
    return f"${amount_nano_usd // NANO_PER_USD}.{amount_nano_usd % NANO_PER_USD:09d}"


def usd(amount_nano_usd: int) -> str:
    return format_usd(amount_nano_usd)


def shown(text: str) -> str:
    """Text fit for a terminal, which must not act on escape sequences an answer may hold."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )
