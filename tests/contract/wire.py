"""The wire format as files: one example of each message, and the JSON Schema of all of them."""

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tests.contract.samples import SAMPLES

GOLDEN = Path(__file__).parent / "golden"
SCHEMA_FILE = "schema.json"


def golden_files() -> dict[str, str]:
    """What every golden file should hold, by name."""
    examples = {
        f"{type(each).__name__}.json": _text(each.model_dump(mode="json")) for each in SAMPLES
    }
    return examples | {SCHEMA_FILE: _text(_schema([type(each) for each in SAMPLES]))}


def _schema(kinds: list[type[BaseModel]]) -> dict[str, object]:
    named = sorted(kinds, key=lambda kind: kind.__name__)
    _, schema = models_json_schema([(kind, "validation") for kind in named])
    return schema


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
