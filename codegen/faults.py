"""What a kernel cannot compute: noted while it runs on, told by its status, one bit per reason.

A plan whose kernel faults starts over in the interpreter, where eager's operator raises. One that
had a visible effect before raises itself what eager's operator would.
"""

from __future__ import annotations

from ir import NEGATIVE_EXPONENT, OUT_OF_BOUNDS, ZERO_DIVISION, record

OUT_OF_RANGE = "index out of range"


@record
class Fault:
    """A bit of the status, and the built-in exception that eager's operators raise."""

    bit: int
    exception: str
    message: str


FAULTS = {
    OUT_OF_RANGE: Fault(1, "IndexError", OUT_OF_RANGE),
    ZERO_DIVISION: Fault(2, "RuntimeError", "ZeroDivisionError"),
    OUT_OF_BOUNDS: Fault(4, "IndexError", OUT_OF_BOUNDS),
    NEGATIVE_EXPONENT: Fault(8, "RuntimeError", NEGATIVE_EXPONENT),
}
