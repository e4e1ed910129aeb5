"""Editors and the loader agree: what ships satisfies the schemas, and they are up to date."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.fakes.policy_facts import POLICIES
from tools.regenerate_schemas import KINDS, SCHEMAS, schema_files

PACKS = sorted(POLICIES.glob("*/[0-9]*.yaml"))
DOCUMENTS = [
    *(("pack", path) for path in PACKS),
    *(("revisions", path) for path in sorted(POLICIES.glob("*/revisions.yaml"))),
    *(("host", path) for path in sorted(POLICIES.glob("hosts/*.yaml"))),
    *(("case", path) for path in sorted(POLICIES.glob("cases/*/*.yaml"))),
    ("models", POLICIES / "models.yaml"),
]


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(kind))


def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    return found


def read(path: Path) -> Any:
    """As JSON would have it: a date is its text."""
    return json.loads(json.dumps(yaml.load(path.read_text(), Loader=yaml.CSafeLoader), default=str))


def test_the_schemas_are_those_of_the_documents_the_loader_takes() -> None:
    """`python tools/regenerate_schemas.py` writes them."""
    for name, text in schema_files().items():
        assert (SCHEMAS / name).read_text() == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_one(kind: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize(
    ("kind", "path"), DOCUMENTS, ids=lambda value: getattr(value, "stem", value)
)
def test_every_shipped_document_satisfies_its_schema(kind: str, path: Path) -> None:
    validator(kind).validate(read(path))


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize(
    "spoilt",
    [{"rank": "dearest"}, {"no_such_key": 1}, {"budgets": [{"period": "day", "limit": 20}]}],
    ids=["another ranking", "an unknown key", "an amount that is no text"],
)
def test_a_broken_pack_breaks_the_schema_too(path: Path, spoilt: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator("pack").validate(read(path) | spoilt)
