"""How much of a change in the decision modules the tests notice: one mutant, one forked test run.

A mutant is a module with one small mistake in it: a comparison that is off by one or turned
around, a condition negated, a number one too high, another reason code, a missing statement, a
wrong return. It is killed where some test fails, an import fails, or nothing ends in time; one that
every test passes has survived, and is listed by file and line. Texts for people are not mutated.

The sample is seeded and the tests run in a fixed order with fixed random choices, so that a run can
be repeated. `docs/mutation-survivors.md` says why each known survivor is no mistake.
"""

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

import genai_prices  # noqa: F401 - what no mutant changes is read once here
import hypothesis
import pytest
import temporalio.testing  # noqa: F401
import yaml  # noqa: F401

from pointwork.contract.decision import (
    Direction,
    Effect,
    GrantKind,
    MoveKind,
    Obligation,
    Site,
    Trigger,
)
from pointwork.contract.reasons import ReasonCode
from pointwork.contract.snapshot import ReceiptKind
from pointwork.contract.task import Lane, PrivacyTier, Sensitivity

ROOT = Path(__file__).resolve().parent.parent
POLICY = ROOT / "src" / "pointwork" / "policy"
MODULES = (
    "decide",
    "documents.conditions",
    *(
        f"engine.{name}"
        for name in (
            *(
                "branches",
                "cheapest",
                "estimate",
                "facts",
                "filters",
                "gates",
                "index",
                "lanes",
                "lifting",
            ),
            *("obligations", "overrides", "precedence", "priority", "ranking", "role_table"),
            *("safe_lane", "sensitivity", "windows"),
        )
    ),
)
TESTS = tuple(
    f"tests/policy/{name}"
    for name in (
        "test_cases.py",
        "test_filters.py",
        "test_ranking.py",
        "test_privacy_rules.py",
        "test_omega_pack.py",
        "test_overrides.py",
        "test_engine_edges.py",
        "test_engine_made_up_packs.py",
        "test_branches.py",
        "test_conditions.py",
        "test_windows.py",
        "test_windows_cache.py",
        "test_codex_roles.py",
        "test_codex_pack.py",
        "test_juggernaut_policies.py",
        "test_juggernaut_selector.py",
        "test_juggernaut_moves.py",
        "test_juggernaut_facades.py",
        "test_juggernaut_pack.py",
        "test_socioprophet_pack.py",
        "test_socioprophet_constraints.py",
        "test_socioprophet_permissions.py",
        "test_socioprophet_signals.py",
        "test_socioprophet_governance.py",
    )
)
PROPERTIES = tuple(
    f"tests/policy/test_engine_{name}.py" for name in ("monotonicity", "tasks", "properties")
)
"""Tried on what the others leave alive, for they take longer than all of those."""
SLOW = "not hundred_thousand and not another_process and not any_decision"
"""What takes long and kills nothing that the tests before it leave alive."""
SAMPLE = 330
SEED = 20_260_304
SECONDS_MAX = 300
ENUMS: dict[str, type[StrEnum]] = {
    each.__name__: each
    for each in (Direction, Effect, GrantKind, Lane, MoveKind, Obligation, PrivacyTier, ReasonCode)
}
ENUMS |= {each.__name__: each for each in (ReceiptKind, Sensitivity, Site, Trigger)}
_FLIPPED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_REVERSED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


def _file(module: str) -> str:
    return f"{module.replace('.', '/')}.py"


@dataclass(frozen=True)
class Mutant:
    """One mistake in one module."""

    module: str
    line: int
    what: str
    code: CodeType

    @property
    def place(self) -> str:
        return f"src/pointwork/policy/{_file(self.module)}:{self.line}: {self.what}"


Change = tuple[str, Callable[[], ast.AST]]
"""What it is called, and what makes the node another."""


def changes_of(node: ast.AST) -> Iterator[Change]:
    """Every mistake that could be made at ``node`` itself."""
    yield from _of_conditions(node)
    yield from _of_values(node)
    yield from _of_statements(node)


