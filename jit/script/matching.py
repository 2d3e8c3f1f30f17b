"""match: each pattern as a test and bindings on the subject, the cases as a chain of ifs.

    case Point(x=0, y=y) if y > 0: B        if isinstance(s, Point) and s.x == 0:
                                                y = s.y
                                                if y > 0: done = True; B
                                            if not done: the next case

Parts of the subject are read by paths (`s.x`, `s[0]`), which tests refine as in any program.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from ir import BOOL, DictType, ListType, TupleType, Value
from jit.script.dynamic import is_dynamic
from jit.script.frame import Frame, statement
from jit.script.library import is_mapping, is_sequence
from jit.script.rules import rule
from jit.script.templates import without_positions
from jit.script.values import Arguments, Items, Operand, PyObject

_SUBJECT, _DONE = "$subject", "$done"
_SELF = (bool, bytearray, bytes, dict, float, frozenset, int, list, set, str, tuple)


@statement(ast.Match)
def _match(frame: Frame, node: ast.Match) -> None:
    depth = sum(name.startswith(_DONE) for name in frame.scope)
    subject, done = f"{_SUBJECT}{depth}", f"{_DONE}{depth}"
    frame.scope[subject] = frame.evaluate(node.subject)
    frame.scope[done] = frame.constant(False)
    frame.scope["$is_sequence"] = PyObject(is_sequence, "is_sequence")
    frame.scope["$is_mapping"] = PyObject(is_mapping, "is_mapping")
    frame.run(_chain(frame, list(_alternatives(node.cases)), subject, done))
    for name in [n for n in frame.scope if n.startswith((subject, done))]:
        del frame.scope[name]


def _alternatives(cases: Sequence[ast.match_case]) -> list[ast.match_case]:
    """Cases one by one; alternatives that bind names become cases of their own."""
    found: list[ast.match_case] = []
    for case in cases:
        pattern = case.pattern
        is_split = isinstance(pattern, ast.MatchOr) and _binds(pattern)
        parts = pattern.patterns if is_split else [pattern]  # type: ignore[attr-defined]
        found += [ast.match_case(part, case.guard, case.body) for part in parts]
    return found


def _binds(pattern: ast.pattern) -> bool:
    return any(getattr(p, "name", None) or getattr(p, "rest", None) for p in ast.walk(pattern))


def _chain(
    frame: Frame, cases: Sequence[ast.match_case], subject: str, done: str
) -> list[ast.stmt]:
    """The statements of the cases from here on."""
    if not cases:
        return []
    case, *rest = cases
    with frame.at(case.pattern):
        tests, bindings = _pattern(frame, case.pattern, ast.Name(subject, ast.Load()))
    body: list[ast.stmt] = [ast.Assign([ast.Name(done, ast.Store())], ast.Constant(True))]
    body += case.body
    if case.guard is not None:
        body = [ast.If(case.guard, body, [])]
    body = [*bindings, *body]
    taken = ast.If(_all(tests), body, [])
    missed = ast.UnaryOp(ast.Not(), ast.Name(done, ast.Load()))
    following = _chain(frame, rest, subject, done)
    made: list[ast.stmt] = [taken, *([ast.If(missed, following, [])] if following else [])]
    return [ast.fix_missing_locations(_placed(s, case.pattern)) for s in made]


def _placed(node: ast.stmt, at: ast.pattern) -> ast.stmt:
    """A statement of ours, at the position of its pattern."""
    return ast.copy_location(node, at)


def _all(tests: list[ast.expr]) -> ast.expr:
    if len(tests) < 2:
        return tests[0] if tests else ast.Constant(True)
    return ast.BoolOp(ast.And(), tests)


Steps = tuple[list[ast.expr], list[ast.stmt]]


def _pattern(frame: Frame, pattern: ast.pattern, value: ast.expr) -> Steps:
    """The tests of a pattern on an expression, in order, and what it binds then."""
    match pattern:
        case ast.MatchValue(value=wanted):
            return [ast.Compare(value, [ast.Eq()], [wanted])], []
        case ast.MatchSingleton(value=wanted):
            return [ast.Compare(value, [ast.Is()], [ast.Constant(wanted)])], []
        case ast.MatchOr(patterns=patterns) if not _binds(pattern):
            tests = [_all(_pattern(frame, p, value)[0]) for p in patterns]
            return [ast.BoolOp(ast.Or(), tests)], []
        case ast.MatchAs(pattern=inner, name=name):
            tests, bindings = ([], []) if inner is None else _pattern(frame, inner, value)
            return tests, [*bindings, *([_bind(name, value)] if name else [])]
        case ast.MatchSequence(patterns=patterns):
            return _sequence(frame, patterns, value)
        case ast.MatchMapping():
            return _mapping(frame, pattern, value)
        case ast.MatchClass():
            return _class(frame, pattern, value)
    with frame.at(pattern):
        raise frame.unsupported("alternatives inside a pattern cannot bind names")


def _bind(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], value)


def _call(name: str, *args: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _sequence(frame: Frame, patterns: Sequence[ast.pattern], value: ast.expr) -> Steps:
    star = next((i for i, p in enumerate(patterns) if isinstance(p, ast.MatchStar)), None)
    count = len(patterns) - (star is not None)
    compared: ast.cmpop = ast.Eq() if star is None else ast.GtE()
    length = ast.Compare(_call("len", value), [compared], [ast.Constant(count)])
    tests: list[ast.expr] = [_call("$is_sequence", value), length]
    bindings: list[ast.stmt] = []
    for i, pattern in enumerate(patterns):
        if isinstance(pattern, ast.MatchStar):
            after = len(patterns) - i - 1
            stop = ast.UnaryOp(ast.USub(), ast.Constant(after)) if after else None
            rest = ast.Subscript(value, ast.Slice(ast.Constant(i), stop, None), ast.Load())
            bindings += [_bind(pattern.name, _call("list", rest))] if pattern.name else []
            continue
        position = i if star is None or i < star else i - len(patterns)
        part = ast.Subscript(value, ast.Constant(position), ast.Load())
        more, made = _pattern(frame, pattern, part)
        tests, bindings = [*tests, *more], [*bindings, *made]
    return tests, bindings


def _mapping(frame: Frame, pattern: ast.MatchMapping, value: ast.expr) -> Steps:
    tests: list[ast.expr] = [_call("$is_mapping", value)]
    bindings: list[ast.stmt] = []
    for key, inner in zip(pattern.keys, pattern.patterns, strict=True):
        tests.append(ast.Compare(key, [ast.In()], [value]))
        more, made = _pattern(frame, inner, ast.Subscript(value, key, ast.Load()))
        tests, bindings = [*tests, *more], [*bindings, *made]
    if pattern.rest:
        text = "{k: v for k, v in d.items() if k not in keys}"
        tree = without_positions(ast.parse(text, mode="eval")).body
        assert isinstance(tree, ast.DictComp)
        tree.generators[0].iter = ast.Call(ast.Attribute(value, "items", ast.Load()), [], [])
        keys = ast.Tuple(list(pattern.keys), ast.Load())
        name = ast.Name("k", ast.Load())
        tree.generators[0].ifs = [ast.Compare(name, [ast.NotIn()], [keys])]
        bindings.append(_bind(pattern.rest, tree))
    return tests, bindings


def _class(frame: Frame, pattern: ast.MatchClass, value: ast.expr) -> Steps:
    tests: list[ast.expr] = [_call("isinstance", value, pattern.cls)]
    bindings: list[ast.stmt] = []
    names = _positional(frame, pattern)
    parts = [*zip(names, pattern.patterns, strict=False)]
    for name, inner in [*parts, *zip(pattern.kwd_attrs, pattern.kwd_patterns, strict=True)]:
        part = value if name is None else ast.Attribute(value, name, ast.Load())
        more, made = _pattern(frame, inner, part)
        tests, bindings = [*tests, *more], [*bindings, *made]
    return tests, bindings


def _positional(frame: Frame, pattern: ast.MatchClass) -> list[str | None]:
    """The attributes that positional subpatterns match; None is the subject itself."""
    operand = frame.evaluate(pattern.cls)
    cls: Any = operand.obj if isinstance(operand, PyObject) else None
    if not isinstance(cls, type):
        raise frame.unsupported("a class pattern needs a class known while compiling")
    if cls in _SELF:
        return [None]
    names = list(getattr(cls, "__match_args__", ()))
    if len(names) < len(pattern.patterns):
        raise frame.mismatch(
            f"{cls.__name__}() accepts {len(names)} positional sub-patterns "
            f"({len(pattern.patterns)} given)"
        )
    return names


@rule(is_sequence)
def _is_sequence(frame: Frame, given: Arguments) -> Operand:
    return _kind(frame, given, (ListType, TupleType), is_sequence)


@rule(is_mapping)
def _is_mapping(frame: Frame, given: Arguments) -> Operand:
    return _kind(frame, given, (DictType,), is_mapping)


def _kind(frame: Frame, given: Arguments, types: tuple[type, ...], function: Any) -> Operand:
    """Whether the subject is a sequence or mapping: by its type, where that says it."""
    (operand,) = given.args
    if isinstance(operand, Value):
        if is_dynamic(operand.type):
            return frame.python(function, [operand], BOOL)
        return frame.constant(isinstance(operand.type, types))
    return frame.constant(isinstance(operand, Items) and TupleType in types)
