"""How often a process of ours looks for garbage."""

import gc

_OBJECTS_BETWEEN_COLLECTIONS = 50_000


def collect_seldom() -> None:
    """To be called before most modules are loaded.

    Loading makes next to no garbage, and at Python's own pace looking for some in what was loaded
    takes a tenth of a process's start.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
