"""Matrix products: what is multiplied, by whom, and the kernels of our own."""
