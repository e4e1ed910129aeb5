"""Bad documents are refused in one sentence that says where, what and how to mend it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from pointwork.policy.load import load_library, load_pack
from pointwork.policy.strict_yaml import PolicyError
from tests.fakes.policy_facts import POLICIES

ROOT = Path(__file__).parents[2]
GROWTH_BYTES_MAX = 50 * 2**20
GOOD = (POLICIES / "omega" / "1.0.yaml").read_text()
ALIAS_BOMB = (
    "a: &a [x,x,x,x,x,x,x,x,x]\n"
    "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
    "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
    "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
    "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
    "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
    "g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
)


def instead(old: str, new: str) -> bytes:
    """The shipped pack with ``old``, which it holds, replaced once."""
    assert old in GOOD, old
    return GOOD.replace(old, new, 1).encode()


def without(line: str) -> bytes:
    return instead(f"{line}\n", "")


@dataclass(frozen=True)
class Bad:
    """A document, the text on the line its error names, and what the error says besides."""

    name: str
    document: bytes
    at: str | None
    says: tuple[str, ...]


BAD = [
    Bad("broken_yaml", instead("timezone: UTC", "timezone: [UTC"), "rank:", ("correct it",)),
    Bad("empty", b"", None, ("not a mapping",)),
    Bad("a_list", b"- pack: omega\n", None, ("not a mapping",)),
    Bad("a_number", b"42\n", None, ("not a mapping",)),
    Bad("two_documents", GOOD.encode() + b"---\na: 1\n", "---", ("correct it",)),
    Bad("alias_bomb", ALIAS_BOMB.encode(), "a: &a", ("&a", "write the value out")),
    Bad("alias", instead("hard_stop: true", "hard_stop: *yes"), "hard_stop", ("*yes",)),
    Bad("nested_20000_deep", b"a: " + b"[" * 20_000, "a: [", ("20 levels", "flatten")),
    Bad("python_tag", instead("UTC", "!!python/object/apply:os.getcwd []"), "timezone", ("tag",)),
    Bad("own_tag", instead("UTC", "!zone UTC"), "timezone", ("!zone", "plain values")),
    Bad(
        "duplicate_key",
        instead("hard_stop:", "timezone: UTC\nhard_stop:"),
        "timezone: UTC\nhard",
        ("'timezone'", "twice", "remove one"),
    ),
    Bad("merge_key", instead("hard_stop: true", "<<: {hard_stop: true}"), "<<", ("correct it",)),
    Bad("key_that_is_no_text", instead("hard_stop: true", "1: true"), "1: true", ("1", "quote")),
    Bad("nul", GOOD.replace("UTC", "U\0TC", 1).encode(), None, ("NUL", "plain text")),
    Bad("not_utf8", GOOD.encode().replace(b"UTC", b"\xff\xfe", 1), None, ("UTF-8", "byte")),
    Bad("two_megabytes", b"# " + b"x" * 2_000_000, None, ("2000002", "shorten")),
    Bad("five_megabytes", b"a: " + b"x" * 5_000_000, None, ("5000003", "shorten")),
    Bad(
        "unknown_key",
        instead("hard_stop:", "hard_stops: yes\nhard_stop:"),
        "hard_stops",
        ("hard_stops", "remove it or correct"),
    ),
    Bad(
        "cheapest_switched_off",
        instead("hard_stop:", "cheapest: false\nhard_stop:"),
        "cheapest: false",
        ("unknown key",),
    ),
    Bad("missing_key", without("hard_stop: true"), None, ("hard_stop", "add it")),
    Bad("wrong_schema_version", instead("pack/1", "pack/9"), "schema_version", ("pack/9",)),
    Bad("version_is_a_number", instead('"1.0"', "1.0"), "version: 1.0", ("1.0", "string")),
    Bad(
        "version_is_not_the_file_name",
        instead('"1.0"', '"1.1"'),
        'version: "1.1"',
        ("'1.1'", "align"),
    ),
    Bad(
        "unknown_time_zone",
        instead("UTC", "Mars/Olympus"),
        "timezone",
        ("Mars/Olympus", "Europe/Berlin"),
    ),
    Bad(
        "time_zone_that_climbs",
        instead("UTC", "../../etc/passwd"),
        "timezone",
        ("../../etc/passwd", "Europe/Berlin"),
    ),
    Bad("impossible_date", instead("2024-12-13", "2024-13-45"), "effective", ("2024-13-45",)),
    Bad(
        "endless_number",
        instead("high_volume_items: 100", f"high_volume_items: {'9' * 5000}"),
        "high_volume_items",
        ("999", "correct or quote"),
    ),
    Bad(
        "negative_ceiling",
        instead('grok_class: "0.05"', 'grok_class: "-0.05"'),
        "bulk_generation: {local",
        ("-0.05", "at least zero"),
    ),
    Bad("float_amount", instead('limit: "20.00"', "limit: 20.00"), "limit: ", ("20.0", "quoted")),
    Bad("integer_amount", instead('limit: "20.00"', "limit: 20"), "limit: ", ("20", "quoted")),
    Bad("boolean_amount", instead('limit: "20.00"', "limit: true"), "limit: ", ("True", "quoted")),
    Bad(
        "amount_that_is_no_number",
        instead('limit: "20.00"', 'limit: "NaN"'),
        "limit: ",
        ("NaN", "quoted"),
    ),
    Bad("infinite_amount", instead('limit: "20.00"', 'limit: ".inf"'), "limit: ", (".inf",)),
    Bad(
        "amount_below_a_nano",
        instead('limit: "20.00"', 'limit: "0.0000000001"'),
        "limit: ",
        ("whole nano-USD",),
    ),
    Bad("amount_past_all_money", instead('limit: "20.00"', 'limit: "1e30"'), "limit: ", ("less",)),
    Bad(
        "amount_with_a_currency",
        instead('limit: "20.00"', 'limit: "$20"'),
        "limit: ",
        ("$20", "quoted"),
    ),
    Bad(
        "class_without_ceilings",
        instead("  red_team: {local", "  red_time: {local"),
        "ceilings:",
        ("'red_team'", "add one"),
    ),
    Bad(
        "family_without_a_ceiling",
        instead('gpt_class: "0.50", ', ""),
        "high_stakes_logic: {",
        ("'gpt_class'", "add one"),
    ),
    Bad(
        "unknown_family_in_a_route",
        instead("[[grok_class]", "[[gork_class]"),
        "[[gork_class]",
        ("'gork_class'", "define it"),
    ),
    Bad(
        "unknown_local_family",
        instead("local_family: local_open", "local_family: locals"),
        "local_family",
        ("'locals'", "define it"),
    ),
    Bad(
        "task_type_of_no_class",
        instead("decide: high_stakes_logic", "decide: high_steaks"),
        "decide:",
        ("'high_steaks'", "no class"),
    ),
    Bad(
        "quality_floor_of_four",
        instead("quality_floor: 3", "quality_floor: 4"),
        "quality_floor: 4",
        ("4", "less than or equal to 3"),
    ),
    Bad(
        "nearness_ratio_that_switches_off",
        instead('ratio: "0.80"', 'ratio: "1"'),
        "ceiling_near_ratio",
        ("1", "less than 1"),
    ),
    Bad(
        "nearness_ratio_as_a_float",
        instead('ratio: "0.80"', "ratio: 0.8"),
        "ceiling_near_ratio",
        ("0.8", "quote it"),
    ),
    Bad(
        "approvals_out_of_order",
        instead("14400", "90000"),
        "approvals:",
        ("90000", "rise in this order"),
    ),
    Bad(
        "change_without_its_effect_on_privacy",
        instead("    privacy: Rises", "    #"),
        "expected",
        ("privacy", "add it"),
    ),
    Bad(
        "more_vendors_than_there_are",
        instead("vendors_min: 2", "vendors_min: 99"),
        "vendors_min",
        ("99", "another vendor"),
    ),
    Bad(
        "approved_model_nobody_lists",
        instead(
            "redact_before_egress: true",
            "redact_before_egress: true\n  approved_private_models: [gpt-9]",
        ),
        "approved_private",
        ("'gpt-9'", "remove"),
    ),
]


def refusal_of(load: Callable[[], object]) -> str:
    with pytest.raises(PolicyError) as caught:
        load()
    return str(caught.value)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_pack_is_refused_with_place_value_and_remedy(bad: Bad, tmp_path: Path) -> None:
    path = tmp_path / "1.0.yaml"
    path.write_bytes(bad.document)
    said = refusal_of(lambda: load_pack(path, POLICIES, "embedded"))
    assert said.startswith(f"{path}: ")
    assert said.isprintable()
    assert len(said) < 400 + len(str(path))
    for part in bad.says:
        assert part in said
    if bad.at is not None:
        text = bad.document.decode()
        line = text[: text.index(bad.at)].count("\n") + 1
        assert f": line {line}: " in said


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own figures")
def test_refusing_all_of_them_takes_no_memory_to_speak_of(tmp_path: Path) -> None:
    assert len(ALIAS_BOMB) == 236
    for number, bad in enumerate(BAD):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "1.0.yaml").write_bytes(bad.document)
    child = subprocess.run(
        [sys.executable, "-m", "tests.policy.refuse_documents", *tmp_path.glob("*/1.0.yaml")],
        capture_output=True,
        cwd=ROOT,
        env={},
        timeout=120,
        check=True,
    )
    found = json.loads(child.stdout)
    assert len(found["refusals"]) == len(BAD)
    assert found["grown_bytes"] < GROWTH_BYTES_MAX


def test_a_missing_document_a_folder_and_a_link_are_refused(tmp_path: Path) -> None:
    link = tmp_path / "1.0.yaml"
    link.symlink_to(POLICIES / "omega" / "1.0.yaml")
    for path, says in (
        (tmp_path / "2.0.yaml", "is not a file"),
        (tmp_path, "is not a file"),
        (link, "symbolic link"),
    ):
        said = refusal_of(partial(load_pack, path, POLICIES, "embedded"))
        assert said.startswith(f"{path}: ")
        assert says in said


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A copy of the shipped documents, free to be spoiled."""
    return Path(shutil.copytree(POLICIES, tmp_path / "policies"))


