"""The runtime of native lists (`codegen.lists.runtime`): headers, their chain, references, room."""

from __future__ import annotations

TEXT = """
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
"""
