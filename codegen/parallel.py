"""Parallel loops, as LLVM IR: on torch's pool while its threads have cores of their own, else on
workers for which nobody waits (`codegen.workers`).

    relume_parallel_for(begin, end, grain, body, context)
        call `body(from, to, context)` on parts that make up the range, on at most
        `torch.get_num_threads()` threads, each worth `grain` steps
    relume_workers_until
        when torch's pool is tried again, in nanoseconds of the system's clock

An OpenMP loop, as torch's are, stands still until the last of its threads has been scheduled:
beside another busy program, or another library's workers that spin, it takes many times as long as
on one thread. So the caller looks how long it waited for the others, and they whether they run on
its core. Where something is wrong, loops run on our workers for the time of HOLD. Then torch's
pool, which shares its threads with operators that are called in between, gets another chance.
"""

from __future__ import annotations

from codegen import workers
from codegen.target import Target

LOOP, UNTIL = "relume_parallel_for", "relume_workers_until"
NEEDS = ("torch_parallel_for", "torch_get_num_threads")
WAIT = 1_000_000  # nanoseconds: less is lost where threads are woken, more where they have no core
HOLD = 100_000_000  # nanoseconds: to try torch's pool again costs a few hundredths of them
_MONOTONIC = 1  # a clock


def text(target: Target) -> str:
    """The module for a target."""
    return _CHOICE + _TORCH + workers.text(target)


_CHOICE = f"""
declare i32 @clock_gettime(i32, ptr)
declare i32 @torch_get_num_threads(ptr)
declare i32 @torch_parallel_for(i64, i64, i64, ptr, ptr)
declare i64 @llvm.umax.i64(i64, i64)
@{UNTIL} = global i64 0                             ; when torch's pool is tried again

define void @{LOOP}(i64 %begin, i64 %end, i64 %grain, ptr %body, ptr %context) {{
entry:
  %slot = alloca i32
  store i32 1, ptr %slot
  %steps = sub i64 %end, %begin
  %short = icmp sle i64 %steps, %grain
  br i1 %short, label %alone, label %count
count:
  %error = call i32 @torch_get_num_threads(ptr %slot)
  %count32 = load i32, ptr %slot
  %threads = sext i32 %count32 to i64
  %up = add i64 %steps, %grain
  %up1 = sub i64 %up, 1
  %worth = udiv i64 %up1, %grain
  %width = call i64 @llvm.umin.i64(i64 %threads, i64 %worth)
  %one = icmp ule i64 %width, 1
  br i1 %one, label %alone, label %choose
choose:
  %now = call i64 @now()
  %until = load atomic i64, ptr @{UNTIL} monotonic, align 8
  %disturbed = icmp slt i64 %now, %until
  br i1 %disturbed, label %own, label %torch
torch:
  call void @on_torch(i64 %now, i64 %begin, i64 %end, i64 %grain, ptr %body, ptr %context)
  ret void
own:
  call void @on_workers(i64 %begin, i64 %end, i64 %width, ptr %body, ptr %context)
  ret void
alone:
  call void %body(i64 %begin, i64 %end, ptr %context)
  ret void
}}

define internal i64 @now() {{                              ; in nanoseconds
  %time = alloca {{ i64, i64 }}
  %error = call i32 @clock_gettime(i32 {_MONOTONIC}, ptr %time)
  %seconds = load i64, ptr %time
  %rest_at = getelementptr {{ i64, i64 }}, ptr %time, i64 0, i32 1
  %rest = load i64, ptr %rest_at
  %scaled = mul i64 %seconds, 1000000000
  %now = add i64 %scaled, %rest
  ret i64 %now
}}
"""

_TORCH = f"""
%Shared = type {{ ptr, ptr, i64, i64, i32, i32 }}
; body, context, begin; when the caller had done its part, its core, whether others were put there

define internal void @on_torch(
    i64 %start, i64 %begin, i64 %end, i64 %grain, ptr %body, ptr %context) {{
entry:
  %loop = alloca %Shared
  %core = call i32 @sched_getcpu()
  %s0 = insertvalue %Shared poison, ptr %body, 0
  %s1 = insertvalue %Shared %s0, ptr %context, 1
  %s2 = insertvalue %Shared %s1, i64 %begin, 2
  %s3 = insertvalue %Shared %s2, i64 %start, 3
  %s4 = insertvalue %Shared %s3, i32 %core, 4
  %s5 = insertvalue %Shared %s4, i32 0, 5
  store %Shared %s5, ptr %loop
  %error = call i32 @torch_parallel_for(i64 %begin, i64 %end, i64 %grain, ptr @share, ptr %loop)
  %after = load %Shared, ptr %loop
  %done = extractvalue %Shared %after, 3
  %crowded = extractvalue %Shared %after, 5
  %now = call i64 @now()
  %waited = sub i64 %now, %done
  %worked = sub i64 %done, %start
  %bound = call i64 @llvm.umax.i64(i64 %worked, i64 {WAIT})
  %long = icmp sgt i64 %waited, %bound
  %on_one = icmp ne i32 %crowded, 0
  %elapsed = sub i64 %now, %start
  %much = icmp sgt i64 %elapsed, {WAIT}
  %lost = and i1 %on_one, %much
  %disturbed = or i1 %long, %lost
  br i1 %disturbed, label %hold, label %leave
hold:
  %until = add i64 %now, {HOLD}
  store atomic i64 %until, ptr @{UNTIL} monotonic, align 8
  br label %leave
leave:
  ret void
}}

define internal void @share(i64 %from, i64 %to, ptr %loop) {{ ; the caller has the first part
entry:
  %context_at = getelementptr %Shared, ptr %loop, i64 0, i32 1
  %begin_at = getelementptr %Shared, ptr %loop, i64 0, i32 2
  %done_at = getelementptr %Shared, ptr %loop, i64 0, i32 3
  %core_at = getelementptr %Shared, ptr %loop, i64 0, i32 4
  %crowded_at = getelementptr %Shared, ptr %loop, i64 0, i32 5
  %body = load ptr, ptr %loop
  %context = load ptr, ptr %context_at
  %begin = load i64, ptr %begin_at
  %first = icmp eq i64 %from, %begin
  br i1 %first, label %caller, label %other
caller:
  call void %body(i64 %from, i64 %to, ptr %context)
  %now = call i64 @now()
  store i64 %now, ptr %done_at
  ret void
other:
  %core = load i32, ptr %core_at
  %here = call i32 @sched_getcpu()
  %same = icmp eq i32 %here, %core
  br i1 %same, label %crowd, label %work
crowd:
  store atomic i32 1, ptr %crowded_at monotonic, align 4
  br label %work
work:
  call void %body(i64 %from, i64 %to, ptr %context)
  ret void
}}
"""
