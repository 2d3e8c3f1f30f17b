"""The runtime of native lists, as LLVM IR: memory, growth, search, sorting, and the way from and to
Python's lists.

    %List = { data, length, capacity, object, references, depth, previous, next }

A list is a header that every name of it points to, so aliases share it, and a block of elements:
i64 for ints, double for floats, i8 for bools, a header's address for lists and tensors. The header
of a tensor, its handle, has capacity 0: its elements lie behind it or belong to the object. All
headers of one call hang on a chain whose first link is a stack slot of the entry; every way out
frees the chain, so no path can leak. References only serve to free a list earlier, when a loop
drops it.

`object` is the Python list that stands for this one: the argument, or what it was boxed to.
`depth` is how many levels of headers are below a list: 0 for numbers.

A function that gives a header gives null when there is no memory for it, or when a Python list
holds something else than it should; both are left to the interpreter.
"""

from __future__ import annotations

from codegen.abi import OBJECT_TYPE

DATA, LENGTH, CAPACITY, OBJECT, REFERENCES, DEPTH = range(0, 48, 8)
"""Byte offsets of a header's fields."""
HEADER_WORDS = 8

_MEMORY = """
%List = type { ptr, i64, i64, ptr, i64, i64, ptr, ptr }
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @malloc(i64)
declare ptr @realloc(ptr, i64)
declare void @free(ptr)
declare ptr @memcpy(ptr, ptr, i64)
declare ptr @memmove(ptr, ptr, i64)
declare i32 @memcmp(ptr, ptr, i64)
declare ptr @PyList_New(i64)
declare ptr @PyList_GetItem(ptr, i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare i64 @PyList_Size(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyFloat_FromDouble(double)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyBool_FromLong(i64)
declare i64 @llvm.smax.i64(i64, i64)
declare i64 @llvm.smin.i64(i64, i64)
@PyLong_Type = external global i8
@PyFloat_Type = external global i8
@PyBool_Type = external global i8
@PyList_Type = external global i8
@_Py_TrueStruct = external global i8

define void @relume_lists_free(ptr %first) {
entry:
  br label %test
test:
  %list = phi ptr [ %first, %entry ], [ %next, %free ]
  %is_end = icmp eq ptr %list, null
  br i1 %is_end, label %done, label %free
free:
  %next_at = getelementptr %List, ptr %list, i64 0, i32 7
  %next = load ptr, ptr %next_at
  call void @free_one(ptr %list)
  br label %test
done:
  ret void
}

define internal void @free_one(ptr %list) {
entry:
  %capacity_at = getelementptr %List, ptr %list, i64 0, i32 2
  %capacity = load i64, ptr %capacity_at
  %is_handle = icmp eq i64 %capacity, 0
  br i1 %is_handle, label %boxed, label %elements
elements:
  %data = load ptr, ptr %list
  call void @free(ptr %data)
  br label %boxed
boxed:
  %object_at = getelementptr %List, ptr %list, i64 0, i32 3
  %object = load ptr, ptr %object_at
  %is_none = icmp eq ptr %object, null
  br i1 %is_none, label %done, label %drop
drop:
  call void @Py_DecRef(ptr %object)
  br label %done
done:
  call void @free(ptr %list)
  ret void
}

define ptr @relume_list_new(ptr %chain, i64 %wanted, i64 %shift, i64 %depth) {
entry:
  %length = call i64 @llvm.smax.i64(i64 %wanted, i64 0)
  %is_huge = icmp ugt i64 %length, 1152921504606846975
  br i1 %is_huge, label %none, label %make
make:
  %exact = shl i64 %length, %shift
  %bytes = call i64 @llvm.smax.i64(i64 %exact, i64 32)
  %capacity = lshr i64 %bytes, %shift
  %data = call ptr @malloc(i64 %bytes)
  %list = call ptr @malloc(i64 64)
  %no_data = icmp eq ptr %data, null
  %no_list = icmp eq ptr %list, null
  %failed = or i1 %no_data, %no_list
  br i1 %failed, label %undo, label %link
undo:
  call void @free(ptr %data)
  call void @free(ptr %list)
  br label %none
link:
  call void @link_one(ptr %chain, ptr %list, ptr %data, i64 %length, i64 %capacity, ptr null,
                      i64 %depth)
  ret ptr %list
none:
  ret ptr null
}

define ptr @relume_handle_new(ptr %chain, i64 %bytes) {          ; a tensor's memory
entry:
  %all = add i64 %bytes, 64
  %list = call ptr @malloc(i64 %all)
  %failed = icmp eq ptr %list, null
  br i1 %failed, label %none, label %link
link:
  %data = getelementptr i8, ptr %list, i64 64
  call void @link_one(ptr %chain, ptr %list, ptr %data, i64 0, i64 0, ptr null, i64 0)
  ret ptr %list
none:
  ret ptr null
}

define ptr @relume_handle_of(ptr %chain, ptr %data, ptr %object) {      ; the memory of an object
entry:
  %list = call ptr @malloc(i64 64)
  %failed = icmp eq ptr %list, null
  br i1 %failed, label %none, label %link
link:
  call void @Py_IncRef(ptr %object)
  call void @link_one(ptr %chain, ptr %list, ptr %data, i64 0, i64 0, ptr %object, i64 0)
  ret ptr %list
none:
  ret ptr null
}

define internal void @link_one(ptr %chain, ptr %list, ptr %data, i64 %length, i64 %capacity,
                               ptr %object, i64 %depth) {
entry:
  store ptr %data, ptr %list
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  store i64 %length, ptr %length_at
  %capacity_at = getelementptr %List, ptr %list, i64 0, i32 2
  store i64 %capacity, ptr %capacity_at
  %object_at = getelementptr %List, ptr %list, i64 0, i32 3
  store ptr %object, ptr %object_at
  %references_at = getelementptr %List, ptr %list, i64 0, i32 4
  store i64 1, ptr %references_at
  %depth_at = getelementptr %List, ptr %list, i64 0, i32 5
  store i64 %depth, ptr %depth_at
  %previous_at = getelementptr %List, ptr %list, i64 0, i32 6
  store ptr %chain, ptr %previous_at                  ; the address of the link that names this one
  %next_at = getelementptr %List, ptr %list, i64 0, i32 7
  %first = load ptr, ptr %chain
  store ptr %first, ptr %next_at
  store ptr %list, ptr %chain
  %is_only = icmp eq ptr %first, null
  br i1 %is_only, label %done, label %behind
behind:
  %back_at = getelementptr %List, ptr %first, i64 0, i32 6
  store ptr %next_at, ptr %back_at
  br label %done
done:
  ret void
}

define internal void @unlink_one(ptr %list) {
entry:
  %previous_at = getelementptr %List, ptr %list, i64 0, i32 6
  %link = load ptr, ptr %previous_at
  %next_at = getelementptr %List, ptr %list, i64 0, i32 7
  %next = load ptr, ptr %next_at
  store ptr %next, ptr %link
  %is_last = icmp eq ptr %next, null
  br i1 %is_last, label %done, label %behind
behind:
  %back_at = getelementptr %List, ptr %next, i64 0, i32 6
  store ptr %link, ptr %back_at
  br label %done
done:
  ret void
}

define void @relume_list_retain(ptr %list) {
entry:
  %is_none = icmp eq ptr %list, null
  br i1 %is_none, label %done, label %count
count:
  %references_at = getelementptr %List, ptr %list, i64 0, i32 4
  %references = load i64, ptr %references_at
  %more = add i64 %references, 1
  store i64 %more, ptr %references_at
  br label %done
done:
  ret void
}

define void @relume_list_release(ptr %chain, ptr %list) {
entry:
  %is_none = icmp eq ptr %list, null
  br i1 %is_none, label %done, label %count
count:
  %references_at = getelementptr %List, ptr %list, i64 0, i32 4
  %references = load i64, ptr %references_at
  %less = sub i64 %references, 1
  store i64 %less, ptr %references_at
  %is_dead = icmp eq i64 %less, 0
  br i1 %is_dead, label %drop, label %done
drop:
  call void @relume_list_clear(ptr %chain, ptr %list)
  call void @unlink_one(ptr %list)
  call void @free_one(ptr %list)
  br label %done
done:
  ret void
}

define void @relume_list_clear(ptr %chain, ptr %list) {
entry:
  %data = load ptr, ptr %list
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  store i64 0, ptr %length_at
  %depth_at = getelementptr %List, ptr %list, i64 0, i32 5
  %depth = load i64, ptr %depth_at
  %is_flat = icmp eq i64 %depth, 0
  br i1 %is_flat, label %done, label %test
test:
  %i = phi i64 [ 0, %entry ], [ %following, %each ]
  %go_on = icmp ult i64 %i, %length
  br i1 %go_on, label %each, label %done
each:
  %at = getelementptr ptr, ptr %data, i64 %i
  %element = load ptr, ptr %at
  call void @relume_list_release(ptr %chain, ptr %element)
  %following = add i64 %i, 1
  br label %test
done:
  ret void
}

define internal void @retain_all(ptr %list, i64 %from) {      ; the elements from a position on
entry:
  %depth_at = getelementptr %List, ptr %list, i64 0, i32 5
  %depth = load i64, ptr %depth_at
  %is_flat = icmp eq i64 %depth, 0
  br i1 %is_flat, label %done, label %elements
elements:
  %data = load ptr, ptr %list
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  br label %test
test:
  %i = phi i64 [ %from, %elements ], [ %following, %each ]
  %go_on = icmp ult i64 %i, %length
  br i1 %go_on, label %each, label %done
each:
  %at = getelementptr ptr, ptr %data, i64 %i
  %element = load ptr, ptr %at
  call void @relume_list_retain(ptr %element)
  %following = add i64 %i, 1
  br label %test
done:
  ret void
}

define i1 @relume_list_reserve(ptr %list, i64 %wanted, i64 %shift) {   ; false: no memory
entry:
  %capacity_at = getelementptr %List, ptr %list, i64 0, i32 2
  %capacity = load i64, ptr %capacity_at
  %fits = icmp ule i64 %wanted, %capacity
  br i1 %fits, label %yes, label %grow
grow:
  %half = lshr i64 %wanted, 1
  %more = add i64 %wanted, %half
  %bytes = shl i64 %more, %shift
  %data = load ptr, ptr %list
  %moved = call ptr @realloc(ptr %data, i64 %bytes)
  %failed = icmp eq ptr %moved, null
  br i1 %failed, label %no, label %note
note:
  store ptr %moved, ptr %list
  store i64 %more, ptr %capacity_at
  br label %yes
yes:
  ret i1 true
no:
  ret i1 false
}

define ptr @relume_list_copy(ptr %chain, ptr %list, i64 %shift) {
entry:
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %copy = call ptr @relume_list_slice(ptr %chain, ptr %list, i64 0, i64 %length, i64 1, i64 %shift)
  ret ptr %copy
}

define ptr @relume_list_slice(ptr %chain, ptr %list, i64 %start, i64 %stop, i64 %step, i64 %shift) {
entry:                                                 ; the bounds as Python writes them
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %depth_at = getelementptr %List, ptr %list, i64 0, i32 5
  %depth = load i64, ptr %depth_at
  %is_up = icmp sgt i64 %step, 0
  %lowest = select i1 %is_up, i64 0, i64 -1
  %last = sub i64 %length, 1
  %highest = select i1 %is_up, i64 %length, i64 %last
  %from = call i64 @clamped(i64 %start, i64 %length, i64 %lowest, i64 %highest)
  %to = call i64 @clamped(i64 %stop, i64 %length, i64 %lowest, i64 %highest)
  %up = sub i64 %to, %from
  %down = sub i64 %from, %to
  %distance = select i1 %is_up, i64 %up, i64 %down
  %negative = sub i64 0, %step
  %size = select i1 %is_up, i64 %step, i64 %negative
  %some = icmp sgt i64 %distance, 0
  %less = sub i64 %distance, 1
  %steps = udiv i64 %less, %size
  %full = add i64 %steps, 1
  %count = select i1 %some, i64 %full, i64 0
  %made = call ptr @relume_list_new(ptr %chain, i64 %count, i64 %shift, i64 %depth)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %none, label %copy
copy:
  %source = load ptr, ptr %list
  %target = load ptr, ptr %made
  %is_dense = icmp eq i64 %step, 1
  br i1 %is_dense, label %block, label %test
block:
  %offset = shl i64 %from, %shift
  %begin = getelementptr i8, ptr %source, i64 %offset
  %bytes = shl i64 %count, %shift
  %ignored = call ptr @memcpy(ptr %target, ptr %begin, i64 %bytes)
  br label %done
test:
  %i = phi i64 [ 0, %copy ], [ %following, %each ]
  %position = phi i64 [ %from, %copy ], [ %moved, %each ]
  %go_on = icmp ult i64 %i, %count
  br i1 %go_on, label %each, label %done
each:
  %at = shl i64 %position, %shift
  %read = getelementptr i8, ptr %source, i64 %at
  %there = shl i64 %i, %shift
  %write = getelementptr i8, ptr %target, i64 %there
  %one = shl i64 1, %shift
  %copied = call ptr @memcpy(ptr %write, ptr %read, i64 %one)
  %following = add i64 %i, 1
  %moved = add i64 %position, %step
  br label %test
done:
  call void @retain_all(ptr %made, i64 0)
  ret ptr %made
none:
  ret ptr null
}

define internal i64 @clamped(i64 %index, i64 %length, i64 %lowest, i64 %highest) {
  %is_negative = icmp slt i64 %index, 0
  %end = select i1 %is_negative, i64 %length, i64 0
  %counted = add i64 %index, %end                      ; the sum of a negative and a length: fits
  %low = call i64 @llvm.smax.i64(i64 %counted, i64 %lowest)
  %result = call i64 @llvm.smin.i64(i64 %low, i64 %highest)
  ret i64 %result
}

define i1 @relume_list_extend(ptr %list, ptr %other, i64 %shift) {     ; also by itself
entry:
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %count_at = getelementptr %List, ptr %other, i64 0, i32 1
  %count = load i64, ptr %count_at
  %total = add i64 %length, %count
  %fits = call i1 @relume_list_reserve(ptr %list, i64 %total, i64 %shift)
  br i1 %fits, label %copy, label %no
copy:
  %data = load ptr, ptr %list
  %source = load ptr, ptr %other
  %offset = shl i64 %length, %shift
  %end = getelementptr i8, ptr %data, i64 %offset
  %bytes = shl i64 %count, %shift
  %ignored = call ptr @memcpy(ptr %end, ptr %source, i64 %bytes)
  store i64 %total, ptr %length_at
  call void @retain_all(ptr %list, i64 %length)
  ret i1 true
no:
  ret i1 false
}

define ptr @relume_list_repeat(ptr %chain, ptr %list, i64 %times, i64 %shift) {
entry:
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %depth_at = getelementptr %List, ptr %list, i64 0, i32 5
  %depth = load i64, ptr %depth_at
  %count = call i64 @llvm.smax.i64(i64 %times, i64 0)
  %both = call { i64, i1 } @llvm.smul.with.overflow.i64(i64 %length, i64 %count)
  %total = extractvalue { i64, i1 } %both, 0
  %is_huge = extractvalue { i64, i1 } %both, 1
  br i1 %is_huge, label %none, label %make
make:
  %made = call ptr @relume_list_new(ptr %chain, i64 %total, i64 %shift, i64 %depth)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %none, label %kind
kind:
  %source = load ptr, ptr %list
  %target = load ptr, ptr %made
  %bytes = shl i64 %length, %shift
  %is_word = icmp eq i64 %bytes, 8
  br i1 %is_word, label %word, label %is_byte
word:
  %element = load i64, ptr %source
  br label %word_test
word_test:
  %w = phi i64 [ 0, %word ], [ %w_next, %word_each ]
  %w_go = icmp ult i64 %w, %total
  br i1 %w_go, label %word_each, label %done
word_each:
  %w_at = getelementptr i64, ptr %target, i64 %w
  store i64 %element, ptr %w_at
  %w_next = add i64 %w, 1
  br label %word_test
is_byte:
  %is_one = icmp eq i64 %bytes, 1
  br i1 %is_one, label %byte, label %test
byte:
  %value = load i8, ptr %source
  call void @llvm.memset.p0.i64(ptr %target, i8 %value, i64 %total, i1 false)
  br label %done
test:
  %i = phi i64 [ 0, %is_byte ], [ %following, %each ]
  %write = phi ptr [ %target, %is_byte ], [ %after, %each ]
  %go_on = icmp ult i64 %i, %count
  br i1 %go_on, label %each, label %done
each:
  %ignored = call ptr @memcpy(ptr %write, ptr %source, i64 %bytes)
  %after = getelementptr i8, ptr %write, i64 %bytes
  %following = add i64 %i, 1
  br label %test
done:
  call void @retain_all(ptr %made, i64 0)
  ret ptr %made
none:
  ret ptr null
}
declare { i64, i1 } @llvm.smul.with.overflow.i64(i64, i64)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define i1 @relume_list_open(ptr %list, i64 %position, i64 %shift) {   ; room for one element there
entry:
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %total = add i64 %length, 1
  %fits = call i1 @relume_list_reserve(ptr %list, i64 %total, i64 %shift)
  br i1 %fits, label %move, label %no
move:
  %data = load ptr, ptr %list
  %offset = shl i64 %position, %shift
  %at = getelementptr i8, ptr %data, i64 %offset
  %one = shl i64 1, %shift
  %behind = getelementptr i8, ptr %at, i64 %one
  %rest = sub i64 %length, %position
  %bytes = shl i64 %rest, %shift
  %ignored = call ptr @memmove(ptr %behind, ptr %at, i64 %bytes)
  store i64 %total, ptr %length_at
  ret i1 true
no:
  ret i1 false
}

define void @relume_list_close(ptr %list, i64 %position, i64 %shift) {  ; drop one element's place
entry:
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %total = sub i64 %length, 1
  %data = load ptr, ptr %list
  %offset = shl i64 %position, %shift
  %at = getelementptr i8, ptr %data, i64 %offset
  %one = shl i64 1, %shift
  %behind = getelementptr i8, ptr %at, i64 %one
  %rest = sub i64 %total, %position
  %bytes = shl i64 %rest, %shift
  %ignored = call ptr @memmove(ptr %at, ptr %behind, i64 %bytes)
  store i64 %total, ptr %length_at
  ret void
}
"""


