"""What came of a bulk run, as JSON lines in the order of its file: the only place of its answers.

The file is written beside its name and takes it when it is whole, so that a crash leaves the old
one or none, and the command can be given again.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointwork.cli.errors import CliError
from pointwork.cli.screen import usd_aligned

if TYPE_CHECKING:
    from pointwork.ledger.bulk_runs import BulkBook, BulkItemEntry
    from pointwork.ledger.content import SealedContent

ONLY_ITS_OWNER = 0o600
UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Written:
    """How many lines the file has, and how many of their items have not ended."""

    items: int
    unfinished: int


def check_results_path(path: Path) -> Path:
    """Where the results will stand; a link is followed.

    Raises:
        CliError: nothing can be written there.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise CliError(f"--results {path} is not a regular file", "give the path of a file")
    if not os.access(target.parent, os.W_OK):
        what = "is not writable" if target.parent.exists() else "does not exist"
        raise CliError(f"the folder of --results {path} {what}", "give another path")
    return target


def write_results(path: Path, run_id: str, book: "BulkBook", content: "SealedContent") -> Written:
    """Write one line an item; an existing file is replaced at the end, at once.

    Raises:
        OSError: it cannot be written.
    """
    target = check_results_path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    items = unfinished = 0
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_ITS_OWNER)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for entry in book.entries(run_id):
                file.write(json.dumps(_line(entry, content), ensure_ascii=False) + "\n")
                items += 1
                unfinished += entry.outcome is None
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            part.unlink()
        raise
    return Written(items, unfinished)


def _line(entry: "BulkItemEntry", content: "SealedContent") -> dict[str, Any]:
    from pointwork.ledger.vault import ContentUnavailableError

    line: dict[str, Any] = {"id": entry.item_id, "task_id": entry.task_id}
    outcome = entry.outcome
    if outcome is None:
        nothing = dict.fromkeys(("text", "model", "cost_usd"))
        return line | {"status": UNFINISHED, **nothing, "reason": ""}
    text, reason = None, outcome.reason
    if outcome.answer is not None:
        try:
            text = content.answer_text(entry.task_id, outcome.answer)
        except ContentUnavailableError as error:
            reason = str(error)
    return line | {
        "status": outcome.status.value,
        "text": text,
        "model": outcome.served_model,
        "cost_usd": usd_aligned(outcome.cost_nano_usd).removeprefix("$"),
        "reason": reason,
    }