def _of_conditions(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare():
            yield from _of_comparisons(node)
        case ast.BoolOp():
            swapped = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield f"and/or in `{_short(node)}`", lambda: _with(node, op=swapped)
        case ast.UnaryOp(op=ast.Not()):
            yield f"`not` left out of `{_short(node)}`", lambda: node.operand
        case ast.If() | ast.IfExp() | ast.While():
            negated = ast.UnaryOp(ast.Not(), node.test)
            yield f"`{_short(node.test)}` negated", lambda: _with(node, test=negated)
        case ast.comprehension() if node.ifs:
            yield f"`if {_short(node.ifs[0])}` left out", lambda: _with(node, ifs=[])


def _of_comparisons(node: ast.Compare) -> Iterator[Change]:
    for number, operator in enumerate(node.ops):
        for other in _FLIPPED.get(type(operator), ()):
            ops = [other() if at == number else each for at, each in enumerate(node.ops)]
            yield f"{other.__name__} in `{_short(node)}`", partial(_with, node, ops=ops)


def _of_values(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Constant(value=bool(value)):
            yield f"`{value}` turned", lambda: ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield f"`{value}` raised by 1", lambda: ast.Constant(value + 1)
        case ast.BinOp() if type(node.op) in _REVERSED:
            operator = _REVERSED[type(node.op)]()
            yield f"operator of `{_short(node)}`", lambda: _with(node, op=operator)
        case ast.Attribute(value=ast.Name(id=enum)) if enum in ENUMS and node.attr.isupper():
            member = _next_member(enum, node.attr)
            yield f"{enum}.{member} for {node.attr}", lambda: _with(node, attr=member)


def _of_statements(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            nothing = ast.Constant(None)
            yield f"`{_short(node)}` gives None", lambda: _with(node, value=nothing)
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            yield f"`{_short(node)}` left out", ast.Pass


def _with(node: ast.AST, **fields: object) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:60]}…"


def _next_member(enum: str, name: str) -> str:
    members = list(ENUMS[enum].__members__)
    return members[(members.index(name) + 1) % len(members)]


def sites(tree: ast.Module) -> Iterator[tuple[int, ast.AST]]:
    """Numbered nodes of what runs. Types, texts, and decorators (frozen, cached) are left out."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign | ast.FunctionDef):
            kind = node.returns if isinstance(node, ast.FunctionDef) else node.annotation
            skipped |= {id(each) for each in ast.walk(kind)} if kind else set()
        decorators = getattr(node, "decorator_list", [])
        skipped |= {id(each) for decorator in decorators for each in ast.walk(decorator)}
    yield from ((n, each) for n, each in enumerate(ast.walk(tree)) if id(each) not in skipped)


def mutants_of(module: str) -> list[Mutant]:
    path = POLICY / _file(module)
    tree = ast.parse(path.read_text())
    found = []
    for number, node in sites(tree):
        for which, (what, _) in enumerate(changes_of(node)):
            code = compile(_mutated(tree, number, which), str(path), "exec")
            found.append(Mutant(module, getattr(node, "lineno", _line(node)), what, code))
    return found


def _line(node: ast.AST) -> int:
    return next((each.lineno for each in ast.walk(node) if hasattr(each, "lineno")), 0)


def _mutated(tree: ast.Module, number: int, which: int) -> ast.Module:
    changed = copy.deepcopy(tree)
    node = next(each for at, each in enumerate(ast.walk(changed)) if at == number)
    _, change = list(changes_of(node))[which]
    other = change()
    if other is not node:
        for parent in ast.walk(changed):
            for field, value in ast.iter_fields(parent):
                if value is node:
                    setattr(parent, field, other)
                elif isinstance(value, list) and any(each is node for each in value):
                    setattr(parent, field, [other if each is node else each for each in value])
    return ast.fix_missing_locations(changed)


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._name, self._mutant = f"pointwork.policy.{mutant.module}", mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_loader(
            fullname, self, origin=str(POLICY / _file(self._mutant.module))
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(self._mutant.code, module.__dict__)


def run_tests(mutant: Mutant | None, arguments: Sequence[str]) -> int:
    """Pytest's exit status in this process, which is good for nothing afterwards."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1), os.dup2(quiet, 2)
    phases = [phase for phase in hypothesis.Phase if phase.name not in ("shrink", "explain")]
    hypothesis.settings.register_profile(
        "mutants", database=None, derandomize=True, phases=phases, deadline=None
    )
    hypothesis.settings.load_profile("mutants")
    if mutant is not None:
        sys.meta_path.insert(0, _Mutated(mutant))
    plain = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return int(pytest.main(["-k", SLOW, *plain, *arguments]))


def in_a_child(mutant: Mutant | None, arguments: Sequence[str]) -> tuple[int, float]:
    """Status and seconds of a run; -1 where it had to be ended."""
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        status = 70
        try:
            status = run_tests(mutant, arguments)
        finally:
            os._exit(status)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - started
        if done:
            return os.waitstatus_to_exitcode(status), seconds
        if seconds > SECONDS_MAX:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -1, seconds
        time.sleep(0.05)


def refuse_failing_tests() -> None:
    """A test that fails without any mutant would kill every one."""
    report = ROOT / "build" / "mutation-baseline.xml"
    report.parent.mkdir(exist_ok=True)
    status, seconds = in_a_child(None, [*TESTS, *PROPERTIES, "--junit-xml", str(report)])
    if status != 0:
        raise SystemExit(f"the tests must pass before mutants are tried; see {report}")
    print(f"without a mutant: {seconds:.0f} s", flush=True)


def chosen_mutants(modules: Sequence[str], sample: int) -> list[Mutant]:
    found = [mutant for module in modules for mutant in mutants_of(module)]
    rng = random.Random(SEED)
    picked = found if sample <= 0 else rng.sample(found, min(sample, len(found)))
    print(f"{len(found)} mutants of {len(modules)} modules, {len(picked)} tried", flush=True)
    return picked


def left_alive_by(tests: Sequence[str], mutants: Sequence[Mutant]) -> list[Mutant]:
    survivors = []
    for number, mutant in enumerate(mutants, 1):
        status, seconds = in_a_child(mutant, [*tests, "-x"])
        if status == 0:
            survivors.append(mutant)
        word = "SURVIVES" if status == 0 else "killed"
        print(f"{number}/{len(mutants)} {word} {seconds:.0f}s {mutant.place}", flush=True)
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sample", type=int, default=SAMPLE, help="how many; 0 is all")
    parser.add_argument("--modules", nargs="*", default=MODULES, choices=MODULES)
    parser.add_argument("--only", nargs="*", default=[], help="places, as a run printed them")
    parser.add_argument("--part", default="1/1", help="2/3: the second third of the sample")
    asked = parser.parse_args()
    os.nice(10)
    os.chdir(ROOT)
    refuse_failing_tests()
    picked = chosen_mutants(asked.modules, 0 if asked.only else asked.sample)
    picked = [m for m in picked if not asked.only or any(m.place.startswith(p) for p in asked.only)]
    part, _, parts = asked.part.partition("/")
    picked = picked[int(part) - 1 :: int(parts)]
    survivors = left_alive_by(TESTS, picked)
    survivors = left_alive_by(PROPERTIES, survivors)
    killed = len(picked) - len(survivors)
    for mutant in sorted(survivors, key=lambda each: (each.module, each.line)):
        print(f"survived: {mutant.place}")
    print(f"killed={killed} of={len(picked)} ratio={killed / max(1, len(picked)):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
