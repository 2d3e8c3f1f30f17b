"""The worker threads of parallel loops that torch's pool would hold up, as LLVM IR: a part of
`codegen.parallel`.

    on_workers(begin, end, threads, body, context)   the loop on so many threads at most
    relume_workers_after_fork()                      forget the workers: a forked child has none

The range is cut into a slice for each thread. A thread takes its own slice piece by piece, then
pieces of the others' slices. The caller is one of the threads. It waits for pieces that are being
worked on, but for no worker that has not come: who comes late finds the loop closed. It waits
asleep after a while, so that a worker which was driven from its core can go on where the caller
was. And a worker that was put on the caller's core goes away.

There is one set of workers, whoever calls. A loop that finds them busy (another Python thread's
loop, or the loop around this one) runs on its own thread alone.

State, all of it guarded by the order of these words:
    owned    1 while some caller has the workers
    inside   workers that are at work, plus CLOSED while there is no loop; the loop's description is
             written while it is closed, and read by those inside
    turn     counts loops; a worker waits until it changes: it spins, then sleeps on `wake`
"""

from __future__ import annotations

from codegen.target import Target

AFTER_FORK = "relume_workers_after_fork"
MOST_THREADS = 128
PIECES = 2  # of a slice: what others can take over when a thread is late
WORKER_SPINS = 1 << 12  # turns (about 0.1 ms) before a worker sleeps: the next loop may come
LOOK = 1 << 8  # turns after which a worker looks whether it keeps the caller from its core
CALLER_SPINS = 1 << 10  # turns in which pieces end, unless their threads do not run
PAUSE = 20  # microseconds that a caller sleeps
CLOSED = -(1 << 30)
_CORES = 16  # words of a set of cores
_LINE = 64  # bytes: slices share no cache line

_RELAX = {"x86_64": "pause", "aarch64": "yield", "arm64": "yield"}


def text(target: Target) -> str:
    """The functions for a target."""
    relax = _RELAX.get(target.triple.partition("-")[0], "")
    return _STATE + _OWN + _WORK + _WORKER.replace("$relax", relax)


_STATE = f"""
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @usleep(i32)
declare i32 @sched_yield()
declare i32 @sched_getcpu()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)
declare i64 @llvm.umin.i64(i64, i64)
%Slice = type {{ i64, i64, [{_LINE - 16} x i8] }}          ; the next step to take, the end
@slices = internal global [{MOST_THREADS} x %Slice] zeroinitializer, align {_LINE}
@width = internal global i64 0                             ; slices of the loop
@piece = internal global i64 0                             ; steps that are taken at once
@body = internal global ptr null
@context = internal global ptr null
@core = internal global i32 0                              ; where the caller runs
@owned = internal global i32 0, align {_LINE}
@inside = internal global i32 {CLOSED}, align {_LINE}
@turn = internal global i32 0, align {_LINE}
@sleeping = internal global i32 0
@workers = internal global i64 0                           ; threads that were started
@mutex = internal global [128 x i8] zeroinitializer, align 16
@wake = internal global [128 x i8] zeroinitializer, align 16
"""

