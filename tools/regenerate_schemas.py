"""Writes the JSON Schemas of the policy documents anew: `python tools/regenerate_schemas.py`.

Editors check a pack with them while it is written. The loader stays the judge: it also knows what
one field asks of another (`pointwork policy validate`).
"""

import json
from pathlib import Path
from typing import Any

from pointwork.policy.documents.catalogue import Catalogue, HostProfile
from pointwork.policy.documents.document import Document
from pointwork.policy.documents.pack import Pack
from pointwork.policy.documents.revisions import Revisions
from pointwork.policy.proving.cases import Case

SCHEMAS = Path(__file__).parents[1] / "schemas"
KINDS: dict[str, type[Document]] = {
    "pack": Pack,
    "models": Catalogue,
    "host": HostProfile,
    "case": Case,
    "revisions": Revisions,
}
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema_files() -> dict[str, str]:
    """Text of each schema by file name."""
    return {f"{name}.schema.json": _text(name, kind) for name, kind in KINDS.items()}


def _text(name: str, kind: type[Document]) -> str:
    head: dict[str, Any] = {"$schema": DRAFT, "$id": f"urn:pointwork:schema:{name}:1"}
    return json.dumps(head | kind.model_json_schema(), indent=2) + "\n"


def main() -> None:
    for name, text in schema_files().items():
        path = SCHEMAS / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {name}")


if __name__ == "__main__":
    main()
