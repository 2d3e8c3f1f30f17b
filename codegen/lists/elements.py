"""The runtime of native lists (`codegen.lists.runtime`): what compares or moves single numbers."""

from __future__ import annotations

_KINDS = (  # a type, and how its elements are the same, less, and no NaN
    ("int", "i64", "icmp eq", "icmp slt", "icmp eq"),
    ("float", "double", "fcmp oeq", "fcmp olt", "fcmp ord"),
    ("bool", "i8", "icmp eq", "icmp ult", "icmp eq"),
)


def text() -> str:
    """Everything for the three kinds of numbers."""
    return "".join(
        _reverse(kind, element) + _search(kind, element, same) + _sort(kind, element, less, ordered)
        for kind, element, same, less, ordered in _KINDS
    )


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
