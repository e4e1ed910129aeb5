"""No text of a prompt or an answer stands anywhere in the database in the clear (SP-45)."""

import base64
from pathlib import Path

import pytest
from sqlalchemy import inspect

from pointwork.contract.failures import ProviderFailureKind, TaskIdReusedError
from pointwork.contract.outcome import Settlement
from pointwork.ledger.vault import ContentUnavailableError, MasterKeys, Vault
from tests.integration.ledger.conftest import Ledger
from tests.integration.ledger.records import NOW, accept, answer, invoke, outcome, reserve, window

PROMPT = b"the purple canary sings at 4711 Elm Street"
ANSWER = b"its password is correct-horse-battery-staple"


@pytest.mark.req("SP-45")
def test_a_canary_in_prompt_and_answer_is_in_no_column_and_no_file(
    ledger: Ledger, tmp_path: Path
) -> None:
    accept(ledger.vault, "t-1", PROMPT)
    reserve(ledger.budgets, "t-1", windows=[window("day")])
    ledger.attempts.begin(invoke("t-1"), "t-1/1", NOW)
    ledger.attempts.fail("t-1/1", ProviderFailureKind.TRUNCATED, 9, Settlement.EXACT, 5, NOW)
    reserve(ledger.budgets, "t-1", number=2, windows=[window("day")])
    ledger.attempts.begin(invoke("t-1", number=2), "t-1/2", NOW)
    done = ledger.attempts.finish("t-1/2", **answer(text=ANSWER))
    ledger.outcomes.log(outcome("t-1", answer=done.answer), None, NOW)
    stored = [
        value if isinstance(value, bytes) else str(value).encode()
        for table in inspect(ledger.engine).get_table_names()
        for row in ledger.rows(f"SELECT * FROM {table}")
        for value in row.values()
    ]
    files = [path.read_bytes() for path in tmp_path.glob("ledger.db*")]
    assert len(stored) > 100
    for canary in (PROMPT, ANSWER):
        for form in (canary, canary.hex().encode(), base64.b64encode(canary)[:-4], canary[4:20]):
            assert not any(form in each for each in stored + files)


def test_errors_about_content_never_quote_it(ledger: Ledger) -> None:
    ref = accept(ledger.vault, "t-1", PROMPT).refs["prompt"]
    with pytest.raises(TaskIdReusedError) as reused:
        accept(ledger.vault, "t-1", ANSWER)
    ledger.rows("UPDATE vault_key SET master_key_id = 'lost'")
    fresh = Vault(ledger.engine, MasterKeys("a", {"a": bytes(32)}))
    with pytest.raises(ContentUnavailableError) as unavailable:
        fresh.open("t-1", ref)
    for refused in (reused.value, unavailable.value):
        assert b"canary" not in repr(refused).encode()
        assert b"password" not in repr(refused).encode()
