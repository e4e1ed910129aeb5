"""What a governing authority does: sign a receipt, and put it where the embedded ledger reads it.

    python examples/sign_receipt.py .pointwork/governance authority.key egress --subject lena

The key is made on first use and listed in ``keys.json``. Pointwork itself never writes these files;
take an entry out of ``receipts.json`` to revoke it.
"""

import argparse
import base64
import json
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pointwork.contract.snapshot import Receipt, ReceiptKind
from pointwork.governance.receipts import KEYS_FILE, RECEIPTS_FILE, GovernanceKey, sign_receipt

ISSUER, KEY_ID = "governance", "governance-1"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Sign a receipt for a task or a user.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("key", type=Path, help="32 raw bytes, base64; made on first use")
    parser.add_argument("kind", choices=[each.value for each in ReceiptKind])
    bound_to = parser.add_mutually_exclusive_group(required=True)
    bound_to.add_argument("--task", help="the task it holds for")
    bound_to.add_argument("--subject", help="the user it holds for")
    parser.add_argument("--reason", help="the escalation reason it is for")
    parser.add_argument("--model", help="the personal model its contract covers")
    parser.add_argument("--hours", type=int, default=8)
    given = parser.parse_args(arguments)
    key = load_or_make(given.key)
    receipt = Receipt(
        kind=ReceiptKind(given.kind),
        receipt_id=f"urn:example:receipt:{uuid.uuid4()}",
        issuer=ISSUER,
        task_id=given.task,
        subject=given.subject,
        reason=given.reason,
        model=given.model,
        expires_at=datetime.now(UTC) + timedelta(hours=given.hours),
    )
    given.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    listed = GovernanceKey(key_id=KEY_ID, issuer=ISSUER, public_key=public)
    (given.folder / KEYS_FILE).write_text(json.dumps([listed.model_dump(mode="json")], indent=1))
    path = given.folder / RECEIPTS_FILE
    entries: list[Any] = json.loads(path.read_text()) if path.exists() else []
    entries.append(sign_receipt(receipt, key, KEY_ID).model_dump(mode="json"))
    path.write_text(json.dumps(entries, indent=1))
    sys.stdout.write(f"{receipt.receipt_id} holds until {receipt.expires_at:%Y-%m-%d %H:%M} UTC\n")


def load_or_make(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()))
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes()))


if __name__ == "__main__":
    main(sys.argv[1:])
