"""Small results that the caller has dropped are handed out again, as CPython's `zip` does with its
tuples.

A tensor costs ten times more to make and to free than the arithmetic on a few of its elements. So
the runtime keeps one reference to small results (a table of `SETS` sets of `WAYS`, found by dtype
and sizes; at most `relume_recycle_limit` bytes each), and gives one out again when

  * nobody else holds it: the object, its TensorImpl and its storage have one owner each, no weak
    reference, no attribute, no hook, no autograd metadata, no view;
  * nothing about it has changed: TensorImpl and StorageImpl are, byte by byte, what they were when
    it was made (so: sizes, strides, data pointer and its deleter, key set, flags), and nobody wrote
    to it in place;
  * it is what an empty tensor of the wanted dtype, sizes and strides would be now, in inference
    mode or out of it.

Then nothing but the lifetime tells it from a new tensor: a dropped small result dies when later
results take its place in the table. Everything happens under the GIL.

    relume_result(rank, sizes, strides, dtype, bytes, &object)
                                      a new dense tensor: its data pointer, and its Python object
                                      (null when there is no memory)
"""

from __future__ import annotations

from codegen.torch_abi import (
    DISPATCH_TLS,
    INLINE_RANK,
    POINTER,
    Snapshot,
    TensorLayout,
)

SETS = 32
WAYS = 2
LIMIT = 512 << 10  # bytes of a result

_MAKE = """
define internal ptr @make(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes,
                          ptr %object) {
  %handle = alloca ptr
  store ptr null, ptr %object
  %data = call ptr @relume_alloc(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes,
                                 ptr %handle)
  %tensor = load ptr, ptr %handle
  %is_none = icmp eq ptr %tensor, null
  br i1 %is_none, label %done, label %box
box:
  %boxed = call ptr @relume_box(ptr %tensor)
  store ptr %boxed, ptr %object
  br label %done
done:
  ret ptr %data
}
"""

PLAIN = (
    _MAKE
    + """
define ptr @relume_result(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes,
                          ptr %object) {
  %data = call ptr @make(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes, ptr %object)
  ret ptr %data
}
"""
)


def text(at: TensorLayout, seen: Snapshot) -> str:
    """The functions, where the fields of tensors are known."""
    return _MAKE + _result(at, seen) + _keep(seen) + _fields(at) + _reuse(at, seen)


def _result(at: TensorLayout, seen: Snapshot) -> str:
    """What plans call: a result of before, or a new one."""
    return f"""
%Kept = type {{ ptr, [{seen.impl_bytes} x i8], [{seen.storage_bytes} x i8] }}
%Set = type {{ i64, [{WAYS} x %Kept] }}        ; the way to be replaced next
@relume_recycle_limit = global i64 {LIMIT}
@kept = internal global [{SETS} x %Set] zeroinitializer
@{DISPATCH_TLS} = external global i8
declare ptr @__tls_get_addr(ptr)
declare i32 @memcmp(ptr, ptr, i64)
declare ptr @_PyObject_GetDictPtr(ptr)
declare i64 @PyDict_Size(ptr)

define ptr @relume_result(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes,
                          ptr %object) {{
entry:
  %limit = load i64, ptr @relume_recycle_limit
  %is_small = icmp ule i64 %bytes, %limit
  %is_inline = icmp ule i64 %rank, {INLINE_RANK}
  %is_kept = and i1 %is_small, %is_inline
  br i1 %is_kept, label %find, label %once
once:
  %other = call ptr @make(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes, ptr %object)
  ret ptr %other
find:
  %words = call ptr @__tls_get_addr(ptr @{DISPATCH_TLS})
  %modes = load i64, ptr %words
  %is_inference = icmp ne i64 %modes, 0
  %keys = select i1 %is_inference, i64 {at.inference_keys}, i64 {at.plain_keys}
  %start = zext i32 %dtype to i64
  br label %hash
hash:
  %k = phi i64 [ 0, %find ], [ %k_after, %mix ]
  %sum = phi i64 [ %start, %find ], [ %mixed, %mix ]
  %has_dim = icmp ult i64 %k, %rank
  br i1 %has_dim, label %mix, label %look
mix:
  %size_at = getelementptr i64, ptr %sizes, i64 %k
  %size = load i64, ptr %size_at
  %added = add i64 %sum, %size
  %mixed = mul i64 %added, -7046029254386353131    ; 2 ** 64 over the golden ratio
  %k_after = add i64 %k, 1
  br label %hash
look:
  %scaled = mul i64 %sum, -7046029254386353131
  %index = lshr i64 %scaled, {64 - SETS.bit_length() + 1}
  %set = getelementptr [{SETS} x %Set], ptr @kept, i64 0, i64 %index
  br label %way
way:
  %n = phi i64 [ 0, %look ], [ %n_after, %miss ]
  %is_way = icmp ult i64 %n, {WAYS}
  br i1 %is_way, label %test, label %new
test:
  %one = getelementptr %Set, ptr %set, i64 0, i32 1, i64 %n
  %data = call ptr @reuse(ptr %one, i64 %keys, i64 %rank, ptr %sizes, ptr %strides, i32 %dtype)
  %is_free = icmp ne ptr %data, null
  br i1 %is_free, label %hit, label %miss
miss:
  %n_after = add i64 %n, 1
  br label %way
hit:
  %again = load ptr, ptr %one
  call void @Py_IncRef(ptr %again)
  store ptr %again, ptr %object
  ret ptr %data
new:
  %fresh = call ptr @make(i64 %rank, ptr %sizes, ptr %strides, i32 %dtype, i64 %bytes, ptr %object)
  %made = load ptr, ptr %object
  %is_none = icmp eq ptr %made, null
  br i1 %is_none, label %done, label %keep
keep:
  %turn = load i64, ptr %set
  %next = add i64 %turn, 1
  %wrapped = urem i64 %next, {WAYS}
  store i64 %wrapped, ptr %set
  %place = getelementptr %Set, ptr %set, i64 0, i32 1, i64 %turn
  call void @note(ptr %place, ptr %made)
  br label %done
done:
  ret ptr %fresh
}}

"""


