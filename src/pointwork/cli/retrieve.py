"""``pointwork corpus`` and ``pointwork retrieve``: search texts of this host, offline (CX-70)."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from pointwork.cli.errors import CliError
from pointwork.cli.options import STATE_DIR_DEFAULT, AsJson, StateDir
from pointwork.cli.screen import OK, Screen, shown, table

if TYPE_CHECKING:
    from pointwork.executors.passages import Passage, TermWeight

app = typer.Typer(help="Texts of this host that can be searched.")

_EXCERPT_CHARACTERS = 160
_TERMS_SHOWN = 8

CorpusName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the corpus.")]
CorporaDir = Annotated[
    Path | None,
    typer.Option(
        "--corpora-dir",
        envvar="POINTWORK_CORPORA_DIR",
        help="Folder of the indexes; by default `corpora` in the state folder.",
        show_default=False,
    ),
]


@app.command()
def add(
    name: CorpusName,
    path: Annotated[
        Path,
        typer.Argument(help="A .jsonl file of id, title and text, or a folder of text files."),
    ],
    state_dir: StateDir = STATE_DIR_DEFAULT,
    corpora_dir: CorporaDir = None,
    as_json: AsJson = False,
) -> None:
    """Read texts and index them; the same name again replaces its index."""
    from pointwork.executors.corpora import index_path
    from pointwork.executors.corpus import Corpus
    from pointwork.executors.retrieval import build_index

    target = index_path(_folder(state_dir, corpora_dir), name)
    index = build_index(Corpus.load(path), target)
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            {
                "corpus": name,
                "documents": len(index.documents),
                "corpus_sha256": index.corpus_sha256,
                "index": str(target),
            }
        )
    return screen.say(f"{name} is indexed: {len(index.documents)} documents, {target}.", OK)


@app.command("list")
def list_corpora(
    state_dir: StateDir = STATE_DIR_DEFAULT,
    corpora_dir: CorporaDir = None,
    as_json: AsJson = False,
) -> None:
    """The corpora that were added."""
    from pointwork.executors.corpora import corpus_names, index_path

    folder = _folder(state_dir, corpora_dir)
    paths = {name: index_path(folder, name) for name in corpus_names(folder)}
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            [
                {"corpus": name, "index": str(path), "bytes": path.stat().st_size}
                for name, path in paths.items()
            ]
        )
    if not paths:
        return screen.say("No corpus yet; add one with `pointwork corpus add NAME PATH`.")
    rows = table("CORPUS", "SIZE", "INDEX", right=["SIZE"], shrink=["INDEX"])
    for name, path in paths.items():
        rows.add_row(name, f"{path.stat().st_size / 1000:.0f} kB", str(path))
    return screen.show(rows)


def retrieve(
    name: CorpusName,
    query: Annotated[str, typer.Argument(help="What to look for, in words.")],
    k: Annotated[int, typer.Option("-k", help="The most passages to show.")] = 5,
    diversity: Annotated[
        float, typer.Option(help="0 ranks by relevance alone; up to 1 spares repetition.")
    ] = 0.3,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show which words earned each score.")
    ] = False,
    state_dir: StateDir = STATE_DIR_DEFAULT,
    corpora_dir: CorporaDir = None,
    as_json: AsJson = False,
) -> None:
    """Rank the passages of a corpus that share words with QUERY; no model is asked."""
    from pointwork.contract.executors import PASSAGES_MAX
    from pointwork.executors.corpora import open_corpus

    if not 1 <= k <= PASSAGES_MAX:
        raise CliError(f"-k {k} is out of range", f"give 1 to {PASSAGES_MAX}")
    if not 0.0 <= diversity <= 1.0:
        raise CliError(f"--diversity {diversity} is out of range", "give 0 to 1")
    index = open_corpus(_folder(state_dir, corpora_dir), name)
    passages = index.search(query, k, diversity)
    terms = index.explain(query, passages) if explain else None
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            {
                "corpus": name,
                "corpus_sha256": index.corpus_sha256,
                "passages": [
                    _row(each, terms[at] if terms else None) for at, each in enumerate(passages)
                ],
            }
        )
    if not passages:
        return screen.say("No passage shares a word with the query.")
    for at, each in enumerate(passages):
        _print(screen, each, terms[at] if terms else None)
    return None


def _folder(state_dir: Path, corpora_dir: Path | None) -> Path:
    return corpora_dir if corpora_dir is not None else state_dir / "corpora"


def _row(passage: "Passage", terms: "tuple[TermWeight, ...] | None") -> dict[str, object]:
    row: dict[str, object] = {
        "rank": passage.rank,
        "id": passage.id,
        "title": passage.title,
        "text": passage.text,
        "score": passage.score,
    }
    if terms is not None:
        row["terms"] = [{"term": each.term, "weight": each.weight} for each in terms]
    return row


def _print(screen: Screen, passage: "Passage", terms: "tuple[TermWeight, ...] | None") -> None:
    head = Text.assemble(
        (f"{passage.rank:>2}  ", "dim"), (passage.id, "bold"), f"  {passage.score:.3f}"
    )
    screen.out.print(head, soft_wrap=True)
    words = shown(" ".join(passage.text.split()))
    cut = words[:_EXCERPT_CHARACTERS] + ("…" if len(words) > _EXCERPT_CHARACTERS else "")
    screen.line(f"    {cut}")
    if terms is not None:
        weights = ", ".join(f"{each.term} {each.weight:.3f}" for each in terms[:_TERMS_SHOWN])
        screen.line(f"    {weights}", "dim")
