"""The runtime of native lists (`codegen.lists.runtime`): from Python's lists, and to new ones."""

from __future__ import annotations

from codegen.abi import OBJECT_TYPE

_READ_INT = """%x = call i64 @PyLong_AsLongLongAndOverflow(ptr %item, ptr %overflow)
  %beyond = load i32, ptr %overflow
  %is_beyond = icmp ne i32 %beyond, 0"""
_READ_FLOAT = """%x = call double @PyFloat_AsDouble(ptr %item)
  %is_beyond = icmp eq ptr %item, null"""
_READ_BOOL = """%is_true = icmp eq ptr %item, @_Py_TrueStruct
  %x = zext i1 %is_true to i8
  %is_beyond = icmp eq ptr %item, null"""
_BOX_INT = "%item = call ptr @PyLong_FromLongLong(i64 %x)"
_BOX_FLOAT = "%item = call ptr @PyFloat_FromDouble(double %x)"
_BOX_BOOL = """%wide = zext i8 %x to i64
  %item = call ptr @PyBool_FromLong(i64 %wide)"""


def text() -> str:
    """Both ways for the three kinds of numbers."""
    return (
        _python("int", "i64", "PyLong_Type", 3, _READ_INT, _BOX_INT)
        + _python("float", "double", "PyFloat_Type", 3, _READ_FLOAT, _BOX_FLOAT)
        + _python("bool", "i8", "PyBool_Type", 0, _READ_BOOL, _BOX_BOOL)
    )


def _python(kind: str, element: str, type_: str, shift: int, read: str, box: str) -> str:
    """From a Python list of exact elements, and to a new one."""
    return f"""
define ptr @relume_list_unbox_{kind}(ptr %chain, ptr %object) {{
entry:
  %overflow = alloca i32
  store i32 0, ptr %overflow
  %type_at = getelementptr i8, ptr %object, i64 {OBJECT_TYPE}
  %type = load ptr, ptr %type_at
  %is_list = icmp eq ptr %type, @PyList_Type
  br i1 %is_list, label %make, label %none
make:
  %length = call i64 @PyList_Size(ptr %object)
  %list = call ptr @relume_list_new(ptr %chain, i64 %length, i64 {shift}, i64 0)
  %failed = icmp eq ptr %list, null
  br i1 %failed, label %none, label %hold
hold:
  call void @Py_IncRef(ptr %object)
  %object_at = getelementptr %List, ptr %list, i64 0, i32 3
  store ptr %object, ptr %object_at
  %data = load ptr, ptr %list
  br label %test
test:
  %i = phi i64 [ 0, %hold ], [ %following, %store ]
  %go_on = icmp ult i64 %i, %length
  br i1 %go_on, label %check, label %done
check:
  %item = call ptr @PyList_GetItem(ptr %object, i64 %i)
  %item_type_at = getelementptr i8, ptr %item, i64 {OBJECT_TYPE}
  %item_type = load ptr, ptr %item_type_at
  %is_exact = icmp eq ptr %item_type, @{type_}
  br i1 %is_exact, label %read, label %none
read:
  {read}
  br i1 %is_beyond, label %none, label %store
store:
  %at = getelementptr {element}, ptr %data, i64 %i
  store {element} %x, ptr %at
  %following = add i64 %i, 1
  br label %test
done:
  ret ptr %list
none:
  ret ptr null
}}

define ptr @relume_list_box_{kind}(ptr %list) {{
entry:
  %data = load ptr, ptr %list
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %object = call ptr @PyList_New(i64 %length)
  %failed = icmp eq ptr %object, null
  br i1 %failed, label %none, label %test
test:
  %i = phi i64 [ 0, %entry ], [ %following, %set ]
  %go_on = icmp ult i64 %i, %length
  br i1 %go_on, label %make, label %done
make:
  %at = getelementptr {element}, ptr %data, i64 %i
  %x = load {element}, ptr %at
  {box}
  %no_item = icmp eq ptr %item, null
  br i1 %no_item, label %drop, label %set
set:
  %ignored = call i32 @PyList_SetItem(ptr %object, i64 %i, ptr %item)
  %following = add i64 %i, 1
  br label %test
done:
  ret ptr %object
drop:
  call void @Py_DecRef(ptr %object)
  br label %none
none:
  ret ptr null
}}
"""