def _reverse(kind: str, element: str) -> str:
    return f"""
define void @relume_list_reverse_{kind}(ptr %list) {{
entry:
  %data = load ptr, ptr %list
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %last = sub i64 %length, 1
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %i_next, %swap ]
  %j = phi i64 [ %last, %entry ], [ %j_next, %swap ]
  %go_on = icmp slt i64 %i, %j
  br i1 %go_on, label %swap, label %done
swap:
  %a_at = getelementptr {element}, ptr %data, i64 %i
  %b_at = getelementptr {element}, ptr %data, i64 %j
  %a = load {element}, ptr %a_at
  %b = load {element}, ptr %b_at
  store {element} %b, ptr %a_at
  store {element} %a, ptr %b_at
  %i_next = add i64 %i, 1
  %j_next = sub i64 %j, 1
  br label %test
done:
  ret void
}}
"""


def _search(kind: str, element: str, same: str) -> str:
    """Find and count by `==`; whether two lists are equal."""
    return f"""
define i64 @relume_list_find_{kind}(ptr %list, {element} %item, i64 %from) {{     ; -1: nowhere
entry:
  %data = load ptr, ptr %list
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  br label %test
test:
  %i = phi i64 [ %from, %entry ], [ %following, %other ]
  %go_on = icmp ult i64 %i, %length
  br i1 %go_on, label %compare, label %none
compare:
  %at = getelementptr {element}, ptr %data, i64 %i
  %found = load {element}, ptr %at
  %is_same = {same} {element} %found, %item
  br i1 %is_same, label %done, label %other
other:
  %following = add i64 %i, 1
  br label %test
done:
  ret i64 %i
none:
  ret i64 -1
}}

define i64 @relume_list_count_{kind}(ptr %list, {element} %item) {{
entry:
  br label %search
search:
  %from = phi i64 [ 0, %entry ], [ %behind, %more ]
  %count = phi i64 [ 0, %entry ], [ %counted, %more ]
  %at = call i64 @relume_list_find_{kind}(ptr %list, {element} %item, i64 %from)
  %is_end = icmp slt i64 %at, 0
  br i1 %is_end, label %done, label %more
more:
  %behind = add i64 %at, 1
  %counted = add i64 %count, 1
  br label %search
done:
  ret i64 %count
}}

define i1 @relume_list_equal_{kind}(ptr %a, ptr %b) {{
entry:
  %a_length_at = getelementptr %List, ptr %a, i64 0, i32 1
  %length = load i64, ptr %a_length_at
  %b_length_at = getelementptr %List, ptr %b, i64 0, i32 1
  %b_length = load i64, ptr %b_length_at
  %a_data = load ptr, ptr %a
  %b_data = load ptr, ptr %b
  %is_long = icmp eq i64 %length, %b_length
  br i1 %is_long, label %test, label %no
test:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  %go_on = icmp ult i64 %i, %length
  br i1 %go_on, label %compare, label %yes
compare:
  %x_at = getelementptr {element}, ptr %a_data, i64 %i
  %y_at = getelementptr {element}, ptr %b_data, i64 %i
  %x = load {element}, ptr %x_at
  %y = load {element}, ptr %y_at
  %is_same = {same} {element} %x, %y
  br i1 %is_same, label %next, label %no
next:
  %following = add i64 %i, 1
  br label %test
yes:
  ret i1 true
no:
  ret i1 false
}}
"""


