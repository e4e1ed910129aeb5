"""Finds the rules a person names: ``omega``, ``omega@1.0``, a document's path, or a hash."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pointwork.cli.deployment import load_policy, policies_folder
from pointwork.cli.errors import CliError
from pointwork.cli.screen import listed

if TYPE_CHECKING:
    from pointwork.policy.bundle import PolicyBundle

_HASH = re.compile(r"^[0-9a-f]{6,64}$")


def named_bundle(
    argument: str, name: str, *, policies_dir: Path | None, host: str, state_dir: Path
) -> "PolicyBundle":
    """The rules that ``name`` stands for.

    A version is looked for among the documents and then in the ledger of ``state_dir``, which
    keeps every bundle that ever decided; so is a hash, of a bundle or of a pack alone. A pack
    without a version is the version in force.

    Args:
        argument: what the command calls the argument, for its errors.
        name: as the person typed it.

    Raises:
        CliError: nothing has this name, or several have; lists what there is.
        PolicyError: the document is wrong.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        return _document(argument, Path(name), policies_dir, host)
    library = load_policy(policies_dir, host, state_dir)
    if name in library.packs:
        return library.active(name)
    pack, _, version = name.partition("@")
    held = {each.sha256: each for each in library.all()}
    if version:
        found = [e for e in held.values() if (e.pack.pack, e.pack.version) == (pack, version)]
        found = found or _recorded(state_dir, pack=pack, version=version)[-1:]
    elif _HASH.match(name):
        held |= {each.sha256: each for each in _recorded(state_dir, prefix=name)}
        found = [e for e in held.values() if e.sha256.startswith(name)]
        found = found or [e for e in held.values() if e.pack_sha256.startswith(name)]
    else:
        found = []
    if len(found) == 1:
        return found[0]
    if found:
        problem = f"{argument} {name!r} is the beginning of {len(found)} hashes"
        raise CliError(problem, "give more of it, or PACK@VERSION")
    known = listed(sorted(f"{e.pack.pack}@{e.pack.version}" for e in library.all()))
    raise CliError(
        f"{argument} {name!r:.80} names no rules that are held here",
        f"give one of {known}, the path of a document, or six or more digits of a hash",
    )


def _document(argument: str, path: Path, policies_dir: Path | None, host: str) -> "PolicyBundle":
    from pointwork.policy.documents.load import load_pack

    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise CliError(f"{argument} {path} {state}", "give the path of a pack's document")
    return load_pack(path, policies_folder(policies_dir), host)


def _recorded(
    state_dir: Path, *, pack: str = "", version: str = "", prefix: str = ""
) -> "list[PolicyBundle]":
    """Bundles in the ledger, oldest first; none where there is no ledger."""
    from pointwork.cli.deployment import has_ledger, open_ledger, stored_bundle
    from pointwork.ledger.policies import RevisionStore

    if not has_ledger(state_dir):
        return []
    engine = open_ledger(state_dir)
    refs = [
        ref
        for ref in RevisionStore(engine).list()
        if (ref.pack, ref.version) == (pack, version)
        or (prefix and prefix in (ref.bundle_sha256[: len(prefix)], ref.pack_sha256[: len(prefix)]))
    ]
    bundles = (stored_bundle(engine, ref.bundle_sha256) for ref in refs)
    return [each for each in bundles if each is not None]