def _spoil(path: Path, old: str, new: str) -> int:
    """Replace ``old`` once; the number of its line."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("models.yaml", "model: grok-4.5,", "model: grok-99,", ("grok-99", "state one")),
        ("models.yaml", "input_per_mtok: 11000000", "input_per_mtok: -1", ("-1", "or equal to 0")),
        ("models.yaml", "input_per_mtok: 11000000", "input_per_mtok: 1.5", ("1.5", "integer")),
        ("models.yaml", "input_per_mtok: 11000000", "input_per_mtok: true", ("True", "integer")),
        ("models.yaml", "endpoint: xai", "endpoint: elsewhere", ("'elsewhere'", "add it")),
        ("models.yaml", "adapter: anthropic", "adapter: fax", ("'fax'", "'openai'")),
        ("models.yaml", "site: local", "site: moon", ("moon",)),
        ("models.yaml", "quality: 3", "quality: high", ("'high'", "integer")),
        ("hosts/embedded.yaml", "[smollm2-135m]", "[gpt-9]", ("'gpt-9'", "models.yaml")),
        ("hosts/embedded.yaml", "requests: 1", "requests: 100", ("100", "64")),
        ("omega/1.0.yaml", "pack: omega", "pack: codex", ("'codex'", "align")),
    ],
)
def test_a_bad_document_beside_the_pack_is_refused_just_so(
    policies: Path, file: str, old: str, new: str, says: tuple[str, ...]
) -> None:
    line = _spoil(policies / file, old, new)
    said = refusal_of(lambda: load_library(policies, "embedded"))
    assert said.startswith(f"{policies / file}: line {line}: ")
    assert all(part in said for part in says), said


@pytest.mark.parametrize("host", ["../models", "..", "/etc/passwd", "", "a/b", "nowhere"])
def test_a_host_that_is_no_name_of_a_profile_is_refused(policies: Path, host: str) -> None:
    assert "hosts" in refusal_of(lambda: load_library(policies, host))


def test_a_folder_of_policies_without_a_pack_is_refused(policies: Path) -> None:
    shutil.rmtree(policies / "omega")
    assert "holds no pack" in refusal_of(lambda: load_library(policies, "embedded"))


def test_a_catalogue_of_one_vendor_is_refused(policies: Path) -> None:
    catalogue = policies / "models.yaml"
    kept = catalogue.read_text().partition("  gpt-5.1:\n")[0]
    catalogue.write_text(kept)
    said = refusal_of(lambda: load_library(policies, "embedded"))
    assert "vendors_min is 2" in said
    assert "huggingface" in said


def test_one_bad_document_among_good_ones_loads_nothing(policies: Path) -> None:
    (policies / "omega" / "1.1.yaml").write_text("pack: omega\n")
    assert "1.1.yaml" in refusal_of(lambda: load_library(policies, "embedded"))


def test_the_shipped_documents_load() -> None:
    assert load_library(POLICIES, "embedded").packs == ("omega",)
