"""Lists in native memory, of numbers and of tensors."""
