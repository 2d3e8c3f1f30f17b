"""The guard of `UnchangedParam`: dicts of modules, compared object by object.

    relume_unchanged(tuple)       whether every dict of a tuple of (dict, key, value, ...) has just
                                  these entries, and every one of (dict, key) lacks the key

Models have many such dicts, nearly all of them empty. So tuples and sizes are read in place: a
tuple's items follow its fields, and a dict's first field is its size, as `ob_size` is a tuple's.
"""

from __future__ import annotations

from codegen.abi import OBJECT_HEAD

_ITEMS = tuple.__basicsize__

TEXT = f"""
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i32 @PyDict_Next(ptr, ptr, ptr, ptr)

define i1 @relume_unchanged(ptr %dicts) {{
entry:
  %count = call i64 @size_of(ptr %dicts)
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %after, %same ]
  %more = icmp ult i64 %k, %count
  br i1 %more, label %look, label %yes
look:
  %after = add i64 %k, 1
  %one = call ptr @item(ptr %dicts, i64 %k)
  %length = call i64 @size_of(ptr %one)
  %dict = call ptr @item(ptr %one, i64 0)
  %is_lacking = icmp eq i64 %length, 2
  br i1 %is_lacking, label %lacks, label %compare
lacks:
  %absent = call ptr @item(ptr %one, i64 1)
  %found = call ptr @PyDict_GetItemWithError(ptr %dict, ptr %absent)
  %is_absent = icmp eq ptr %found, null
  br i1 %is_absent, label %same, label %no
compare:
  %entries = call i64 @size_of(ptr %dict)
  %doubled = shl i64 %entries, 1
  %wanted = add i64 %doubled, 1
  %is_long = icmp eq i64 %length, %wanted
  br i1 %is_long, label %each, label %no
each:
  %is_empty = icmp eq i64 %entries, 0
  br i1 %is_empty, label %same, label %equal
equal:
  %is_equal = call i1 @same_entries(ptr %dict, ptr %one, i64 %length)
  br i1 %is_equal, label %same, label %no
same:
  br label %test
yes:
  ret i1 true
no:
  ret i1 false
}}

define internal i1 @same_entries(ptr %dict, ptr %one, i64 %length) noinline {{
entry:
  %at = alloca i64
  %key = alloca ptr
  %value = alloca ptr
  store i64 0, ptr %at
  br label %test
test:
  %k = phi i64 [ 1, %entry ], [ %after, %next ]
  %more = icmp ult i64 %k, %length
  br i1 %more, label %next, label %yes
next:
  %after = add i64 %k, 2
  %beside = add i64 %k, 1
  %some = call i32 @PyDict_Next(ptr %dict, ptr %at, ptr %key, ptr %value)
  %given_key = call ptr @item(ptr %one, i64 %k)
  %given = call ptr @item(ptr %one, i64 %beside)
  %own_key = load ptr, ptr %key
  %own = load ptr, ptr %value
  %is_key = icmp eq ptr %own_key, %given_key
  %is_value = icmp eq ptr %own, %given
  %is_same = and i1 %is_key, %is_value
  br i1 %is_same, label %test, label %no
yes:
  ret i1 true
no:
  ret i1 false
}}

define internal i64 @size_of(ptr %object) alwaysinline {{
  %at = getelementptr i8, ptr %object, i64 {OBJECT_HEAD}
  %size = load i64, ptr %at
  ret i64 %size
}}

define internal ptr @item(ptr %tuple, i64 %k) alwaysinline {{
  %items = getelementptr i8, ptr %tuple, i64 {_ITEMS}
  %at = getelementptr ptr, ptr %items, i64 %k
  %item = load ptr, ptr %at
  ret ptr %item
}}
"""