_OWN = f"""
define internal void @on_workers(
    i64 %begin, i64 %end, i64 %threads, ptr %body, ptr %context) {{
entry:
  %pair = cmpxchg ptr @owned, i32 0, i32 1 seq_cst seq_cst
  %got = extractvalue {{ i32, i1 }} %pair, 1
  br i1 %got, label %describe, label %alone
alone:
  call void %body(i64 %begin, i64 %end, ptr %context)
  ret void
describe:
  %width = call i64 @llvm.umin.i64(i64 %threads, i64 {MOST_THREADS})
  %steps = sub i64 %end, %begin
  %others = sub i64 %width, 1
  call void @hire(i64 %others)
  store i64 %width, ptr @width
  store ptr %body, ptr @body
  store ptr %context, ptr @context
  %core = call i32 @sched_getcpu()
  store i32 %core, ptr @core
  %pieces = mul i64 %width, {PIECES}
  %over = add i64 %steps, %pieces
  %over1 = sub i64 %over, 1
  %piece = udiv i64 %over1, %pieces
  store i64 %piece, ptr @piece
  br label %cut
cut:
  %k = phi i64 [ 0, %describe ], [ %k1, %cut ]
  %from = phi i64 [ %begin, %describe ], [ %to, %cut ]
  %k1 = add i64 %k, 1
  %scaled = mul i64 %k1, %steps
  %share = udiv i64 %scaled, %width
  %to = add i64 %begin, %share
  %from_at = getelementptr [0 x %Slice], ptr @slices, i64 0, i64 %k, i32 0
  %to_at = getelementptr [0 x %Slice], ptr @slices, i64 0, i64 %k, i32 1
  store i64 %from, ptr %from_at
  store i64 %to, ptr %to_at
  %more = icmp ult i64 %k1, %width
  br i1 %more, label %cut, label %open
open:
  %was_closed = atomicrmw sub ptr @inside, i32 {CLOSED} seq_cst
  %last_turn = atomicrmw add ptr @turn, i32 1 seq_cst
  call void @call_sleepers(i64 %others)
  call void @work(i64 0)
  br label %close
close:
  %spins = phi i32 [ 0, %open ], [ %spins1, %again ]
  %closing = cmpxchg ptr @inside, i32 0, i32 {CLOSED} seq_cst seq_cst
  %closed = extractvalue {{ i32, i1 }} %closing, 1
  br i1 %closed, label %done, label %wait
wait:
  call void @relax()
  %spins1 = add i32 %spins, 1
  %long = icmp ugt i32 %spins1, {CALLER_SPINS}
  br i1 %long, label %pause, label %again
pause:
  %ignored = call i32 @usleep(i32 {PAUSE})
  br label %again
again:
  br label %close
done:
  store atomic i32 0, ptr @owned release, align 4
  ret void
}}

define internal void @hire(i64 %needed) {{                 ; until there are that many workers
entry:
  %id = alloca i64
  br label %test
test:
  %count = load i64, ptr @workers
  %enough = icmp uge i64 %count, %needed
  br i1 %enough, label %done, label %start
start:
  %number = add i64 %count, 1
  %argument = inttoptr i64 %number to ptr
  %error = call i32 @pthread_create(ptr %id, ptr null, ptr @worker, ptr %argument)
  %failed = icmp ne i32 %error, 0
  br i1 %failed, label %done, label %started
started:
  store i64 %number, ptr @workers
  br label %test
done:             ; too few are enough: every thread takes what others leave
  ret void
}}

define internal void @call_sleepers(i64 %most) {{
entry:
  %asleep = load atomic i32, ptr @sleeping seq_cst, align 4
  %none = icmp eq i32 %asleep, 0
  br i1 %none, label %done, label %lock
lock:
  %locked = call i32 @pthread_mutex_lock(ptr @mutex)
  br label %signal
signal:
  %k = phi i64 [ 0, %lock ], [ %k1, %signal ]
  %signalled = call i32 @pthread_cond_signal(ptr @wake)
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, %most
  br i1 %more, label %signal, label %unlock
unlock:
  %unlocked = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %done
done:
  ret void
}}

define void @relume_workers_after_fork() {{
  store i64 0, ptr @workers
  store i32 0, ptr @sleeping
  store i32 {CLOSED}, ptr @inside
  store i32 0, ptr @owned
  %mutex = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %wake = call i32 @pthread_cond_init(ptr @wake, ptr null)
  ret void
}}
"""

_WORK = """
define internal void @work(i64 %first) {                   ; all pieces, from slice `first` on
entry:
  %width = load i64, ptr @width
  %piece = load i64, ptr @piece
  %body = load ptr, ptr @body
  %context = load ptr, ptr @context
  br label %slice
slice:
  %k = phi i64 [ 0, %entry ], [ %k1, %next ]
  %turned = add i64 %first, %k
  %index = urem i64 %turned, %width
  %from_at = getelementptr [0 x %Slice], ptr @slices, i64 0, i64 %index, i32 0
  %end_at = getelementptr [0 x %Slice], ptr @slices, i64 0, i64 %index, i32 1
  %end = load i64, ptr %end_at
  br label %look
look:
  %seen = load atomic i64, ptr %from_at monotonic, align 8
  %some = icmp slt i64 %seen, %end
  br i1 %some, label %take, label %next
take:
  %from = atomicrmw add ptr %from_at, i64 %piece monotonic
  %taken = icmp slt i64 %from, %end
  br i1 %taken, label %run, label %next
run:
  %rest = sub i64 %end, %from
  %steps = call i64 @llvm.umin.i64(i64 %rest, i64 %piece)
  %to = add i64 %from, %steps
  call void %body(i64 %from, i64 %to, ptr %context)
  br label %look
next:
  %k1 = add i64 %k, 1
  %more = icmp ult i64 %k1, %width
  br i1 %more, label %slice, label %done
done:
  ret void
}
"""

