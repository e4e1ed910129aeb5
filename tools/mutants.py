"""Small mistakes, one at a time, in a module's code: what a mutation run tries the tests on.

A comparison that is off by one or turned around, a condition negated or left out, a number one too
high, another member of an enum, a missing statement, a wrong return. Texts for people stay.
"""

import ast
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType

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
_CLAUSES = {"where", "and_", "or_"}
"""Calls whose arguments are conditions on rows: each may be forgotten."""

Enums = Mapping[str, tuple[str, ...]]
"""Members of an enum, by its name."""
Change = tuple[str, Callable[[], ast.AST]]
"""What it is called, and what makes the node another."""


@dataclass(frozen=True)
class Mutant:
    """One mistake in one module; ``module`` is its dotted name, ``file`` what people call it."""

    module: str
    file: str
    line: int
    what: str
    code: CodeType

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def enums_in(*paths: Path) -> dict[str, tuple[str, ...]]:
    """Every ``StrEnum`` declared in the files, read without importing them."""
    classes = [
        node
        for path in paths
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    return {
        each.name: tuple(
            target.id
            for line in each.body
            if isinstance(line, ast.Assign)
            for target in line.targets
            if isinstance(target, ast.Name)
        )
        for each in classes
        if any(ast.unparse(parent) == "StrEnum" for parent in each.bases)
    }


def mutants_of(module: str, path: Path, file: str, enums: Enums) -> list[Mutant]:
    """Every mistake that could be made in the module at ``path``."""
    tree = ast.parse(path.read_text())
    found = []
    for number, node in _sites(tree):
        for which, (what, _) in enumerate(_changes_of(node, enums)):
            code = compile(_mutated(tree, number, which, enums), str(path), "exec")
            found.append(Mutant(module, file, getattr(node, "lineno", _line(node)), what, code))
    return found


def _sites(tree: ast.Module) -> Iterator[tuple[int, ast.AST]]:
    """Numbered nodes of what runs. Types, texts, and decorators (frozen, cached) are left out."""
    skipped: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign | ast.FunctionDef):
            kind = node.returns if isinstance(node, ast.FunctionDef) else node.annotation
            skipped |= {id(each) for each in ast.walk(kind)} if kind else set()
        decorators = getattr(node, "decorator_list", [])
        skipped |= {id(each) for decorator in decorators for each in ast.walk(decorator)}
    yield from ((n, each) for n, each in enumerate(ast.walk(tree)) if id(each) not in skipped)


def _line(node: ast.AST) -> int:
    return next((each.lineno for each in ast.walk(node) if hasattr(each, "lineno")), 0)


def _mutated(tree: ast.Module, number: int, which: int, enums: Enums) -> ast.Module:
    changed = copy.deepcopy(tree)
    node = next(each for at, each in enumerate(ast.walk(changed)) if at == number)
    _, change = list(_changes_of(node, enums))[which]
    other = change()
    if other is not node:
        for parent in ast.walk(changed):
            for field, value in ast.iter_fields(parent):
                if value is node:
                    setattr(parent, field, other)
                elif isinstance(value, list) and any(each is node for each in value):
                    setattr(parent, field, [other if each is node else each for each in value])
    return ast.fix_missing_locations(changed)


def _changes_of(node: ast.AST, enums: Enums) -> Iterator[Change]:
    """Every mistake that could be made at ``node`` itself."""
    yield from _of_conditions(node)
    yield from _of_values(node, enums)
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
        case ast.Call() if len(node.args) > 1 and _name(node.func) in _CLAUSES:
            for at, clause in enumerate(node.args):
                args = [*node.args[:at], *node.args[at + 1 :]]
                yield f"clause `{_short(clause)}` left out", partial(_with, node, args=args)


def _name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _of_comparisons(node: ast.Compare) -> Iterator[Change]:
    for number, operator in enumerate(node.ops):
        for other in _FLIPPED.get(type(operator), ()):
            ops = [other() if at == number else each for at, each in enumerate(node.ops)]
            yield f"{other.__name__} in `{_short(node)}`", partial(_with, node, ops=ops)


def _of_values(node: ast.AST, enums: Enums) -> Iterator[Change]:
    match node:
        case ast.Constant(value=bool(value)):
            yield f"`{value}` turned", lambda: ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield f"`{value}` raised by 1", lambda: ast.Constant(value + 1)
        case ast.BinOp() if type(node.op) in _REVERSED:
            operator = _REVERSED[type(node.op)]()
            yield f"operator of `{_short(node)}`", lambda: _with(node, op=operator)
        case ast.Attribute(value=ast.Name(id=enum)) if enum in enums and node.attr.isupper():
            members = enums[enum]
            member = members[(members.index(node.attr) + 1) % len(members)]
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
