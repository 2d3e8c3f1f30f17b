"""The runtime of native lists (`codegen.lists.runtime`): copies, slices, places for elements."""

from __future__ import annotations

TEXT = """
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
