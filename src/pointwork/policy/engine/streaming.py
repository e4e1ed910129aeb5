"""Whether an answer may be shown as it is written (JG-42): a text that was shown has left the gate.

A class allows it, and nothing that could refuse or replace the answer comes after the model.
"""

from collections.abc import Iterable

from pointwork.contract.decision import Obligation
from pointwork.policy.engine.facts import Facts
from pointwork.policy.engine.index import Entry
from pointwork.policy.engine.voices import Voices

_CHECKS = frozenset(
    {
        Obligation.VERIFY_SCHEMA,
        Obligation.VERIFY_CONTRACT,
        Obligation.CLOUD_REVIEW,
        Obligation.CLOUD_JUDGE,
        Obligation.COMPARE,
    }
)


def tokens_may_stream(
    facts: Facts, owed: Iterable[Obligation], voices: Voices, adviser: Entry | None
) -> bool:
    """True where the first model to answer whole is the last to have a say."""
    is_alone = adviser is None and not voices.models and not voices.on_fail
    is_final = is_alone and not voices.is_self_critical
    return facts.row.tokens_stream and is_final and not _CHECKS & {*owed}
