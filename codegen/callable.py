"""`NativeCallable`: an object whose call goes straight to machine code, and back to Python when
there is none.

    obj(...) ── vectorcall slot ──► plan ── guard fails ──► next plan ── ... ──► slow thunk
                     │    │                                                       │
                     │    └ (switched off) forward thunk ──► target(...)          ▼
                     └──► type(obj).__call__ ──► obj._call_slow(...)

The C part is one slot: the type below it is made with `PyType_FromSpec` and adds a `vectorcall`
pointer to the object. Python subclasses get dictionaries, garbage collection and weak references as
usual.

Laws
  * An address in the slot must have CPython's vectorcall signature and must stay valid as long as
    the object lives: the owner keeps the library in the object (`keep`), and never drops it, since
    another thread may be inside.
  * CPython does not let Python subclasses inherit the flag that enables the slot (3.12 does, unless
    they define `__call__`); `__init_subclass__` sets it. Where the flags of a type cannot be found,
    calls take `__call__`: slower, never wrong.
"""

from __future__ import annotations

import ctypes
from typing import Any

_POINTER = ctypes.sizeof(ctypes.c_void_p)
_SLOT = object.__basicsize__
"""Offset of the vectorcall pointer."""

_FLAG_DEFAULT = 1 << 18
_FLAG_BASETYPE = 1 << 10
_FLAG_VECTORCALL = 1 << 11
_MEMBER_PYSSIZET = 19
_MEMBER_READONLY = 1
_SLOT_MEMBERS = 72  # Py_tp_members of the stable ABI


class _Member(ctypes.Structure):
    """PyMemberDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class _Slot(ctypes.Structure):
    """PyType_Slot."""

    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    """PyType_Spec."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


def _make_type() -> tuple[type, object]:
    """The C base type, and the memory that it points into."""
    members = (_Member * 2)(
        _Member(b"__vectorcalloffset__", _MEMBER_PYSSIZET, _SLOT, _MEMBER_READONLY, None), _Member()
    )
    slots = (_Slot * 2)(_Slot(_SLOT_MEMBERS, ctypes.addressof(members)), _Slot())
    flags = _FLAG_DEFAULT | _FLAG_BASETYPE | _FLAG_VECTORCALL
    spec = _Spec(b"codegen.callable.VectorcallSlot", _SLOT + _POINTER, 0, flags, slots)
    make = ctypes.pythonapi.PyType_FromSpec
    make.restype, make.argtypes = ctypes.py_object, [ctypes.POINTER(_Spec)]
    return make(ctypes.byref(spec)), (members, slots, spec)


def _flags_offset() -> int | None:
    """Where a type object keeps its flags: the one offset that fits types of all sorts; None
    when there is not one.
    """
    types: tuple[type, ...] = (
        object,
        int,
        str,
        dict,
        type,
        list,
        BaseException,
        VectorcallSlot,
        _Plain,
    )
    words = range(0, _SLOT * 24, _POINTER)
    fits = [
        offset for offset in words if all(_flags(t, offset).value == t.__flags__ for t in types)
    ]
    return fits[0] if len(fits) == 1 else None


def _flags(cls: type, offset: int) -> ctypes.c_ulong:
    return ctypes.c_ulong.from_address(id(cls) + offset)


class _Plain:
    """A heap type, as a sample."""


VectorcallSlot, _MEMORY = _make_type()
_FLAGS_OFFSET = _flags_offset()


class NativeCallable(VectorcallSlot):  # type: ignore[misc, valid-type]
    """Base of objects that are called natively; a subclass defines `_call_slow`, which serves
    every call until an entry is set.
    """

    __slots__ = ("__dict__", "__weakref__", "_kept", "_target")

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _enable_vectorcall(cls)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call_slow(*args, **kwargs)

    def _call_slow(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def _enable_vectorcall(cls: type) -> None:
    if _FLAGS_OFFSET is not None:
        _flags(cls, _FLAGS_OFFSET).value |= _FLAG_VECTORCALL


_enable_vectorcall(NativeCallable)


def set_entry(obj: NativeCallable, address: int, keep: object = None) -> None:
    """Let calls of `obj` go to the machine code at `address` (0: to `__call__`), which lives as
    long as `keep` does.
    """
    if keep is not None:
        obj._kept = (*getattr(obj, "_kept", ()), keep)
    ctypes.c_void_p.from_address(id(obj) + _SLOT).value = address


def get_entry(obj: NativeCallable) -> int:
    """The address that calls of `obj` go to, 0 when they go to `__call__`."""
    return ctypes.c_void_p.from_address(id(obj) + _SLOT).value or 0


def _target_offset() -> int:
    """Where an instance keeps the object of its `_target` slot."""
    probe, mark = NativeCallable(), object()
    probe._target = mark
    size = NativeCallable.__basicsize__
    return next(
        o for o in range(_SLOT + _POINTER, size, _POINTER) if _pointer(probe, o) == id(mark)
    )


def _pointer(obj: object, offset: int) -> int | None:
    return ctypes.c_void_p.from_address(id(obj) + offset).value


TARGET_OFFSET = _target_offset()
"""Offset of the `_target` slot, for the forward thunk."""
