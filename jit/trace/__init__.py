"""The tracer: records one run of a Python function as a graph that serves other sizes, too."""
