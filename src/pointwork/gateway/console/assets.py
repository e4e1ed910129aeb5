"""The console's own styles and scripts, each under an address that changes with its content."""

import hashlib
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from pointwork.gateway.console.sessions import PATH

_FOLDER = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER = "public, max-age=31536000, immutable"


@cache
def _assets() -> dict[str, tuple[str, bytes]]:
    """Digest and content by name."""
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            found[path.name] = (hashlib.sha256(content).hexdigest()[:16], content)
    return found


def asset_url(name: str) -> str:
    """Where the browser finds the asset; it may keep it for ever."""
    return f"{PATH}/static/{_assets()[name][0]}/{name}"


async def serve_asset(request: Request, digest: str, name: str) -> Response:
    found = _assets().get(name)
    if found is None or found[0] != digest:
        return Response(status_code=404)
    media_type = _TYPES[Path(name).suffix]
    return Response(found[1], media_type=media_type, headers={"cache-control": _FOREVER})