def _sort(kind: str, element: str, less: str, ordered: str) -> str:
    """A stable merge sort, bottom up; false without memory, or when a NaN leaves the order to
    Python's own way of comparing.
    """
    size = "1" if element == "i8" else "8"
    return f"""
define internal i1 @is_ordered_{kind}(ptr %data, i64 %length) {{
entry:
  br label %test
test:
  %i = phi i64 [ 0, %entry ], [ %following, %next ]
  %go_on = icmp ult i64 %i, %length
  br i1 %go_on, label %compare, label %yes
compare:
  %at = getelementptr {element}, ptr %data, i64 %i
  %x = load {element}, ptr %at
  %is_number = {ordered} {element} %x, %x
  br i1 %is_number, label %next, label %no
next:
  %following = add i64 %i, 1
  br label %test
yes:
  ret i1 true
no:
  ret i1 false
}}

define i1 @relume_list_sort_{kind}(ptr %list, i1 %is_falling) {{
entry:
  %data = load ptr, ptr %list
  %length_at = getelementptr %List, ptr %list, i64 0, i32 1
  %length = load i64, ptr %length_at
  %is_ordered = call i1 @is_ordered_{kind}(ptr %data, i64 %length)
  br i1 %is_ordered, label %allocate, label %no
allocate:
  %bytes = mul i64 %length, {size}
  %some = call i64 @llvm.smax.i64(i64 %bytes, i64 8)
  %scratch = call ptr @malloc(i64 %some)
  %failed = icmp eq ptr %scratch, null
  br i1 %failed, label %no, label %pass
pass:                                          ; merge runs of %width into runs of twice that
  %width = phi i64 [ 1, %allocate ], [ %wider, %passed ]
  %from = phi ptr [ %data, %allocate ], [ %to, %passed ]
  %to = phi ptr [ %scratch, %allocate ], [ %from, %passed ]
  %go_on = icmp ult i64 %width, %length
  br i1 %go_on, label %pair, label %finish
pair:
  %start = phi i64 [ 0, %pass ], [ %end, %merged ]
  %in_pass = icmp ult i64 %start, %length
  br i1 %in_pass, label %merge, label %passed
merge:
  %middle_at = add i64 %start, %width
  %middle = call i64 @llvm.smin.i64(i64 %middle_at, i64 %length)
  %end_at = add i64 %middle, %width
  %end = call i64 @llvm.smin.i64(i64 %end_at, i64 %length)
  br label %step
step:
  %i = phi i64 [ %start, %merge ], [ %i_next, %put ]
  %j = phi i64 [ %middle, %merge ], [ %j_next, %put ]
  %k = phi i64 [ %start, %merge ], [ %k_next, %put ]
  %more = icmp ult i64 %k, %end
  br i1 %more, label %choose, label %merged
choose:
  %has_left = icmp ult i64 %i, %middle
  %has_right = icmp ult i64 %j, %end
  %i_safe = select i1 %has_left, i64 %i, i64 %start
  %j_safe = select i1 %has_right, i64 %j, i64 %start
  %a_at = getelementptr {element}, ptr %from, i64 %i_safe
  %b_at = getelementptr {element}, ptr %from, i64 %j_safe
  %a = load {element}, ptr %a_at
  %b = load {element}, ptr %b_at
  %b_less = {less} {element} %b, %a
  %a_less = {less} {element} %a, %b
  %b_first = select i1 %is_falling, i1 %a_less, i1 %b_less
  %b_or_end = select i1 %has_left, i1 %b_first, i1 true
  %take_b = select i1 %has_right, i1 %b_or_end, i1 false
  br label %put
put:
  %x = select i1 %take_b, {element} %b, {element} %a
  %k_at = getelementptr {element}, ptr %to, i64 %k
  store {element} %x, ptr %k_at
  %i_more = add i64 %i, 1
  %j_more = add i64 %j, 1
  %i_next = select i1 %take_b, i64 %i, i64 %i_more
  %j_next = select i1 %take_b, i64 %j_more, i64 %j
  %k_next = add i64 %k, 1
  br label %step
merged:
  br label %pair
passed:
  %wider = shl i64 %width, 1
  br label %pass
finish:
  %is_home = icmp eq ptr %from, %data
  br i1 %is_home, label %done, label %back
back:
  %ignored = call ptr @memcpy(ptr %data, ptr %from, i64 %bytes)
  br label %done
done:
  call void @free(ptr %scratch)
  ret i1 true
no:
  ret i1 false
}}
"""


