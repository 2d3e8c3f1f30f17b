"""The engine: text to running code, names bound at link time, code freed with its library."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
from pathlib import Path

import llvmlite.ir as ll
import pytest

from codegen.cache import ObjectCache
from codegen.engine import Engine, Library, Source, UnknownSymbol, assembly, compile_object
from codegen.separate import AS_IT_STANDS, Part
from codegen.target import describe, host

SQUARE = """
declare i64 @given(i64)
@calls = global i64 0
define internal i64 @times(i64 %x, i64 %y) {
  %p = mul i64 %x, %y
  ret i64 %p
}
define i64 @square(i64 %x) {
  %n = load i64, ptr @calls
  %m = add i64 %n, 1
  store i64 %m, ptr @calls
  %p = call i64 @times(i64 %x, i64 %x)
  %q = call i64 @given(i64 %p)
  ret i64 %q
}
"""
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
INCREMENT = CALLBACK(lambda x: x + 1)
GIVEN = ctypes.cast(INCREMENT, ctypes.c_void_p).value or 0


def square(library: Library) -> int:
    return CALLBACK(library.address("square"))(7)


def test_load_and_run() -> None:
    library = Engine().load(Source.of_text(SQUARE), {"given": GIVEN})
    assert square(library) == 50
    assert library.read_i64("calls") == 1
    library.write_i64("calls", 10)
    square(library)
    assert library.read_i64("calls") == 11
    assert not library.is_cached
    with pytest.raises(KeyError):
        library.address("times")


def test_resolver_knows_names() -> None:
    engine = Engine(resolve={"given": GIVEN}.get)
    assert square(engine.load(Source.of_text(SQUARE))) == 50


def test_missing_names_are_an_error() -> None:
    with pytest.raises(UnknownSymbol, match="given"):
        Engine().load(Source.of_text(SQUARE))


def test_process_symbols_are_found() -> None:
    text = """
declare double @cos(double)
define double @f(double %x) {
  %y = call double @cos(double %x)
  ret double %y
}"""
    library = Engine().load(Source.of_text(text))
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("f"))(0.0) == 1.0


def test_sources_of_modules_and_texts_agree() -> None:
    module = ll.Module()
    i64 = ll.IntType(64)
    given = ll.Function(module, ll.FunctionType(i64, [i64]), "given")
    module.declare_intrinsic("llvm.ctpop", [i64])
    ll.GlobalVariable(module, i64, "outside")
    inside = ll.GlobalVariable(module, i64, "inside")
    inside.initializer = i64(3)
    hidden = ll.Function(module, ll.FunctionType(i64, [i64]), "hidden")
    hidden.linkage = "internal"
    shown = ll.Function(module, ll.FunctionType(i64, [i64]), "shown")
    for function in (hidden, shown):
        b = ll.IRBuilder(function.append_basic_block())
        b.ret(b.call(given, [b.load(inside)]))
    source = Source.of(module)
    assert set(source.exports) == {"inside", "shown"}
    assert set(source.imports) == {"given", "outside"}
    text = Source.of_text(SQUARE)
    assert set(text.exports) == {"calls", "square"}
    assert set(text.imports) == {"given"}


def test_invalid_modules_are_refused() -> None:
    with pytest.raises(RuntimeError):
        compile_object("define i64 @f() {\n  ret i32 0\n}", host())


def test_a_second_engine_takes_the_object_from_the_cache(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        engine = Engine(ObjectCache(tmp_path))
        library = engine.load(Source.of_text(SQUARE), {"given": GIVEN})
        assert square(library) == 50
        results.append(library.is_cached)
    assert results == [False, True]


def test_a_damaged_object_is_made_again(tmp_path: Path) -> None:
    for _ in range(2):
        engine = Engine(ObjectCache(tmp_path))
        library = engine.load(Source.of_text(SQUARE), {"given": GIVEN})
        assert square(library) == 50
        assert not library.is_cached
        for path in tmp_path.rglob("*.o"):
            path.write_bytes(path.read_bytes()[:-9])


def test_keys_depend_on_what_changes_code() -> None:
    engine = Engine()
    key = engine.key(Part("a"))
    assert key == Engine().key(Part("a"))
    assert key != engine.key(Part("b"))
    assert key != engine.key(Part("a", AS_IT_STANDS))
    engine.target = describe("x86_64-unknown-linux-gnu")
    assert key != engine.key(Part("a"))


def _mapped() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_code_is_freed_with_its_library() -> None:
    engine = Engine()
    text = "@data = global [4194304 x i8] zeroinitializer\ndefine ptr @f() {\n  ret ptr @data\n}"
    body = Source(text, ("f",), ())

    def use() -> None:
        library = engine.load(body)
        address = ctypes.CFUNCTYPE(ctypes.c_void_p)(library.address("f"))()
        ctypes.memset(address, 1, 4 << 20)

    use()
    before = _mapped()
    for _ in range(12):
        use()
        gc.collect()
    assert _mapped() - before < 24 << 20


def test_threads_compile_at_once() -> None:
    engine = Engine()
    results: list[int] = []

    def work(k: int) -> None:
        text = f"define i64 @square(i64 %x) {{\n  %y = add i64 %x, {k}\n  ret i64 %y\n}}"
        results.append(square(engine.load(Source.of_text(text))) - k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [7] * 12


def test_a_fork_while_another_thread_compiles() -> None:
    engine = Engine()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            engine.load(Source.of_text(SQUARE), {"given": GIVEN})

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(
                    0 if square(engine.load(Source.of_text(SQUARE), {"given": GIVEN})) == 50 else 1
                )
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()


def test_whole_registers_are_used() -> None:
    target = host()
    width = target.lanes(32)
    text = f"""
define void @f(ptr %p) {{
  %x = load <{width} x float>, ptr %p, align 4
  %y = fadd <{width} x float> %x, %x
  store <{width} x float> %y, ptr %p, align 4
  ret void
}}"""
    register = {64: "zmm", 32: "ymm"}.get(target.vector_bytes)
    if register is None:
        pytest.skip("no wide registers here")
    assert register in assembly(text, target)


def test_other_machines() -> None:
    target = describe("aarch64-unknown-linux-gnu")
    assert target.vector_bytes == 16
    assert target.lanes(32) == 4
    assert not target.is_host or host().triple.startswith("aarch64")
    text = "define i64 @f(i64 %x) {\n  %y = mul i64 %x, %x\n  ret i64 %y\n}"
    assert "mul\tx0, x0, x0" in assembly(text, target)
    assert compile_object(text, target).startswith(b"\x7fELF")
