"""Broken pack documents, one mistake each, and what the refusal of each must say."""

from dataclasses import dataclass
from pathlib import Path

from tests.fakes.policy_facts import POLICIES

BASES = {
    "omega": POLICIES / "omega" / "1.0.yaml",
    **{name: Path(__file__).parent / "packs" / f"{name}.yaml" for name in ("roles", "steps")},
    "numbers": Path(__file__).parent / "packs" / "numbers.yaml",
}
GOOD = {name: path.read_text() for name, path in BASES.items()}
OMEGA = GOOD["omega"]
ALIAS_BOMB = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
    "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
    "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
    "g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
)


@dataclass(frozen=True)
class Bad:
    """A document, the text on the line its error names, and what the error says besides."""

    name: str
    document: bytes
    at: str | None
    says: tuple[str, ...]


def instead(old: str, new: str, base: str = "omega") -> bytes:
    """A good pack with ``old``, which it holds, replaced once."""
    text = GOOD[base]
    assert old in text, (base, old)
    return text.replace(old, new, 1).encode()


def _of_the_table() -> list[Bad]:
    """One wrong value a row: the pack, what stands instead of what, and the refusal's words."""
    rows = (Path(__file__).parent / "bad_documents.tsv").read_text().splitlines()[1:]
    found = []
    for row in rows:
        base, name, old, new, at, says = (cell.replace("\\n", "\n") for cell in row.split("\t"))
        found.append(Bad(name, instead(old, new, base), at, tuple(says.split(" ; "))))
    return found


SYNTAX = [
    Bad("broken_yaml", instead("timezone: UTC", "timezone: [UTC"), "rank:", ("correct it",)),
    Bad("empty", b"", None, ("not a mapping",)),
    Bad("a_list", b"- pack: omega\n", None, ("not a mapping",)),
    Bad("a_number", b"42\n", None, ("not a mapping",)),
    Bad("two_documents", OMEGA.encode() + b"---\na: 1\n", "---", ("correct it",)),
    Bad("alias_bomb", ALIAS_BOMB.encode(), "a: &a", ("&a", "write the value out")),
    Bad("alias", instead("hard_stop: true", "hard_stop: *yes"), "hard_stop", ("*yes",)),
    Bad("nested_20000_deep", b"a: " + b"[" * 20_000, "a: [", ("20 levels", "flatten")),
    Bad("mappings_20000_deep", b"a: " + b"{a: " * 20_000, "a: {", ("20 levels", "flatten")),
    Bad("python_tag", instead("UTC", "!!python/object/apply:os.getcwd []"), "timezone", ("tag",)),
    Bad("python_name", instead("UTC", "!!python/name:os.system ''"), "timezone", ("tag",)),
    Bad("own_tag", instead("UTC", "!zone UTC"), "timezone", ("!zone", "plain values")),
    Bad(
        "duplicate_key",
        instead("hard_stop:", "timezone: UTC\nhard_stop:"),
        "timezone: UTC\nhard",
        ("'timezone'", "twice", "remove one"),
    ),
    Bad(
        "duplicate_key_deep_down",
        instead("  summarize:", "  decide: red_team\n  summarize:"),
        "decide: high",
        ("'decide'", "twice", "remove one"),
    ),
    Bad("merge_key", instead("hard_stop: true", "<<: {hard_stop: true}"), "<<", ("correct it",)),
    Bad("key_that_is_no_text", instead("hard_stop: true", "1: true"), "1: true", ("1", "quote")),
    Bad("nul", OMEGA.replace("UTC", "U\0TC", 1).encode(), None, ("NUL", "plain text")),
    Bad("not_utf8", OMEGA.encode().replace(b"UTC", b"\xff\xfe", 1), None, ("UTF-8", "byte")),
    Bad("utf16", OMEGA.encode("utf-16"), None, ("UTF-8", "byte 0")),
    Bad("two_megabytes", b"# " + b"x" * 2_000_000, None, ("2000002", "shorten")),
    Bad("five_megabytes", b"a: " + b"x" * 5_000_000, None, ("5000003", "shorten")),
    Bad(
        "unknown_key",
        instead("hard_stop:", "hard_stops: yes\nhard_stop:"),
        "hard_stops",
        ("hard_stops", "remove it or correct"),
    ),
    Bad(
        "unknown_key_deep_down",
        instead("lane: local\n", "lane: local\n    vendor: acme\n"),
        "vendor: acme",
        ("families.local_open.vendor", "remove it or correct"),
    ),
    Bad(
        "cheapest_switched_off",
        instead("hard_stop:", "cheapest: false\nhard_stop:"),
        "cheapest: false",
        ("unknown key",),
    ),
    Bad("missing_key", instead("hard_stop: true\n", ""), None, ("hard_stop", "add it")),
    Bad("impossible_date", instead("2024-12-13", "2024-13-45"), "effective", ("2024-13-45",)),
    Bad(
        "endless_number",
        instead("high_volume_items: 100", f"high_volume_items: {'9' * 5000}"),
        "high_volume_items",
        ("999", "correct or quote"),
    ),
]

BAD = [*SYNTAX, *_of_the_table()]
