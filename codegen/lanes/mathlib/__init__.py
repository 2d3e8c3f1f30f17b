"""Elementary functions as inline lane code: no library calls, branch-free on the usual path.

Every function takes float32 or float64 lanes of any width and follows torch on NaN, infinities,
-0.0 and denormals. The head of each module states the measured errors; `cost` has the work per
element. Coefficients are our own minimax fits (Remez exchange in 50 digits, weighted by relative
error; they are rounded to the lane's precision one after the other, lowest power first, and the
rest fitted again each time).
"""