def _keep(seen: Snapshot) -> str:
    return f"""\
define internal void @note(ptr %kept, ptr %made) {{      ; keep a new tensor in place of another
entry:
  %old = load ptr, ptr %kept
  call void @Py_IncRef(ptr %made)
  store ptr %made, ptr %kept
  %impl = call ptr @impl_of(ptr %made)
  %storage = call ptr @storage_of(ptr %impl)
  %impl_at = getelementptr %Kept, ptr %kept, i64 0, i32 1
  %storage_at = getelementptr %Kept, ptr %kept, i64 0, i32 2
  call void @llvm.memcpy.p0.p0.i64(ptr %impl_at, ptr %impl, i64 {seen.impl_bytes}, i1 false)
  call void @llvm.memcpy.p0.p0.i64(ptr %storage_at, ptr %storage, i64 {seen.storage_bytes},
                                   i1 false)
  %has_old = icmp ne ptr %old, null
  br i1 %has_old, label %drop, label %done
drop:                                                  ; last: this may run any code
  call void @Py_DecRef(ptr %old)
  br label %done
done:
  ret void
}}

"""


def _fields(at: TensorLayout) -> str:
    return f"""\
define internal ptr @impl_of(ptr %object) alwaysinline {{
  %at = getelementptr i8, ptr %object, i64 {at.impl}
  %impl = load ptr, ptr %at
  ret ptr %impl
}}

define internal ptr @storage_of(ptr %impl) alwaysinline {{
  %at = getelementptr i8, ptr %impl, i64 {at.storage}
  %storage = load ptr, ptr %at
  ret ptr %storage
}}

; the data of a kept tensor that may be given out as one of these, or null
"""