def _python(kind: str, element: str, type_: str, shift: int, read: str, box: str) -> str:
    """From a Python list of exact elements, and to a new one."""
    return f"""
define ptr @relume_list_unbox_{kind}(ptr %chain, ptr %object) {{
entry:
  %overflow = alloca i32
  store i32 0, ptr %overflow
  %type_at = getelementptr i8, ptr %object, i64 OBJECT_TYPE
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
  %item_type_at = getelementptr i8, ptr %item, i64 OBJECT_TYPE
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


_READ_INT = """%x = call i64 @PyLong_AsLongLongAndOverflow(ptr %item, ptr %overflow)
  %beyond = load i32, ptr %overflow
  %is_beyond = icmp ne i32 %beyond, 0"""
_READ_FLOAT = """%x = call double @PyFloat_AsDouble(ptr %item)
  %is_beyond = icmp eq ptr %item, null"""
_READ_BOOL = """%is_true = icmp eq ptr %item, @_Py_TrueStruct
  %x = zext i1 %is_true to i8
  %is_beyond = icmp eq ptr %item, null"""
_BOX_BOOL = """%wide = zext i8 %x to i64
  %item = call ptr @PyBool_FromLong(i64 %wide)"""


def text() -> str:
    """The whole library."""
    parts = [_MEMORY]
    for kind, element, same, less, ordered in (
        ("int", "i64", "icmp eq", "icmp slt", "icmp eq"),
        ("float", "double", "fcmp oeq", "fcmp olt", "fcmp ord"),
        ("bool", "i8", "icmp eq", "icmp ult", "icmp eq"),
    ):
        parts += [
            _reverse(kind, element),
            _search(kind, element, same),
            _sort(kind, element, less, ordered),
        ]
    parts += [
        _python(
            "int", "i64", "PyLong_Type", 3, _READ_INT,
            "%item = call ptr @PyLong_FromLongLong(i64 %x)",
        ),
        _python(
            "float", "double", "PyFloat_Type", 3, _READ_FLOAT,
            "%item = call ptr @PyFloat_FromDouble(double %x)",
        ),
        _python("bool", "i8", "PyBool_Type", 0, _READ_BOOL, _BOX_BOOL),
    ]  # fmt: skip
    return "".join(parts).replace("OBJECT_TYPE", str(OBJECT_TYPE))
