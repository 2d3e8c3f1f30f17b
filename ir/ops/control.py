"""Rows of structure: constants, branches, loops, containers, calls. Walks handle them by name.

    op                    attributes                  blocks
    prim::Constant        value
    prim::If              -                           two, without parameters, returning the outputs
    prim::Loop            -                           one: parameters (i, carried...), returns
                                                      (condition, carried...); inputs (maximal
                                                      trip count, first condition, carried...)
    prim::RaiseException  exception: its class        inputs are the exception's arguments
    prim::CallFunction    graph: Graph, name          of a Python function also `function`; of a
                                                      module's method the live `receiver`, too
    prim::fork            graph: Graph, name          as a task: the output is its future; generic
                                                      also of the `method` of its first input
    aten::wait            -
    prim::PythonOp        function: a callable        `objects`: live ones that it may change;
                                                      `seals`: it makes a tuple of a list's items
    prim::Try             graph: Graph, name          outputs (completed, its exception or None,
                                                      the graph's returns); catches every exception
    prim::Enter, Exit     -                           a context manager; an exception leaves it too
    prim::SetConstruct    -
    prim::GetAttr         name
    prim::SetAttr         name                        inputs (object, value)
    prim::CallMethod      name                        of the object's class (see `ir.classes`)
    prim::CreateObject    -                           without __init__; the class is in the type
    prim::isinstance      types: the IR's types, classes: Python's

A container is `ALIAS`: it shares what it holds, and two equal ones are not the same list.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ir.futures import wait
from ir.instance import is_instance
from ir.op import Control, Effect, Op, row


def control(
    schema: str, effect: Effect = Effect.PURE, python: Callable[..., Any] | None = None
) -> Op:
    """Declare one structural op; `python` takes the inputs, and the attributes by keyword."""
    return row(schema, Control(), effect=effect, python=python)


def _is_instance(value: object, *, types: object, classes: Any) -> bool:
    return is_instance(value, classes)


CONSTANT = control("prim::Constant() -> t")
UNINITIALIZED = control("prim::Uninitialized() -> t")
IF = control("prim::If(bool condition, ...) -> ...", Effect.SIDE)
LOOP = control("prim::Loop(int count, bool condition, ...) -> ...", Effect.SIDE)

LIST = control("prim::ListConstruct(...) -> t[]", Effect.ALIAS)
LIST_UNPACK = control("prim::ListUnpack(t[] list) -> ...", Effect.ALIAS)
TUPLE = control("prim::TupleConstruct(...) -> t", Effect.ALIAS)
TUPLE_UNPACK = control("prim::TupleUnpack(Any tuple) -> ...", Effect.ALIAS)
TUPLE_INDEX = control("prim::TupleIndex(Any tuple, int index) -> t", Effect.ALIAS, operator.getitem)
DICT = control("prim::DictConstruct(...) -> t", Effect.ALIAS)
SET = control("prim::SetConstruct(...) -> t", Effect.ALIAS, lambda *items: set(items))
CAST = control("prim::unchecked_cast(t value) -> t", Effect.ALIAS)
IS_INSTANCE = control("prim::isinstance(Any value) -> bool", Effect.PURE, _is_instance)

RAISE = control("prim::RaiseException(...) -> ()", Effect.SIDE)
PRINT = control("prim::Print(...) -> ()", Effect.SIDE, print)
CALL = control("prim::CallFunction(...) -> ...", Effect.SIDE)
FORK = control("prim::fork(...) -> t", Effect.SIDE)
WAIT = control("aten::wait(Future(t) self) -> t", Effect.SIDE, wait)
ENTER = control("prim::Enter(Any context) -> t", Effect.SIDE)
EXIT = control("prim::Exit(Any context) -> ()", Effect.SIDE)
TRY = control("prim::Try(...) -> ...", Effect.SIDE)
PYTHON = control("prim::PythonOp(...) -> ...", Effect.SIDE)
GET_ATTRIBUTE = control("prim::GetAttr(Any object) -> t", Effect.ALIAS)
SET_ATTRIBUTE = control("prim::SetAttr(Any object, Any value) -> ()", Effect.SIDE)
CALL_METHOD = control("prim::CallMethod(Any object, ...) -> ...", Effect.SIDE)
CREATE_OBJECT = control("prim::CreateObject() -> t", Effect.ALIAS)
