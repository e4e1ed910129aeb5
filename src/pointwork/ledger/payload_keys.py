"""The keys of the Temporal payload codec: a file of the vault's form, with keys of its own."""

from pathlib import Path

from pointwork.ledger.master_key_file import activate_key, stage_key
from pointwork.ledger.master_keys import MasterKeyError, MasterKeys, new_key_file

_PREFIX = "pk"


class PayloadKeys:
    """The keys in a file. A process that runs takes up a rotated file when it meets a new key."""

    def __init__(self, path: Path) -> None:
        """Read the file; a missing one is never created here.

        Raises:
            MasterKeyError: there is no such file, others may read it, or it holds no keys.
        """
        self._path = path.absolute()
        self._stamp = _stamp(self._path)
        self._keys = _load(self._path)

    @property
    def path(self) -> Path:
        return self._path

    @property
    def active(self) -> str:
        return self._keys.active

    def find(self, key_id: str) -> bytes | None:
        """The key, 32 bytes; None where the file as it is now has none of this id."""
        if key_id not in self._keys.keys and _stamp(self._path) != self._stamp:
            self._reload()
        return self._keys.keys.get(key_id)

    def _reload(self) -> None:
        stamp = _stamp(self._path)
        try:
            found = _load(self._path)
        except MasterKeyError:
            # Half a rotation, or a file taken away: what was read before still serves.
            return
        self._keys, self._stamp = found, stamp


def create_payload_keys(path: Path) -> str:
    """A new file with one key, mode 600; the key's id.

    Raises:
        MasterKeyError: there is a file already, or no folder for it.
    """
    if path.exists():
        msg = f"{path} exists; add a key to it with `pointwork codec rotate {path}`"
        raise MasterKeyError(msg)
    if not path.parent.is_dir():
        msg = f"the folder of {path} does not exist; create it or give another path"
        raise MasterKeyError(msg)
    return new_key_file(path, prefix=_PREFIX)


def rotate_payload_keys(path: Path) -> str:
    """Add a key that seals from now on; the id. What older keys sealed stays readable.

    Raises:
        MasterKeyError: as for ``PayloadKeys``.
    """
    _load(path)
    key_id = stage_key(path, prefix=_PREFIX)
    activate_key(path, key_id)
    return key_id


def _load(path: Path) -> MasterKeys:
    try:
        return MasterKeys.load(path)
    except PermissionError as error:
        raise MasterKeyError(str(error)) from None


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
