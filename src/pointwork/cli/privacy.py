"""``pointwork privacy``: what would be found in a text, where, and how it would look redacted."""

import sys
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointwork.cli.errors import CliError
from pointwork.cli.options import AsJson
from pointwork.cli.screen import FAIL, OK, WARN, Screen, shown, table

if TYPE_CHECKING:
    from pointwork.privacy.findings import Finding
    from pointwork.privacy.redact import Redacted

app = typer.Typer(help="Find and replace what must not leave the house, without sending anything.")

_REMEDY = "name a text file, or - for standard input"
_FOUND = 1
"""The exit code of ``--fail`` where something was found."""


@dataclass(frozen=True)
class _Text:
    whole: str

    def place(self, at: int) -> str:
        """``line:column``, both counted from one."""
        starts = self._line_starts()
        line = bisect_right(starts, at)
        return f"{line}:{at - starts[line - 1] + 1}"

    def _line_starts(self) -> list[int]:
        return [0, *(at + 1 for at, character in enumerate(self.whole) if character == "\n")]


@app.command()
def scan(
    file: Annotated[str, typer.Argument(help="A text file in UTF-8, or - for standard input.")],
    language: Annotated[
        bool,
        typer.Option(
            "--language/--patterns-only",
            help="Also look for names, places and addresses, as before a text leaves.",
        ),
    ] = True,
    values: Annotated[
        bool,
        typer.Option("--values", help="Show the values that were found, except credentials."),
    ] = False,
    fail: Annotated[
        bool, typer.Option("--fail", help="End with exit code 1 where anything is found.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Print what is sensitive in a text, and the text as a model outside would get it."""
    text = _read(file)
    findings, redacted = _look(text, language=language)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(_document(text, findings, redacted, values=values))
    else:
        _print(screen, text, findings, redacted, values=values)
    return _FOUND if fail and findings else 0


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise CliError(f"FILE {file} cannot be read ({error.strerror})", _REMEDY) from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # The decoder's own words quote the bytes.
        problem = f"FILE {file} is not text in UTF-8: see its byte {error.start}"
        raise CliError(problem, "convert it, as `iconv` does") from None


def _look(text: str, *, language: bool) -> tuple[list["Finding"], "Redacted | str"]:
    """What is found, by position, and the redacted text, or why there is none."""
    from pointwork.contract.prompt import Prompt
    from pointwork.privacy.detect import DETECTORS, scan
    from pointwork.privacy.redact import RedactionError, redact
    from pointwork.privacy.second_opinion import SECOND_OPINION

    detectors = (*DETECTORS, SECOND_OPINION)
    reading = _Once(text) if language else None
    found = [*scan(text, detectors).findings, *(reading.findings if reading else ())]
    found.sort(key=lambda finding: (finding.start, -finding.end))
    try:
        return found, redact(Prompt.from_text(text), detectors=detectors, language=reading)
    except RedactionError as error:
        return found, str(error)


class _Once:
    """The language readers, asked once for one text."""

    def __init__(self, text: str) -> None:
        from pointwork.privacy.language.reader import LanguageReader

        self.findings = LanguageReader().read(text) if text else []

    def find(self, _text: str) -> Sequence["Finding"]:
        return self.findings


def _rows(text: str, findings: Sequence["Finding"], *, values: bool) -> list[dict[str, Any]]:
    """Each stretch once: what a wider finding contains stands only where it says more."""
    place = _Text(text).place
    rows: list[dict[str, Any]] = []
    reach = {True: -1, False: -1}
    for finding in findings:
        raises = finding.data_class is not None
        if finding.end <= max(reach[True], -1 if raises else reach[False]):
            continue
        reach[raises] = max(finding.end, reach[raises])
        row = {
            "at": place(finding.start),
            "start": finding.start,
            "end": finding.end,
            "kind": finding.kind,
            "data_class": finding.data_class and finding.data_class.value,
            "detector": finding.detector,
        }
        if values:
            is_shown = not finding.is_secret
            row["value"] = text[finding.start : finding.end] if is_shown else "(a credential)"
        rows.append(row)
    return rows


def _sensitivity(findings: Sequence["Finding"]) -> str | None:
    from pointwork.contract.task import Sensitivity

    classes = {finding.data_class for finding in findings if finding.data_class is not None}
    highest = Sensitivity.highest(*(kind.sensitivity for kind in classes))
    return highest.value if highest else None


def _document(
    text: str, findings: Sequence["Finding"], redacted: "Redacted | str", *, values: bool
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "sensitivity": _sensitivity(findings),
        "characters": len(text),
        "findings": _rows(text, findings, values=values),
    }
    if isinstance(redacted, str):
        return {**document, "redacted": None, "refused": redacted}
    counts = {count.kind: count.count for count in redacted.counts}
    return {
        **document,
        "redacted": redacted.prompt.text,
        "replaced": counts,
        "detectors": list(redacted.rules),
    }


def _print(
    screen: Screen,
    text: str,
    findings: Sequence["Finding"],
    redacted: "Redacted | str",
    *,
    values: bool,
) -> None:
    if not findings:
        screen.say(f"Nothing was found in {len(text)} characters. That is no proof.", OK)
        return screen.text(text)
    columns = ["AT", "KIND", "DATA CLASS", "FOUND BY", *(["VALUE"] if values else [])]
    made = table(*columns)
    for row in _rows(text, findings, values=values):
        cells = [row["at"], row["kind"], row["data_class"] or "-", row["detector"]]
        made.add_row(*cells, *([shown(row["value"])] if values else []))
    screen.aside(made)
    level = _sensitivity(findings)
    screen.say(
        f"A task with this text is at least {level}."
        if level
        else "Nothing here raises how careful a task must be; it is replaced before it leaves.",
        WARN if level else OK,
    )
    if isinstance(redacted, str):
        return screen.say(redacted, FAIL)
    screen.say("Redacted, as a model outside would get it:", OK)
    return screen.text(redacted.prompt.text)
