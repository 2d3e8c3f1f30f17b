"""The C interfaces that generated code uses, described once: types, signatures by name, field
offsets, and how to emit a call.

`call(builder, "PyFloat_FromDouble", x)` declares the function in the builder's module at first use;
the engine binds the name when it links. Nothing here knows an address.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import reduce

import llvmlite.ir as ll

VOID, PTR, DOUBLE = ll.VoidType(), ll.PointerType(), ll.DoubleType()
I1, I8, I16, I32, I64 = (ll.IntType(bits) for bits in (1, 8, 16, 32, 64))
NULL = ll.Constant(PTR, None)

# --- CPython objects: byte offsets ---
OBJECT_HEAD: int = object.__basicsize__
OBJECT_TYPE: int = OBJECT_HEAD - ctypes.sizeof(ctypes.c_void_p)
FLOAT_VALUE: int = OBJECT_HEAD
ARGUMENTS_OFFSET = 1 << (ctypes.sizeof(ctypes.c_size_t) * 8 - 1)
"""The bit that a caller may set in `nargsf` of a vectorcall."""

ENTRY_TYPE = ll.FunctionType(PTR, (PTR, PTR, I64, PTR))
"""vectorcall: (callable, args, nargsf, kwnames) -> new reference, or null with an error set."""
RANGE_TYPE = ll.FunctionType(VOID, (I64, I64, PTR))
"""Body of a parallel loop: (begin, end, context)."""

_SIGNATURES: dict[str, tuple[ll.Type, tuple[ll.Type, ...]]] = {
    # CPython
    "Py_DecRef": (VOID, (PTR,)),
    "Py_IncRef": (VOID, (PTR,)),
    "PyBool_FromLong": (PTR, (I64,)),
    "PyCell_Get": (PTR, (PTR,)),
    "PyDict_GetItem": (PTR, (PTR, PTR)),
    "PyErr_Clear": (VOID, ()),
    "PyErr_Fetch": (VOID, (PTR, PTR, PTR)),
    "PyErr_NoMemory": (PTR, ()),
    "PyErr_Restore": (VOID, (PTR, PTR, PTR)),
    "PyErr_SetString": (VOID, (PTR, PTR)),
    "PyEval_RestoreThread": (VOID, (PTR,)),
    "PyEval_SaveThread": (PTR, ()),
    "PyFloat_FromDouble": (PTR, (DOUBLE,)),
    "PyList_GetItem": (PTR, (PTR, I64)),
    "PyList_New": (PTR, (I64,)),
    "PyList_SetItem": (I32, (PTR, I64, PTR)),
    "PyList_SetSlice": (I32, (PTR, I64, I64, PTR)),
    "PyDict_Next": (I32, (PTR, PTR, PTR, PTR)),
    "PyDict_Size": (I64, (PTR,)),
    "PyList_Size": (I64, (PTR,)),
    "PyLong_AsDouble": (DOUBLE, (PTR,)),
    "PyLong_AsLongLongAndOverflow": (I64, (PTR, PTR)),
    "PyLong_FromLongLong": (PTR, (I64,)),
    "PyLong_FromVoidPtr": (PTR, (PTR,)),
    "PyObject_GetAttr": (PTR, (PTR, PTR)),
    "PyObject_RichCompareBool": (I32, (PTR, PTR, I32)),
    "PyObject_Vectorcall": (PTR, (PTR, PTR, I64, PTR)),
    "PyTuple_GetItem": (PTR, (PTR, I64)),
    "PyTuple_New": (PTR, (I64,)),
    "PyTuple_SetItem": (I32, (PTR, I64, PTR)),
    "PyTuple_Size": (I64, (PTR,)),
    # C
    "memcpy": (PTR, (PTR, PTR, I64)),
    # torch: stable C interface; every function but the first returns an error code
    "aoti_torch_grad_mode_is_enabled": (I8, ()),
    "aoti_torch_create_tensor_from_blob": (
        I32,
        (PTR, I64, PTR, PTR, I64, I32, I32, I32, PTR),
    ),
    "aoti_torch_delete_tensor_object": (I32, (PTR,)),
    "aoti_torch_empty_strided": (I32, (I64, PTR, PTR, I32, I32, I32, PTR)),
    "aoti_torch_get_data_ptr": (I32, (PTR, PTR)),
    "aoti_torch_get_dim": (I32, (PTR, PTR)),
    "aoti_torch_get_dtype": (I32, (PTR, PTR)),
    "aoti_torch_get_sizes": (I32, (PTR, PTR)),
    "aoti_torch_get_strides": (I32, (PTR, PTR)),
    "aoti_torch_new_tensor_handle": (I32, (PTR, PTR)),
    "torch_call_dispatcher": (I32, (PTR, PTR, PTR, I64)),
    "torch_exception_get_what_without_backtrace": (PTR, ()),
    "torch_from_blob": (
        I32,
        (PTR, I64, PTR, PTR, I64, I32, I32, I32, PTR, I32, PTR, I64, PTR, PTR),
    ),
    "torch_list_push_back": (I32, (PTR, I64)),
    "torch_new_list_reserve_size": (I32, (I64, PTR)),
    "torch_new_stable_ivalue": (I32, (PTR,)),
    "torch_new_string_handle": (I32, (PTR, I64, PTR)),
    "torch_parallel_for": (I32, (I64, I64, I64, PTR, PTR)),
    # torch: C++ under our names (torch_abi.CPP_SYMBOLS)
    "relume_function_modes": (I8, ()),
    # the dynamic loader
    "__tls_get_addr": (PTR, (PTR,)),
    # our runtime
    "relume_slow": (PTR, (PTR, PTR, I64, PTR)),
    "relume_alloc": (PTR, (I64, PTR, PTR, I32, I64, PTR)),
    "relume_box": (PTR, (PTR,)),
    "relume_result": (PTR, (I64, PTR, PTR, I32, I64, PTR)),
    "relume_bump_version": (VOID, (PTR,)),
    "relume_is_tracked": (I8, (PTR,)),
    "relume_pool_acquire": (PTR, (I64,)),
    "relume_unchanged": (I1, (PTR,)),
    "relume_release": (VOID, (PTR, PTR, I64)),
    "relume_pool_release": (VOID, (PTR,)),
    "relume_pool_delete": (VOID, (PTR, PTR)),
    # our parallel loops (codegen.parallel)
    "relume_parallel_for": (VOID, (I64, I64, I64, PTR, PTR)),
    # our lists (codegen.lists.runtime)
    "relume_lists_free": (VOID, (PTR,)),
    "relume_list_new": (PTR, (PTR, I64, I64, I64)),
    "relume_list_clear": (VOID, (PTR, PTR)),
    "relume_handle_new": (PTR, (PTR, I64)),
    "relume_handle_of": (PTR, (PTR, PTR, PTR)),
    "relume_list_retain": (VOID, (PTR,)),
    "relume_list_release": (VOID, (PTR, PTR)),
    "relume_list_reserve": (I1, (PTR, I64, I64)),
    "relume_list_copy": (PTR, (PTR, PTR, I64)),
    "relume_list_slice": (PTR, (PTR, PTR, I64, I64, I64, I64)),
    "relume_list_extend": (I1, (PTR, PTR, I64)),
    "relume_list_repeat": (PTR, (PTR, PTR, I64, I64)),
    "relume_list_open": (I1, (PTR, I64, I64)),
    "relume_list_close": (VOID, (PTR, I64, I64)),
    **{
        f"relume_list_{verb}_{kind}": signature
        for kind, element in (("int", I64), ("float", DOUBLE), ("bool", I8))
        for verb, signature in {
            "find": (I64, (PTR, element, I64)),
            "count": (I64, (PTR, element)),
            "equal": (I1, (PTR, PTR)),
            "reverse": (VOID, (PTR,)),
            "sort": (I1, (PTR, I1)),
            "unbox": (PTR, (PTR, PTR)),
            "box": (PTR, (PTR,)),
        }.items()
    },
}


def i32(value: int) -> ll.Constant:
    return ll.Constant(I32, value)


def i64(value: int | ll.Value) -> ll.Value:
    """A 64-bit integer operand: constants are made, SSA values pass."""
    return ll.Constant(I64, value) if isinstance(value, int) else value


_APART = ("PyEval_RestoreThread", "PyEval_SaveThread")
"""Functions that touch no memory of the code that calls them: what it has loaded stays valid."""


def function(module: ll.Module, name: str) -> ll.Function:
    """The declaration of a C function of the table."""
    found = module.globals.get(name)
    if found is None:
        result, parameters = _SIGNATURES[name]
        found = ll.Function(module, ll.FunctionType(result, parameters), name)
        if name in _APART:
            found.attributes.add("inaccessiblememonly")
    return found


def call(builder: ll.IRBuilder, name: str, *args: ll.Value) -> ll.Value:
    """Call a C function of the table."""
    return builder.call(function(builder.module, name), args)


def external(module: ll.Module, name: str) -> ll.GlobalVariable:
    """The address of data that some library exports, or of a Python object given to the engine
    under this name.
    """
    found = module.globals.get(name)
    return ll.GlobalVariable(module, I8, name) if found is None else found


def offset(builder: ll.IRBuilder, base: ll.Value, count: int | ll.Value) -> ll.Value:
    """The address `count` bytes after `base`."""
    return base if count == 0 else builder.gep(base, [i64(count)], source_etype=I8)


def field(builder: ll.IRBuilder, base: ll.Value, count: int, kind: ll.Type = I64) -> ll.Value:
    """The value of type `kind` that is stored `count` bytes after `base`."""
    return builder.load(offset(builder, base, count), typ=kind)


def any_of(b: ll.IRBuilder, values: Sequence[ll.Value]) -> ll.Value:
    """The bits that are set in any of some integers."""
    return reduce(b.or_, values)


def stack(builder: ll.IRBuilder, kind: ll.Type, count: int = 1) -> ll.Value:
    """Room for `count` values in the function's frame, wherever the builder stands."""
    with builder.goto_entry_block():
        return builder.alloca(kind, i32(max(count, 1)))


def string(module: ll.Module, text: str) -> ll.GlobalVariable:
    """A constant C string."""
    data = bytearray(text.encode() + b"\0")
    kind = ll.ArrayType(I8, len(data))
    made = ll.GlobalVariable(module, kind, module.get_unique_name("text"))
    made.global_constant, made.linkage, made.initializer = True, "private", ll.Constant(kind, data)
    return made