_WORKER = f"""
define internal void @relax() alwaysinline {{
  call void asm sideeffect "$relax", ""()
  ret void
}}

define internal void @leave_core(i32 %core) {{             ; which the caller needs for itself
  %all = alloca [{_CORES} x i64]
  %others = alloca [{_CORES} x i64]
  %error = call i32 @sched_getaffinity(i32 0, i64 {8 * _CORES}, ptr %all)
  %copied = load [{_CORES} x i64], ptr %all
  store [{_CORES} x i64] %copied, ptr %others
  %index = lshr i32 %core, 6
  %word_at = getelementptr [{_CORES} x i64], ptr %others, i64 0, i32 %index
  %word = load i64, ptr %word_at
  %place = and i32 %core, 63
  %wide = zext i32 %place to i64
  %bit = shl i64 1, %wide
  %mask = xor i64 %bit, -1
  %rest = and i64 %word, %mask
  store i64 %rest, ptr %word_at
  %moved = call i32 @sched_setaffinity(i32 0, i64 {8 * _CORES}, ptr %others)
  %freed = call i32 @sched_setaffinity(i32 0, i64 {8 * _CORES}, ptr %all)
  ret void
}}

define internal ptr @worker(ptr %argument) {{
entry:
  %number = ptrtoint ptr %argument to i64
  %start = load atomic i32, ptr @turn acquire, align 4
  br label %rest
rest:
  %last = phi i32 [ %start, %entry ], [ %now, %leave ]
  br label %spin
spin:
  %spins = phi i32 [ 0, %rest ], [ %spins1, %polite ], [ %spins1, %look ], [ %spins1, %yield ]
  %turn = load atomic i32, ptr @turn acquire, align 4
  %changed = icmp ne i32 %turn, %last
  br i1 %changed, label %join, label %idle
idle:
  call void @relax()
  %spins1 = add i32 %spins, 1
  %tired = icmp ugt i32 %spins1, {WORKER_SPINS}
  br i1 %tired, label %sleep, label %polite
polite:
  %low = and i32 %spins1, {LOOK - 1}
  %often = icmp eq i32 %low, 0
  br i1 %often, label %look, label %spin
look:
  %beside = load i32, ptr @core
  %standing = call i32 @sched_getcpu()
  %waits = icmp eq i32 %standing, %beside
  br i1 %waits, label %yield, label %spin
yield:
  %ignored = call i32 @sched_yield()
  br label %spin
sleep:
  %locked = call i32 @pthread_mutex_lock(ptr @mutex)
  %counted = atomicrmw add ptr @sleeping, i32 1 seq_cst
  br label %asleep
asleep:
  %turn1 = load atomic i32, ptr @turn seq_cst, align 4
  %woken = icmp ne i32 %turn1, %last
  br i1 %woken, label %awake, label %wait
wait:
  %waited = call i32 @pthread_cond_wait(ptr @wake, ptr @mutex)
  br label %asleep
awake:
  %uncounted = atomicrmw sub ptr @sleeping, i32 1 seq_cst
  %unlocked = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %join
join:
  %now = phi i32 [ %turn, %spin ], [ %turn1, %awake ]
  %before = atomicrmw add ptr @inside, i32 1 seq_cst
  %is_open = icmp sge i32 %before, 0
  br i1 %is_open, label %room, label %leave
room:             ; the caller is one of the threads
  %width = load i64, ptr @width
  %wide = zext i32 %before to i64
  %mine = add i64 %wide, 1
  %has_room = icmp ult i64 %mine, %width
  br i1 %has_room, label %place, label %leave
place:
  %core = load i32, ptr @core
  %here = call i32 @sched_getcpu()
  %shared = icmp eq i32 %here, %core
  br i1 %shared, label %move, label %help
move:
  call void @leave_core(i32 %core)
  br label %help
help:
  call void @work(i64 %number)
  br label %leave
leave:
  %left = atomicrmw sub ptr @inside, i32 1 seq_cst
  br label %rest
}}
"""
