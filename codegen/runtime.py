"""The runtime library: the few native functions that every plan shares, written in LLVM IR.

It is compiled once per machine (then the object cache has it), loaded at the first use of native
code, and never unloaded: buffers of the pool outlive everything else. Two parts:

Thunks, entries of a `NativeCallable` that only pass a call on:
    relume_slow      calls obj._call_slow(*args, **kwargs); the end of every chain of plans
    relume_forward   calls the object in the `_target` slot; for functions that are switched off

Buffer pool. A buffer is one mapping: a header page, then the data. Of the idle buffers the newest
is ready for reuse; the others are cold: MADV_FREE lets the kernel take their pages when the machine
or the process's group runs short of memory.
    relume_pool_acquire(bytes)        data of an idle buffer that fits, or of a new mapping;
                                      null when there is no memory
    relume_pool_release(data)         make the buffer idle; the longest idle ones are unmapped
                                      beyond `relume_pool_limit`
    relume_pool_delete(data, _)       the same, with the signature of torch's deleters
    relume_pool_trim(bytes)           unmap idle buffers until at most `bytes` are idle
    relume_pool_after_fork()          make the pool usable in a forked child
  No pool function needs the GIL. System calls are made outside of the lock. A fit wastes at most a
  quarter of the buffer.

Results.
    relume_alloc(rank, sizes, strides, dtype, bytes, &handle)
                                      a new dense tensor: its data pointer, and its handle (null
                                      when there is no memory); from `relume_pool_threshold` bytes
                                      on, the memory is a buffer of the pool
    relume_box(handle)                the Python object of a handle, which is consumed
    relume_result(...)                both in one: `codegen.recycle`
    relume_release(slots, functions, n)
                                      free what the slots hold, each by its function
    relume_is_tracked(autograd_meta)  whether operators would record this tensor: its gradient
                                      (in grad mode) or its tangent
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import TYPE_CHECKING

import llvmlite

from codegen import generated, parallel, recycle, torch_abi, unchanged, workers
from codegen.cache import own_sources
from codegen.callable import TARGET_OFFSET
from codegen.engine import LOCK, PIPELINE, Engine, Library, Source, default_cache
from codegen.torch_abi import CPU_ALLOCATOR, TensorLayout
from ir import LateModule

if TYPE_CHECKING:
    from codegen.lists import runtime as list_runtime
else:
    list_runtime = LateModule("codegen.lists.runtime")

HEADER_BYTES = 4096
HUGE_PAGE = 2 << 20
GRAIN = 64 << 10  # sizes of mappings are multiples; a tail below a huge page uses small pages
_CALL_SLOW = sys.intern("_call_slow")
_OF_LISTS = ("relume_list", "relume_handle")  # how names of the runtime of lists begin

_THUNKS = f"""
declare ptr @PyObject_VectorcallMethod(ptr, ptr, i64, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare i64 @PyTuple_Size(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
@relume_name_call_slow = external global i8

define ptr @relume_slow(ptr %self, ptr %args, i64 %nargsf, ptr %kwnames) {{
entry:
  %nargs = and i64 %nargsf, {(1 << 63) - 1}          ; drops PY_VECTORCALL_ARGUMENTS_OFFSET
  %has_names = icmp ne ptr %kwnames, null
  br i1 %has_names, label %named, label %call
named:
  %names = call i64 @PyTuple_Size(ptr %kwnames)
  br label %call
call:
  %keywords = phi i64 [ 0, %entry ], [ %names, %named ]
  %values = add i64 %nargs, %keywords
  %count = add i64 %values, 1
  %bytes = shl i64 %values, 3
  %frame = alloca ptr, i64 %count
  %rest = getelementptr ptr, ptr %frame, i64 1
  store ptr %self, ptr %frame
  call void @llvm.memcpy.p0.p0.i64(ptr %rest, ptr %args, i64 %bytes, i1 false)
  %positional = add i64 %nargs, 1
  %result = call ptr @PyObject_VectorcallMethod(ptr @relume_name_call_slow, ptr %frame,
                                                i64 %positional, ptr %kwnames)
  ret ptr %result
}}

define ptr @relume_forward(ptr %self, ptr %args, i64 %nargsf, ptr %kwnames) {{
entry:
  %slot = getelementptr i8, ptr %self, i64 {TARGET_OFFSET}
  %target = load ptr, ptr %slot
  %is_set = icmp ne ptr %target, null
  br i1 %is_set, label %forward, label %slow
forward:
  call void @Py_IncRef(ptr %target)                  ; the slot may change during the call
  %result = call ptr @PyObject_Vectorcall(ptr %target, ptr %args, i64 %nargsf, ptr %kwnames)
  call void @Py_DecRef(ptr %target)
  ret ptr %result
slow:
  %other = tail call ptr @relume_slow(ptr %self, ptr %args, i64 %nargsf, ptr %kwnames)
  ret ptr %other
}}
"""

_POOL = f"""
%Buffer = type {{ ptr, i64, i64 }}       ; next idle buffer, bytes of the mapping, is it cold
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @munmap(ptr, i64)
declare i32 @madvise(ptr, i64, i32)
declare i32 @sched_yield()
@idle = internal global ptr null                       ; newest first
@lock_word = internal global i32 0
@relume_pool_limit = global i64 0
@relume_pool_idle = global i64 0                       ; bytes in idle buffers
@relume_pool_mapped = global i64 0                     ; bytes in all buffers
@relume_pool_fresh = global i64 0                      ; buffers ever mapped
@relume_pool_reused = global i64 0                     ; buffers served from idle ones

define internal void @lock() {{
entry:
  br label %try
try:
  %old = atomicrmw xchg ptr @lock_word, i32 1 acquire
  %taken = icmp eq i32 %old, 1
  br i1 %taken, label %wait, label %done
wait:
  %ignored = call i32 @sched_yield()
  br label %try
done:
  ret void
}}

define internal void @unlock() {{
  store atomic i32 0, ptr @lock_word release, align 4
  ret void
}}

define void @relume_pool_after_fork() {{
entry:
  %held = load i32, ptr @lock_word
  %is_held = icmp ne i32 %held, 0
  br i1 %is_held, label %forget, label %done
forget:           ; by a thread that does not exist here: its list may be torn
  store ptr null, ptr @idle
  store i64 0, ptr @relume_pool_idle
  store i32 0, ptr @lock_word
  br label %done
done:
  ret void
}}

define internal void @add(ptr %counter, i64 %amount) alwaysinline {{
  %ignored = atomicrmw add ptr %counter, i64 %amount monotonic
  ret void
}}

define ptr @relume_pool_acquire(i64 %bytes) {{
entry:
  %padded = add i64 %bytes, {HEADER_BYTES + GRAIN - 1}
  %need = and i64 %padded, {-GRAIN}
  %slack = lshr i64 %need, 2
  %most = add i64 %need, %slack
  call void @lock()
  br label %look
look:             ; %link is where the pointer to %buffer is kept
  %link = phi ptr [ @idle, %entry ], [ %buffer, %next ]
  %buffer = load ptr, ptr %link
  %is_end = icmp eq ptr %buffer, null
  br i1 %is_end, label %fresh, label %test
test:
  %size_at = getelementptr %Buffer, ptr %buffer, i32 0, i32 1
  %size = load i64, ptr %size_at
  %enough = icmp uge i64 %size, %need
  %modest = icmp ule i64 %size, %most
  %fits = and i1 %enough, %modest
  br i1 %fits, label %reuse, label %next
next:
  br label %look
reuse:
  %after = load ptr, ptr %buffer
  store ptr %after, ptr %link
  %given = sub i64 0, %size
  call void @add(ptr @relume_pool_idle, i64 %given)
  call void @unlock()
  call void @add(ptr @relume_pool_reused, i64 1)
  %data = getelementptr i8, ptr %buffer, i64 {HEADER_BYTES}
  ret ptr %data
fresh:
  call void @unlock()
  %first = call ptr @map(i64 %need)
  %failed = icmp eq ptr %first, null
  br i1 %failed, label %again, label %done
again:            ; no memory: give back what is idle and try once more
  call void @relume_pool_trim(i64 0)
  %second = call ptr @map(i64 %need)
  br label %done
done:
  %result = phi ptr [ %first, %fresh ], [ %second, %again ]
  ret ptr %result
}}

define internal ptr @map(i64 %size) {{                   ; a new buffer, aligned to huge pages
entry:
  %over = add i64 %size, {HUGE_PAGE}
  %raw = call ptr @mmap(ptr null, i64 %over, i32 3, i32 34, i32 -1, i64 0)
  %start = ptrtoint ptr %raw to i64
  %failed = icmp eq i64 %start, -1
  br i1 %failed, label %none, label %some
none:
  ret ptr null
some:
  %up = add i64 %start, {HUGE_PAGE - 1}
  %base = and i64 %up, {-HUGE_PAGE}
  %buffer = inttoptr i64 %base to ptr
  %before = sub i64 %base, %start
  %end = add i64 %base, %size
  %after = sub i64 {HUGE_PAGE}, %before
  %tail = inttoptr i64 %end to ptr
  call void @unmap(ptr %raw, i64 %before)
  call void @unmap(ptr %tail, i64 %after)
  %advised = call i32 @madvise(ptr %buffer, i64 %size, i32 14) ; MADV_HUGEPAGE, or not
  %size_at = getelementptr %Buffer, ptr %buffer, i32 0, i32 1
  store i64 %size, ptr %size_at
  call void @add(ptr @relume_pool_mapped, i64 %size)
  call void @add(ptr @relume_pool_fresh, i64 1)
  %data = getelementptr i8, ptr %buffer, i64 {HEADER_BYTES}
  ret ptr %data
}}

define internal void @unmap(ptr %from, i64 %size) {{
entry:
  %is_empty = icmp eq i64 %size, 0
  br i1 %is_empty, label %done, label %call
call:
  %ignored = call i32 @munmap(ptr %from, i64 %size)
  br label %done
done:
  ret void
}}

define internal void @cool(ptr %buffer) {{ ; under the lock: nobody may start to write meanwhile
entry:
  %is_none = icmp eq ptr %buffer, null
  br i1 %is_none, label %done, label %test
test:
  %size_at = getelementptr %Buffer, ptr %buffer, i32 0, i32 1
  %size = load i64, ptr %size_at
  %cold_at = getelementptr %Buffer, ptr %buffer, i32 0, i32 2
  %cold = load i64, ptr %cold_at
  %is_cold = icmp ne i64 %cold, 0
  br i1 %is_cold, label %done, label %measure
measure:                                               ; all but the huge page that holds the header
  %rest = sub i64 %size, {HUGE_PAGE}
  %is_long = icmp sgt i64 %rest, 0
  br i1 %is_long, label %advise, label %done
advise:
  store i64 1, ptr %cold_at
  %start = getelementptr i8, ptr %buffer, i64 {HUGE_PAGE}
  %ignored = call i32 @madvise(ptr %start, i64 %rest, i32 8)     ; MADV_FREE
  br label %done
done:
  ret void
}}

define void @relume_pool_release(ptr %data) {{
entry:
  %buffer = getelementptr i8, ptr %data, i64 {-HEADER_BYTES}
  %size_at = getelementptr %Buffer, ptr %buffer, i32 0, i32 1
  %size = load i64, ptr %size_at
  call void @lock()
  %head = load ptr, ptr @idle
  call void @cool(ptr %head)
  %cold_at = getelementptr %Buffer, ptr %buffer, i32 0, i32 2
  store i64 0, ptr %cold_at
  store ptr %head, ptr %buffer
  store ptr %buffer, ptr @idle
  call void @add(ptr @relume_pool_idle, i64 %size)
  call void @unlock()
  %limit = load i64, ptr @relume_pool_limit
  call void @relume_pool_trim(i64 %limit)
  ret void
}}

define void @relume_pool_delete(ptr %data, ptr %context) {{
  call void @relume_pool_release(ptr %data)
  ret void
}}

define void @relume_pool_trim(i64 %keep) {{
entry:
  %now = load atomic i64, ptr @relume_pool_idle monotonic, align 8
  %small = icmp ule i64 %now, %keep
  br i1 %small, label %done, label %start
start:
  call void @lock()
  br label %check
check:                                                 ; unlink the oldest, collected in %dropped
  %dropped = phi ptr [ null, %start ], [ %last, %unlink ]
  %idle = load i64, ptr @relume_pool_idle
  %head = load ptr, ptr @idle
  %over = icmp ugt i64 %idle, %keep
  %some = icmp ne ptr %head, null
  %go = and i1 %over, %some
  br i1 %go, label %walk, label %unmap_all
walk:
  %link = phi ptr [ @idle, %check ], [ %last, %walk ]
  %last = load ptr, ptr %link
  %after = load ptr, ptr %last
  %is_last = icmp eq ptr %after, null
  br i1 %is_last, label %unlink, label %walk
unlink:
  store ptr null, ptr %link
  store ptr %dropped, ptr %last
  %size_at = getelementptr %Buffer, ptr %last, i32 0, i32 1
  %size = load i64, ptr %size_at
  %less = sub i64 0, %size
  call void @add(ptr @relume_pool_idle, i64 %less)
  br label %check
unmap_all:
  call void @unlock()
  br label %each
each:
  %victim = phi ptr [ %dropped, %unmap_all ], [ %next, %unmap_one ]
  %finished = icmp eq ptr %victim, null
  br i1 %finished, label %done, label %unmap_one
unmap_one:
  %next = load ptr, ptr %victim
  %bytes_at = getelementptr %Buffer, ptr %victim, i32 0, i32 1
  %bytes = load i64, ptr %bytes_at
  %gone = sub i64 0, %bytes
  call void @add(ptr @relume_pool_mapped, i64 %gone)
  %ignored = call i32 @munmap(ptr %victim, i64 %bytes)
  br label %each
done:
  ret void
}}
"""

_RESULTS = """
declare i32 @aoti_torch_empty_strided(i64, ptr, ptr, i32, i32, i32, ptr)
declare i32 @aoti_torch_get_data_ptr(ptr, ptr)
declare i32 @aoti_torch_delete_tensor_object(ptr)
declare i32 @torch_from_blob(ptr, i64, ptr, ptr, i64, i32, i32, i32, ptr, i32, ptr, i64, ptr, ptr)
declare ptr @relume_wrap(ptr)
@relume_pool_threshold = global i64 0

define ptr @relume_alloc(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes,
                         ptr %handle) {
entry:
  %data_at = alloca ptr
  store ptr null, ptr %data_at
  %threshold = load i64, ptr @relume_pool_threshold
  %is_large = icmp uge i64 %bytes, %threshold
  br i1 %is_large, label %pooled, label %small
pooled:
  %buffer = call ptr @relume_pool_acquire(i64 %bytes)
  %is_none = icmp eq ptr %buffer, null
  br i1 %is_none, label %small, label %wrap
wrap:
  %refused = call i32 @torch_from_blob(ptr %buffer, i64 %rank, ptr %sizes, ptr %strides, i64 0,
                                       i32 %dtype, i32 0, i32 -1, ptr %handle, i32 0, ptr null,
                                       i64 0, ptr @relume_pool_delete, ptr null)
  %is_wrapped = icmp eq i32 %refused, 0
  br i1 %is_wrapped, label %large, label %back
large:
  %wrapped = load ptr, ptr %handle
  call void @make_resizable(ptr %wrapped)
  ret ptr %buffer
back:
  call void @relume_pool_release(ptr %buffer)
  br label %small
small:
  %failed = call i32 @aoti_torch_empty_strided(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype,
                                               i32 0, i32 -1, ptr %handle)
  %is_made = icmp eq i32 %failed, 0
  br i1 %is_made, label %made, label %none
made:
  %tensor = load ptr, ptr %handle
  %ignored = call i32 @aoti_torch_get_data_ptr(ptr %tensor, ptr %data_at)
  %data = load ptr, ptr %data_at
  ret ptr %data
none:
  store ptr null, ptr %handle
  ret ptr null
}

define void @relume_release(ptr %slots, ptr %releases, i64 %count) {
entry:
  br label %test
test:
  %k = phi i64 [ 0, %entry ], [ %after, %next ]
  %more = icmp ult i64 %k, %count
  br i1 %more, label %look, label %done
look:
  %after = add i64 %k, 1
  %slot = getelementptr ptr, ptr %slots, i64 %k
  %value = load ptr, ptr %slot
  %is_empty = icmp eq ptr %value, null
  br i1 %is_empty, label %next, label %free
free:
  %release_at = getelementptr ptr, ptr %releases, i64 %k
  %release = load ptr, ptr %release_at
  call void %release(ptr %value)
  br label %next
next:
  br label %test
done:
  ret void
}

define ptr @relume_box(ptr %handle) {
  %object = call ptr @relume_wrap(ptr %handle)
  %ignored = call i32 @aoti_torch_delete_tensor_object(ptr %handle)
  ret ptr %object
}
"""

_AS_IT_IS = """
define internal void @make_resizable(ptr %handle) {
  ret void
}
"""


def _by_layout(at: TensorLayout) -> str:
    """The functions that read and write fields of torch's objects."""
    return f"""
@{CPU_ALLOCATOR} = external global i8

define internal void @make_resizable(ptr %handle) {{  ; as if torch had allocated the memory
  %impl = load ptr, ptr %handle
  %storage_at = getelementptr i8, ptr %impl, i64 {at.storage}
  %storage = load ptr, ptr %storage_at
  %allocator_at = getelementptr i8, ptr %storage, i64 {at.storage_allocator}
  store ptr @{CPU_ALLOCATOR}, ptr %allocator_at
  %resizable_at = getelementptr i8, ptr %storage, i64 {at.storage_resizable}
  store i8 1, ptr %resizable_at
  ret void
}}

declare i8 @aoti_torch_grad_mode_is_enabled()

define i8 @relume_is_tracked(ptr %meta) {{
entry:
  %forward_at = getelementptr i8, ptr %meta, i64 {at.meta_forward_grad}
  %forward = load ptr, ptr %forward_at
  %is_dual = icmp ne ptr %forward, null
  br i1 %is_dual, label %yes, label %backward
backward:
  %function_at = getelementptr i8, ptr %meta, i64 {at.meta_grad_fn}
  %function = load ptr, ptr %function_at
  %is_result = icmp ne ptr %function, null
  %leaf_at = getelementptr i8, ptr %meta, i64 {at.meta_requires_grad}
  %leaf = load i8, ptr %leaf_at
  %is_leaf = icmp ne i8 %leaf, 0
  %requires_grad = or i1 %is_result, %is_leaf
  br i1 %requires_grad, label %mode, label %no
mode:
  %enabled = call i8 @aoti_torch_grad_mode_is_enabled()
  ret i8 %enabled
yes:
  ret i8 1
no:
  ret i8 0
}}
"""


@cache
def _source() -> Source:
    text = _THUNKS + _POOL + _RESULTS + unchanged.TEXT
    layout, snapshot = torch_abi.LAYOUT, torch_abi.SNAPSHOT
    text += _AS_IT_IS if layout is None else _by_layout(layout)
    if layout is None or snapshot is None or torch_abi.DISPATCH is None:
        text += recycle.PLAIN
    else:
        text += recycle.text(layout, snapshot)
    return Source.of_text(text)


def engine() -> Engine:
    """The engine of this process, whose plans may use the runtime's functions by name."""
    with LOCK:
        return _engine()


@cache
def _engine() -> Engine:
    return Engine(default_cache(), resolve)


def resolve(name: str) -> int | None:
    """Address of a symbol that generated code refers to: the runtime's, then torch's, CPython's
    and the process's.
    """
    if name in _source().exports:
        return runtime().address(name)
    if name == parallel.LOOP:
        with LOCK:
            return loops().address(name)
    if name.startswith(_OF_LISTS) and name in _list_source().exports:
        with LOCK:
            return _lists().address(name)
    if generated.is_generated(name):
        with LOCK:
            return _generated(name).address(name)
    return torch_abi.address(name)


@cache
def environment() -> str:
    """What code depends on besides the graph that it was made from: the machine, our own sources,
    and torch, LLVM and Python as they are here.
    """
    abi = (torch_abi.LAYOUT, torch_abi.DISPATCH, torch_abi.VERSION)
    versions = f"{llvmlite.__version__} {sys.version}"
    return f"{engine().target} {PIPELINE} {versions} {abi}\n{own_sources()}"


def runtime() -> Library:
    """The runtime library, loaded at the first call."""
    with LOCK:
        return _load()


@cache
def _load() -> Library:
    library = engine().load(_source(), {"relume_name_call_slow": id(_CALL_SLOW)})
    limit = min(1 << 30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8)
    library.write_i64("relume_pool_limit", limit)
    library.write_i64("relume_pool_threshold", 1 << 20)
    return library


@cache
def _list_source() -> Source:
    return Source.of_text(list_runtime.text())


@cache
def _lists() -> Library:
    """The runtime of native lists, loaded when a plan uses it for the first time."""
    return engine().load(_list_source())


@cache
def loops() -> Library:
    """Parallel loops, loaded when a plan has one for the first time."""
    library = engine().load(Source.of_text(parallel.text(engine().target)))
    forget = ctypes.CFUNCTYPE(None)(library.address(workers.AFTER_FORK))
    os.register_at_fork(after_in_child=forget)
    return library


@cache
def _generated(name: str) -> Library:
    """A generated function, made or found when something uses it for the first time."""
    return generated.load(name, engine(), environment())


def is_loaded() -> bool:
    """Whether the runtime library is in memory."""
    return _load.cache_info().currsize > 0


def slow_entry() -> int:
    """Address of the entry that calls `_call_slow`."""
    return runtime().address("relume_slow")


def forward_entry() -> int:
    """Address of the entry that calls the object in the `_target` slot."""
    return runtime().address("relume_forward")
