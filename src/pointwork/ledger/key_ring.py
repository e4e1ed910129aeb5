"""The master keys as one process knows them; another process may rotate them meanwhile."""

import logging
from dataclasses import replace

from pointwork.ledger.master_keys import MasterKeyError, MasterKeys

_log = logging.getLogger(__name__)


class KeyRing:
    """Master keys, read from their file again when an id is met that they lack. Thread-safe."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys = keys

    @property
    def current(self) -> MasterKeys:
        return self._keys

    def unwrap(self, wrapped: bytes, task_id: str, key_id: str) -> bytes | None:
        """The data key; None where the file as it is now does not hold the key that wrapped it."""
        keys = self._keys if key_id in self._keys.keys else self.read_again()
        return keys.unwrap(wrapped, task_id, key_id)

    def read_again(self) -> MasterKeys:
        """The keys as their file has them now, and those this process knew before besides.

        Keys that came from no file, or whose file cannot be read now, stay as they are.
        """
        known = self._keys
        if known.file is None:
            return known
        try:
            found = MasterKeys.load(known.file)
        except (MasterKeyError, OSError) as error:
            _log.warning("the master keys were not read again (%s)", type(error).__name__)
            return known
        self._keys = replace(found, keys={**known.keys, **found.keys})
        return self._keys
