"""Each class's approved models in the pack's own order: all that an overlay may move."""

from collections.abc import Mapping

from pointwork.policy.bundle import PolicyBundle


def approved_routes(bundle: PolicyBundle) -> Mapping[str, tuple[str, ...]]:
    """Model names by class, first choice first, each model once."""
    by_family = bundle.index.by_family
    return {
        name: tuple(
            dict.fromkeys(entry.name for family in row.families for entry in by_family[family])
        )
        for name, row in bundle.pack.classes.items()
    }
