"""Making a recorded decision again from what it read, and comparing the bytes."""

from pointwork.contract.canonical import canonical_json
from pointwork.contract.decision import DecisionRecord
from pointwork.policy.bundle import PolicyLibrary, UnknownBundleError
from pointwork.policy.decide import decide


def fault_of_remaking(record: DecisionRecord, library: PolicyLibrary) -> str | None:
    """Why ``decide`` does not give the stored plan's very bytes today; None where it does."""
    try:
        bundle = library.by_hash(record.plan.policy.bundle_sha256)
    except UnknownBundleError as error:
        return str(error)
    if canonical_json(decide(record.input, bundle)) == canonical_json(record.plan):
        return None
    return "decide() gives another plan today"
