"""House rules that no linter knows: size, names, imports, and what must never be written down."""

import ast
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

# Every file is parsed once, for all of these.
pytestmark = pytest.mark.xdist_group("tidy")

ROOT = Path(__file__).parents[2]
CODE = ("src", "workflows", "activities", "workers", "tests", "bench", "tools")
GENERATED = ROOT / "src/pointwork/ledger/migrations/versions"
SETTINGS = ROOT / "workers/settings.py"
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
BANNED_MODULES = {"utils", "helpers", "common", "manager", "base", "misc", "shared"}
NEVER_INSTALLED = ("workflows", "activities", "workers", "policies")
TEXT_SUFFIXES = {
    ".py",
    ".md",
    ".toml",
    ".yaml",
    ".yml",
    ".json",
    ".lock",
    ".tsv",
    ".txt",
    ".sh",
    "",
}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/\w")
REGISTRY = re.compile(
    r"https?://(?![^\s/]*(?:127\.0\.0\.1|localhost))[^\s\"')]*(?:pypi|pythonhosted|npmjs|artifactory|devpi|nexus|/simple\b)"
    r"|(?<!no-emit)-{1,2}(?:extra-)?index-url\s*[=\s]\s*\S"
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def files(root: Path) -> Iterator[Path]:
    """All but what hidden folders hold, the gate's excepted: those come and go meanwhile."""
    for folder, inner, names in os.walk(root):
        inner[:] = [each for each in inner if not each.startswith(".") or each == ".ci"]
        yield from (Path(folder, name) for name in names)


def python_files(*roots: str) -> list[Path]:
    found = [path for root in roots or CODE for path in sorted(files(ROOT / root))]
    return [path for path in found if path.suffix == ".py" and GENERATED not in path.parents]


def text_files() -> Iterator[Path]:
    """Every text file that could be committed; hidden folders but for the gate's are no source."""
    for path in sorted(files(ROOT)):
        built = {"build", "dist", "__pycache__"} & set(path.relative_to(ROOT).parts)
        if path.is_file() and not built and path.suffix in TEXT_SUFFIXES:
            yield path


def named(path: Path, line: int | None = None) -> str:
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


# All that the rules below look at: a tenth of a file's tree.
LOOKED_AT = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Import,
    ast.ImportFrom,
    ast.Attribute,
    ast.With,
)


@cache
def nodes(path: Path) -> list[ast.AST]:
    return [each for each in ast.walk(ast.parse(path.read_text())) if isinstance(each, LOOKED_AT)]


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{named(path, node.lineno)} {node.name}"
        for path in python_files()
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


def test_no_file_is_longer_than_can_be_held_in_the_head() -> None:
    sizes = {named(path): len(path.read_text().splitlines()) for path in python_files()}
    assert not {name: size for name, size in sizes.items() if size > FILE_LINES_MAX}


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [
        named(path) for path in python_files() if {path.stem, path.parent.name} & BANNED_MODULES
    ]
    assert not vague


def _reads_environment(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "environb" | "getenv"):
            return True
        case ast.ImportFrom(module="os", names=names):
            return any(each.name in {"environ", "environb", "getenv"} for each in names)
        case _:
            return False


def test_only_the_settings_read_the_environment() -> None:
    readers = [
        named(path, getattr(node, "lineno", None))
        for path in python_files()
        if path != SETTINGS
        for node in nodes(path)
        if _reads_environment(node)
    ]
    assert not readers


def _patches(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(each.name.startswith("unittest.mock") for each in names)
        case ast.ImportFrom(module="unittest" | "unittest.mock", names=names):
            return any(each.name == "mock" for each in names) or node.module == "unittest.mock"
        case ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr" | "setitem"):
            return True
        case _:
            return False


def test_no_test_patches_what_it_could_be_handed() -> None:
    patching = [
        named(path, getattr(node, "lineno", None))
        for path in python_files()
        for node in nodes(path)
        if _patches(node)
    ]
    assert not patching


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{named(path, number)} {found.group()}"
        for path in text_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if (found := pattern.search(line))
    ]


def test_no_file_names_a_path_of_one_persons_machine() -> None:
    assert not _lines_with(MACHINE_PATH)


def test_no_file_names_a_package_registry() -> None:
    assert not _lines_with(REGISTRY)


def test_every_locked_requirement_is_pinned_by_version_and_hash() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    entries = re.sub(r"\\\n\s*", " ", text).splitlines()
    locked = [each for each in entries if each and not each.startswith("#")]
    assert locked
    pinned = re.compile(
        r"^[a-z0-9][a-z0-9._-]*(?:\[[a-z0-9,_-]+\])?==[^\s]+( +--hash=sha256:[0-9a-f]{64})+"
    )
    assert not [each[:60] for each in locked if not pinned.match(each)]


@pytest.mark.parametrize("name", NEVER_INSTALLED)
def test_no_installed_package_answers_to_a_name_of_the_deployment(name: str) -> None:
    """Installers merge equal top-level names in silence, and ours would then run their code."""
    assert importlib.metadata.packages_distributions().get(name) is None


def test_no_package_on_the_way_to_a_workflow_runs_code_when_imported() -> None:
    """What an `__init__` holds would be executed anew for every workflow instance."""
    show = (
        "import sys, workflows.route_task;"
        "print(*(m.__file__ for m in list(sys.modules.values()) if hasattr(m, '__path__')"
        " and getattr(m, '__file__', None)), sep='\\n')"
    )
    child = subprocess.run(
        [sys.executable, "-c", show], cwd=ROOT, env={}, capture_output=True, timeout=60, check=True
    )
    ours = [
        Path(line) for line in child.stdout.decode().splitlines() if "site-packages" not in line
    ]
    packages = [path for path in ours if path.is_relative_to(ROOT)]
    assert len(packages) >= 4
    assert not [named(path) for path in packages if path.read_text().strip()]


def _passed_through(path: Path) -> Iterator[ast.ImportFrom]:
    for node in nodes(path):
        if isinstance(node, ast.With) and any(
            "imports_passed_through" in ast.unparse(item.context_expr) for item in node.items
        ):
            yield from (each for each in ast.walk(node) if isinstance(each, ast.ImportFrom))


def _is_module(package: str, name: str) -> bool:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return False
    return importlib.util.find_spec(f"{package}.{name}") is not None


def test_no_workflow_imports_a_submodule_by_its_package() -> None:
    """`from package import submodule` is not passed through: it costs 60 ms an instance."""
    files = python_files("workflows")
    seen = [node for path in files for node in _passed_through(path)]
    assert seen
    by_package = [
        f"{named(path, node.lineno)} {node.module}.{alias.name}"
        for path in files
        for node in _passed_through(path)
        for alias in node.names
        if node.module and _is_module(node.module, alias.name)
    ]
    assert not by_package


def test_every_relative_link_of_the_documents_leads_somewhere() -> None:
    broken = [
        f"{named(path)} -> {target}"
        for path in text_files()
        if path.suffix == ".md"
        for target in LINK.findall(path.read_text())
        if not re.match(r"[a-z]+:|#", target)
        and not (path.parent / target.partition("#")[0]).exists()
    ]
    assert not broken
