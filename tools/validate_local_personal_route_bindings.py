"""Checks local and personal route bindings: python3 tools/validate_local_personal_route_bindings.py

Beyond the schema: every binding and profile has a name of its own, every reference leads to one of
this document, and each fallback ends at a base profile (SP-6 to SP-12).
"""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.contract_check import Contract, Problem, duplicates, main, shown
else:  # python3 puts a script's own folder on its path, and not the repository's root
    from contract_check import Contract, Problem, duplicates, main, shown

BASE = "base_local_profile"
HOSTED = "hosted_fallback"


def cross_check(document: dict[str, Any]) -> Iterator[Problem]:
    yield from duplicates("profiles", document["profiles"], "urn")
    yield from duplicates("bindings", document["bindings"], "urn")
    yield from duplicates("sources", document["sources"], "repository")
    profiles = {each["urn"]: each for each in document["profiles"]}
    bindings = {each["urn"]: each for each in document["bindings"]}
    yield from _sources(document)
    for index, binding in enumerate(document["bindings"]):
        for problem in _references(binding, profiles, bindings):
            yield Problem(("bindings", index, *problem.at), problem.what, problem.remedy)
    for purpose, urn in document["purpose_defaults"].items():
        at = ("purpose_defaults", purpose)
        binding = bindings.get(urn)
        if binding is None or binding["kind"] != BASE:
            yield _dangling(at, urn, f"{BASE} of $.bindings")
        elif not profiles.get(binding["profile"], {}).get("laptop_safe", True):
            yield Problem(
                at,
                f"leads to {binding['profile']}, which is not laptop_safe",
                "name a binding on a profile that is",
            )


def _sources(document: dict[str, Any]) -> Iterator[Problem]:
    """Profiles, personal artifacts and local fallbacks come from a repository that is listed."""
    listed = {each["repository"] for each in document["sources"]}
    for part in ("profiles", "bindings"):
        for index, each in enumerate(document[part]):
            if each.get("kind") != HOSTED and each["source"] not in listed:
                yield _dangling((part, index, "source"), each["source"], "repository of $.sources")


def _references(
    binding: dict[str, Any], profiles: dict[str, Any], bindings: dict[str, Any]
) -> Iterator[Problem]:
    if "profile" in binding and binding["profile"] not in profiles:
        yield _dangling(("profile",), binding["profile"], "profile of $.profiles")
    if "base_binding" in binding:
        base = bindings.get(binding["base_binding"])
        if base is None or base["kind"] != BASE:
            yield _dangling(("base_binding",), binding["base_binding"], f"{BASE} of $.bindings")
    if "fallback_for" in binding:
        first = bindings.get(binding["fallback_for"])
        if first is None or first["kind"] == HOSTED:
            yield _dangling(
                ("fallback_for",), binding["fallback_for"], "local binding of $.bindings"
            )
        elif _goes_round(binding, bindings):
            yield Problem(
                ("fallback_for",),
                f"is {shown(binding['fallback_for'])}, and following it never reaches a {BASE}",
                f"let the chain of fallbacks end at a {BASE} binding",
            )


def _goes_round(binding: dict[str, Any], bindings: dict[str, Any]) -> bool:
    passed: set[str] = set()
    while "fallback_for" in binding and binding["urn"] not in passed:
        passed.add(binding["urn"])
        binding = bindings.get(binding["fallback_for"], {})
    return binding.get("urn") in passed


def _dangling(at: tuple[str | int, ...], value: str, wanted: str) -> Problem:
    return Problem(
        at,
        f"is {shown(value)}, which is no {wanted}",
        f"name a {wanted}, or add it",
    )


CONTRACT = Contract(
    name="local-personal-route-binding",
    example="local-personal-route-binding.llama32.json",
    cross_check=cross_check,
)

if __name__ == "__main__":
    sys.exit(main(CONTRACT))
