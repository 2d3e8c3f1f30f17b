"""Long entries are compiled apart from their kernels, and do the same."""

from __future__ import annotations

import ctypes
import re

from codegen.engine import Engine, Source
from codegen.separate import AS_IT_STANDS, FULL, LONG, separate

COUNT = LONG // 40
STEPS = "\n".join(f'  %"x.{k + 1}" = call i64 @"kernel{k % 2}"(i64 %"x.{k}")' for k in range(COUNT))
MODULE = f"""; ModuleID = ""
target triple = "unknown-unknown-unknown"

define i64 @"entry"(i64 %"x.0")
{{
entry:
  %"n" = load i64, i64* @"entry.hits"
  %"m" = add i64 %"n", 1
  store i64 %"m", i64* @"entry.hits"
{STEPS}
  %"y" = call i64 @"labs"(i64 %"x.{COUNT}")
  ret i64 %"y"
}}

@"entry.hits" = global i64 0
@"table" = private unnamed_addr constant [2 x i64] [i64 1, i64 3]
declare i64 @"labs"(i64 %".1")

define internal i64 @"kernel0"(i64 %"x") noinline
{{
entry:
  %"p" = getelementptr [2 x i64], ptr @"table", i64 0, i64 1
  %"k" = load i64, i64* %"p"
  %"y" = sub i64 %"x", %"k"
  ret i64 %"y"
}}
define internal i64 @"kernel1"(i64 %"x")
{{
entry:
  %"y" = call i64 @"kernel0"(i64 %"x")
  ret i64 %"y"
}}
"""


def test_a_long_entry_is_apart_from_its_kernels() -> None:
    entry, kernels = separate(MODULE)
    assert (entry.opt, kernels.opt) == (AS_IT_STANDS, FULL)
    assert re.findall(r'^define [^@]*@"(\w+)"', entry.text, re.M) == ["entry"]
    assert re.findall(r'^define [^@]*@"(\w+)"', kernels.text, re.M) == ["kernel0", "kernel1"]
    assert "table" not in entry.text
    assert "hits" not in kernels.text


def test_parts_are_linked_to_the_same_code() -> None:
    library = Engine().load(Source(MODULE, ("entry", "entry.hits"), ("labs",)))
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(library.address("entry"))
    assert run(10) == 3 * COUNT - 10
    assert library.read_i64("entry.hits") == 1


def test_two_plans_may_use_the_same_names() -> None:
    engine, other = Engine(), MODULE.replace("i64 1, i64 3", "i64 1, i64 5")
    sources = [Source(text, ("entry",), ("labs",)) for text in (MODULE, other)]
    libraries = [engine.load(source) for source in sources]
    function = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
    found = [function(library.address("entry"))(0) for library in libraries]
    assert found == [3 * COUNT, 5 * COUNT]


def test_short_entries_and_loops_stay_whole() -> None:
    short = MODULE.replace(STEPS, "").replace(f"x.{COUNT}", "x.0")
    loop = MODULE.replace('entry:\n  %"n"', 'entry:\n  br label %"loop.body"\nloop.body:\n  %"n"')
    for text in (short, loop):
        assert [(p.text, p.opt) for p in separate(text)] == [(text, FULL)]
