"""The code of an archive, from text to graphs.

files        members to syntax trees, definitions by qualified name
annotations  types
values       what an expression means while it is read
body         one function: scope, merges, calls; expressions and statements register with it
program      classes and functions, read when first asked for
upgrade      what operators meant when older archives were written
"""
