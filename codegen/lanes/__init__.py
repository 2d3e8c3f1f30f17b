"""Lanes: the scalar protocol of `ir.scalar` over llvmlite, one element or a vector of them."""
