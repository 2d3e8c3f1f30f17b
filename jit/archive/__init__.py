"""Archives: TorchScript's `.pt`, written and read.

Program (ir.classes) ── source_writer, pickler ──► container ──► file
"""
