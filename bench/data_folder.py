"""Where public data sets lie that benches read and the repository does not carry."""

from pathlib import Path

from workers.settings import BenchSettings

_BESIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def data_folder() -> Path:
    """``POINTWORK_BENCH_DATA``, else ``shared/data`` beside the repository."""
    return BenchSettings().data or _BESIDE