def _reuse(at: TensorLayout, seen: Snapshot) -> str:
    """The elements of a kept tensor that nobody else holds and nobody has changed, or null."""
    hooks = range(at.impl + POINTER, seen.object_bytes, POINTER)
    return f"""\
define internal ptr @reuse(ptr %kept, i64 %keys, i64 %rank, ptr %sizes, ptr %strides, i32 %dtype) {{
entry:
  %object = load ptr, ptr %kept
  %is_none = icmp eq ptr %object, null
  br i1 %is_none, label %no, label %owners
owners:
  %references = load i32, ptr %object
  %is_only = icmp eq i32 %references, 1
  br i1 %is_only, label %fields, label %no
fields:
  %impl = call ptr @impl_of(ptr %object)
  %key_at = getelementptr i8, ptr %impl, i64 {at.key_set}
  %key = load i64, ptr %key_at
  %is_key = icmp eq i64 %key, %keys
  %rank_at = getelementptr i8, ptr %impl, i64 {at.rank}
  %dims = load i64, ptr %rank_at
  %is_rank = icmp eq i64 %dims, %rank
  %dtype_at = getelementptr i8, ptr %impl, i64 {at.dtype}
  %code = load i16, ptr %dtype_at
  %wanted = trunc i32 %dtype to i16
  %is_dtype = icmp eq i16 %code, %wanted
  %is_kind = and i1 %is_key, %is_rank
  %is_like = and i1 %is_kind, %is_dtype
  br i1 %is_like, label %dim, label %no
dim:
  %k = phi i64 [ 0, %fields ], [ %k_after, %next ]
  %has_dim = icmp ult i64 %k, %rank
  br i1 %has_dim, label %next, label %bytes
next:
  %k_after = add i64 %k, 1
  %size_at = getelementptr i64, ptr %sizes, i64 %k
  %stride_at = getelementptr i64, ptr %strides, i64 %k
  %size = load i64, ptr %size_at
  %stride = load i64, ptr %stride_at
  %own_sizes = getelementptr i8, ptr %impl, i64 {at.sizes}
  %own_strides = getelementptr i8, ptr %impl, i64 {at.strides}
  %own_size_at = getelementptr i64, ptr %own_sizes, i64 %k
  %own_stride_at = getelementptr i64, ptr %own_strides, i64 %k
  %own_size = load i64, ptr %own_size_at
  %own_stride = load i64, ptr %own_stride_at
  %is_size = icmp eq i64 %own_size, %size
  %is_stride = icmp eq i64 %own_stride, %stride
  %is_dim = and i1 %is_size, %is_stride
  br i1 %is_dim, label %dim, label %no
bytes:
  %impl_at = getelementptr %Kept, ptr %kept, i64 0, i32 1
  %impl_order = call i32 @memcmp(ptr %impl, ptr %impl_at, i64 {seen.impl_bytes})
  %is_impl = icmp eq i32 %impl_order, 0
  br i1 %is_impl, label %memory, label %no
memory:
  %storage = call ptr @storage_of(ptr %impl)
  %storage_at = getelementptr %Kept, ptr %kept, i64 0, i32 2
  %storage_order = call i32 @memcmp(ptr %storage, ptr %storage_at, i64 {seen.storage_bytes})
  %is_storage = icmp eq i32 %storage_order, 0
  br i1 %is_storage, label %writes, label %no
writes:
  %counter_at = getelementptr i8, ptr %impl, i64 {seen.version_counter}
  %counter = load ptr, ptr %counter_at
  %is_uncounted = icmp eq ptr %counter, null           ; in inference mode
  br i1 %is_uncounted, label %hooks, label %count
count:
  %version_at = getelementptr i8, ptr %counter, i64 {seen.version}
  %version = load i32, ptr %version_at
  %is_unwritten = icmp eq i32 %version, 0
  br i1 %is_unwritten, label %hooks, label %no
hooks:                                                 ; and weak references
  %any0 = add i64 0, 0
{"".join(_word(k, offset) for k, offset in enumerate(hooks))}
  %is_bare = icmp eq i64 %any{len(hooks)}, 0
  br i1 %is_bare, label %attributes, label %no
attributes:
  %dict_at = call ptr @_PyObject_GetDictPtr(ptr %object)
  %has_dict = icmp ne ptr %dict_at, null
  br i1 %has_dict, label %dict, label %no
dict:
  %set = load ptr, ptr %dict_at
  %is_unset = icmp eq ptr %set, null
  br i1 %is_unset, label %yes, label %entries
entries:
  %holders = load i32, ptr %set
  %is_private = icmp eq i32 %holders, 1
  %entered = call i64 @PyDict_Size(ptr %set)
  %is_empty = icmp eq i64 %entered, 0
  %is_same = and i1 %is_private, %is_empty
  br i1 %is_same, label %yes, label %no
yes:
  %data_at = getelementptr i8, ptr %storage, i64 {at.storage_data}
  %data = load ptr, ptr %data_at
  ret ptr %data
no:
  ret ptr null
}}
"""


def _word(k: int, offset: int) -> str:
    return f"""\
  %word_at{k} = getelementptr i8, ptr %object, i64 {offset}
  %word{k} = load i64, ptr %word_at{k}
  %any{k + 1} = or i64 %any{k}, %word{k}
"""
