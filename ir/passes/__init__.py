"""Passes: each file one, `run(graph) -> bool` (did it change?), valid IR in, valid IR out."""
