"""``pointwork policy seal``: puts new versions of a pack on record (OM-82, OM-83)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pointwork.cli.deployment import policies_folder
from pointwork.cli.errors import CliError
from pointwork.cli.options import HOST_DEFAULT, AsJson, HostName, PoliciesDir
from pointwork.cli.screen import OK, Screen, table


def seal(
    pack: Annotated[str, typer.Argument(metavar="PACK", help="Name of the pack.")],
    author: Annotated[str, typer.Option("--author", help="Who made the versions.")],
    policies_dir: PoliciesDir = None,
    host: HostName = HOST_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Record the hash, author and time of every version of PACK that is not on record yet.

    A version that is on record never changes: other content under it is refused.
    """
    from pointwork.policy.documents.sealing import seal as seal_version

    folder = policies_folder(policies_dir)
    now = datetime.now(UTC)
    # Every document is read before the first is put on record: all are sound, or none is sealed.
    found = _hashes(folder, pack, host)
    sealed = [
        (version, sha256)
        for version, sha256 in found
        if seal_version(folder / pack, version, sha256, author, now)
    ]
    screen = Screen(as_json=as_json)
    if as_json:
        return screen.document(
            {
                "pack": pack,
                "author": author,
                "sealed": [{"version": each, "pack_sha256": sha256} for each, sha256 in sealed],
            }
        )
    if not sealed:
        return screen.say(f"Every version of {pack} is on record already.")
    rows = table("VERSION", "SHA-256")
    for version, sha256 in sealed:
        rows.add_row(version, sha256)
    screen.show(rows)
    return screen.say(f"On record, by {author}; commit {folder / pack / 'revisions.yaml'}.", OK)


def _hashes(folder: Path, pack: str, host: str) -> list[tuple[str, str]]:
    """Version and hash of every document of the pack, oldest version first."""
    from pointwork.policy.documents.load import load_pack
    from pointwork.policy.documents.revisions import VERSION, number_of

    if Path(pack).name != pack or not (folder / pack).is_dir():
        raise CliError(f"PACK {pack!r} is no folder of {folder}", "name one of its folders")
    paths = [each for each in (folder / pack).glob("*.yaml") if VERSION.match(each.stem)]
    if not paths:
        raise CliError(f"{folder / pack} holds no version", "add <version>.yaml")
    paths.sort(key=lambda path: number_of(path.stem))
    loaded = [load_pack(path, folder, host) for path in paths]
    for bundle in loaded:
        if bundle.pack.pack != pack:
            raise CliError(
                f"{folder / pack} holds a document of pack {bundle.pack.pack!r}",
                "name the folder after its pack",
            )
    return [(each.pack.version, each.pack_sha256) for each in loaded]
