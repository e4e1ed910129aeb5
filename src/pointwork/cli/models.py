"""``pointwork models``: weights of local models, pulled and verified."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from pointwork.cli.errors import CliError
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.screen import OK, Screen, listed, table

if TYPE_CHECKING:
    from pointwork.local.weights import OnPullProgress, PullProgress

app = typer.Typer(help="Weights of local models.")

MODEL_DEFAULT = "smollm2-135m"


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="Name of the model.")] = MODEL_DEFAULT,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Fetch a model's weights and verify them; a second pull only verifies."""
    from pointwork.local.weights import CATALOGUE

    if name not in CATALOGUE:
        raise CliError(f"model {name!r} cannot be pulled", f"choose one of: {listed(CATALOGUE)}")
    screen = Screen(as_json=as_json)
    path = pull_weights(screen, name, state_dir)
    weights = CATALOGUE[name]
    if as_json:
        return screen.document(
            {"model": name, "path": str(path), "sha256": weights.sha256, "licence": weights.licence}
        )
    screen.say(f"{name} is ready: {path}, {megabytes(weights.size_bytes)}, {weights.licence}.", OK)
    return screen.say(weights.notice) if weights.notice else None


@app.command("list")
def list_models(state_dir: StateDir = STATE_DIR_DEFAULT, as_json: AsJson = False) -> None:
    """The models that can be pulled, and which are here."""
    from pointwork.local.weights import CATALOGUE, installed_path

    paths = {name: installed_path(name, state_dir / "models") for name in CATALOGUE}
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            [
                {
                    "model": name,
                    "bytes": weights.size_bytes,
                    "licence": weights.licence,
                    "path": str(paths[name]) if paths[name].is_file() else None,
                }
                for name, weights in CATALOGUE.items()
            ]
        )
    rows = table("MODEL", "SIZE", "LICENCE", "STATE", right=["SIZE"])
    for name, weights in CATALOGUE.items():
        state = "pulled" if paths[name].is_file() else f"pointwork models pull {name}"
        rows.add_row(name, megabytes(weights.size_bytes), weights.licence, state)
    return screen.show(rows)


def pull_weights(screen: Screen, name: str, state_dir: Path) -> Path:
    """Pull with a progress bar on stderr.

    Raises:
        ModelPullError: the model is unknown or cannot be had; the text says what to do.
    """
    from pointwork.local.weights import pull as pull_model

    with _progress(screen, name) as on_progress:
        return pull_model(name, state_dir / "models", on_progress)


@contextmanager
def _progress(screen: Screen, name: str) -> "Iterator[OnPullProgress]":
    """A bar on a terminal; elsewhere one line for each step."""
    if not screen.err.is_terminal:
        yield _lines(screen)
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen.err, transient=True) as bar:
        row = bar.add_task(name, total=None)

        def show(progress: "PullProgress") -> None:
            # How long pip takes cannot be known, so the bar pulses until bytes are unpacked.
            total = progress.bytes_total if progress.bytes_done else None
            words = f"{progress.step} {progress.model}"
            bar.update(row, description=words, completed=progress.bytes_done, total=total)

        yield show


def _lines(screen: Screen) -> "OnPullProgress":
    from pointwork.local.weights import PullStep

    last = ""

    def show(progress: "PullProgress") -> None:
        nonlocal last
        if progress.step not in (last, PullStep.READY):
            last = progress.step
            screen.note(f"  {progress.step} {progress.model}")

    return show


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.0f} MB"
