"""Threads that lost their core in the middle of a piece, as LLVM IR: a part of `codegen.workers`.

    note_thread(number)     called by a thread: a worker when it starts, the caller (number 0)
    note_work(number, is)   called when it begins to take pieces, and when it has done
    fetch_workers()         called by a caller that waits for pieces: let one worker that stands
                            still go on on this core, until it has done
    wait_for_caller()       called by a worker that finds no more pieces: the same for the caller

Beside a thread of others that spins, one of ours has half a core, in turns of some milliseconds:
many times as long as a loop. Whether it runs is told by the clock of its own CPU time. One that
stands still is moved to the core of who waits for it, who makes room.

Laws
  * A thread is moved only while it is at work, and the caller only by workers that are inside the
    loop: so it cannot end meanwhile.
  * One thread is moved at a time, so that nobody takes a place for the set of cores that it is to
    get back.
"""

from __future__ import annotations

MOST_THREADS = 128
CORES = 16  # words of a set of cores; on machines with more, nobody is moved
LOOKING = 128  # turns between two looks at a worker's clock: some microseconds
STILL = 1_000  # nanoseconds that a running thread has gained by then
PATIENCE = 1 << 10  # turns that a worker waits before it looks, and in between

TEXT = f"""
%Thread = type {{ i64, i32, i32 }}                           ; its pthread_t, its clock, is at work
@threads = internal global [{MOST_THREADS} x %Thread] zeroinitializer, align 16
@is_moving = internal global i32 0
declare i64 @pthread_self()
declare i32 @pthread_getcpuclockid(i64, ptr)
declare i32 @pthread_getaffinity_np(i64, i64, ptr)
declare i32 @pthread_setaffinity_np(i64, i64, ptr)

define internal void @note_thread(i64 %number) {{
  %id_at = getelementptr %Thread, ptr @threads, i64 %number, i32 0
  %clock_at = getelementptr %Thread, ptr @threads, i64 %number, i32 1
  %id = call i64 @pthread_self()
  store i64 %id, ptr %id_at
  %error = call i32 @pthread_getcpuclockid(i64 %id, ptr %clock_at)
  ret void
}}

define internal void @note_work(i64 %number, i32 %is) {{
  %works_at = getelementptr %Thread, ptr @threads, i64 %number, i32 2
  store atomic i32 %is, ptr %works_at release, align 4
  ret void
}}

define internal i1 @stands_still(i32 %clock) {{
entry:
  %before = call i64 @time_of(i32 %clock)
  br label %look
look:
  %k = phi i32 [ 0, %entry ], [ %k1, %look ]
  call void @relax()
  %k1 = add i32 %k, 1
  %more = icmp ult i32 %k1, {LOOKING}
  br i1 %more, label %look, label %compare
compare:
  %after = call i64 @time_of(i32 %clock)
  %gained = sub i64 %after, %before
  %still = icmp slt i64 %gained, {STILL}
  ret i1 %still
}}

define internal void @wait_for_caller() {{
entry:
  %clock_at = getelementptr %Thread, ptr @threads, i64 0, i32 1
  %works_at = getelementptr %Thread, ptr @threads, i64 0, i32 2
  %clock = load i32, ptr %clock_at
  br label %spin
spin:
  %turns = phi i32 [ 0, %entry ], [ %turns1, %turn ], [ %turns1, %look ]
  %works = load atomic i32, ptr %works_at acquire, align 4
  %busy = icmp ne i32 %works, 0
  br i1 %busy, label %turn, label %done
turn:
  call void @relax()
  %turns1 = add i32 %turns, 1
  %low = and i32 %turns1, {PATIENCE - 1}
  %often = icmp eq i32 %low, 0
  br i1 %often, label %look, label %spin
look:
  %still = call i1 @stands_still(i32 %clock)
  br i1 %still, label %fetch, label %spin
fetch:
  call void @make_room(i64 0)
  br label %done
done:
  ret void
}}

define internal void @fetch_workers() {{
entry:
  %count = load i64, ptr @workers
  br label %test
test:
  %k = phi i64 [ 1, %entry ], [ %k1, %next ]
  %more = icmp ule i64 %k, %count
  br i1 %more, label %ask, label %done
ask:
  %clock_at = getelementptr %Thread, ptr @threads, i64 %k, i32 1
  %works_at = getelementptr %Thread, ptr @threads, i64 %k, i32 2
  %works = load atomic i32, ptr %works_at acquire, align 4
  %busy = icmp ne i32 %works, 0
  br i1 %busy, label %look, label %next
look:
  %clock = load i32, ptr %clock_at
  %still = call i1 @stands_still(i32 %clock)
  br i1 %still, label %fetch, label %next
fetch:
  call void @make_room(i64 %k)
  br label %done
next:
  %k1 = add i64 %k, 1
  br label %test
done:
  ret void
}}

define internal void @make_room(i64 %number) {{            ; for a thread on this core
entry:
  %all = alloca [{CORES} x i64]
  %here = alloca [{CORES} x i64]
  %moving = cmpxchg ptr @is_moving, i32 0, i32 1 seq_cst seq_cst
  %got = extractvalue {{ i32, i1 }} %moving, 1
  br i1 %got, label %move, label %done
move:
  %id_at = getelementptr %Thread, ptr @threads, i64 %number, i32 0
  %works_at = getelementptr %Thread, ptr @threads, i64 %number, i32 2
  %id = load i64, ptr %id_at
  %error = call i32 @pthread_getaffinity_np(i64 %id, i64 {8 * CORES}, ptr %all)
  %is_known = icmp eq i32 %error, 0
  br i1 %is_known, label %place, label %unlock
place:
  store [{CORES} x i64] zeroinitializer, ptr %here
  %core = call i32 @sched_getcpu()
  %index = lshr i32 %core, 6
  %word_at = getelementptr [{CORES} x i64], ptr %here, i64 0, i32 %index
  %low = and i32 %core, 63
  %wide = zext i32 %low to i64
  %bit = shl i64 1, %wide
  store i64 %bit, ptr %word_at
  %moved = call i32 @pthread_setaffinity_np(i64 %id, i64 {8 * CORES}, ptr %here)
  br label %wait
wait:
  %ignored = call i32 @sched_yield()
  %works = load atomic i32, ptr %works_at acquire, align 4
  %busy = icmp ne i32 %works, 0
  br i1 %busy, label %wait, label %free
free:
  %freed = call i32 @pthread_setaffinity_np(i64 %id, i64 {8 * CORES}, ptr %all)
  br label %unlock
unlock:
  store atomic i32 0, ptr @is_moving release, align 4
  br label %done
done:
  ret void
}}
"""
