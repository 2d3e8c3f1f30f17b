"""What Python does and TorchScript has no operator for, in TorchScript's own language: archives
hold these functions, compiled for the types of the call. One file for each kind of value.
"""
