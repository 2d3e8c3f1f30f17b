"""How fast, against whom: workloads in four groups, and the latencies of compilation.

`python -m benchmarks` measures the groups through `jit.compare` (correctness first, interleaved
rounds, peers at their best) and the latencies in processes of their own; `pytest benchmarks` times
the compiled functions alone, with pytest-benchmark, for tracking from commit to commit.
"""
