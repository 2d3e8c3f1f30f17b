"""The ops: rows of the op table (`ir.op`), by kind."""
