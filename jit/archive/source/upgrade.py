"""What operators meant when older archives were written, in the archives' own language.

An operator that changed its meaning in version N means in an archive of a version below N what its
function here does.
"""

from __future__ import annotations

from functools import cache

from ir import record
from jit.archive.source.files import SourceFile

LATEST = 10


@record
class Upgrade:
    """The version in which an operator changed, and the function with its earlier meaning."""

    changed_in: int
    function: str


VERSIONS = {
    # `div` of integers truncated
    "aten::div.Tensor": Upgrade(4, "div_tensor"),
    "aten::div.Scalar": Upgrade(4, "div_scalar"),
    "aten::div.out": Upgrade(4, "div_out"),
    "aten::div_.Tensor": Upgrade(4, "div_tensor_"),
    "aten::div_.Scalar": Upgrade(4, "div_scalar_"),
    # `full` of an int gave the default dtype
    "aten::full": Upgrade(5, "full"),
    # `steps` was optional, and 100: the function gives the argument of that name
    "aten::linspace(steps)": Upgrade(8, "steps_or_default"),
    "aten::logspace(steps)": Upgrade(9, "steps_or_default"),
}
# The others that torch counts as changed (div with a rounding mode, full.out, gelu) mean in today's
# operators, with their defaults, what they meant then.

_SOURCE = """
def div_tensor(self: Tensor, other: Tensor) -> Tensor:
  if torch.__or__(torch.is_floating_point(self), torch.is_floating_point(other)):
    result = torch.true_divide(self, other)
  else:
    result = torch.divide(self, other, rounding_mode="trunc")
  return result
def div_scalar(self: Tensor, other: number) -> Tensor:
  if torch.__or__(torch.is_floating_point(self), isinstance(other, float)):
    result = torch.true_divide(self, other)
  else:
    result = torch.divide(self, other, rounding_mode="trunc")
  return result
def div_out(self: Tensor, other: Tensor, out: Tensor) -> Tensor:
  any_float = torch.__or__(torch.is_floating_point(self), torch.is_floating_point(other))
  if torch.__or__(any_float, torch.is_floating_point(out)):
    result = torch.true_divide(self, other, out=out)
  else:
    result = torch.divide(self, other, rounding_mode="trunc", out=out)
  return result
def div_tensor_(self: Tensor, other: Tensor) -> Tensor:
  if torch.__or__(torch.is_floating_point(self), torch.is_floating_point(other)):
    result = torch.true_divide_(self, other)
  else:
    result = torch.divide_(self, other, rounding_mode="trunc")
  return result
def div_scalar_(self: Tensor, other: number) -> Tensor:
  if torch.__or__(torch.is_floating_point(self), isinstance(other, float)):
    result = torch.true_divide_(self, other)
  else:
    result = torch.divide_(self, other, rounding_mode="trunc")
  return result
def full(size: List[int], fill_value: number, dtype: Optional[int], layout: Optional[int],
    device: Optional[Device], pin_memory: Optional[bool]) -> Tensor:
  if torch.__is__(dtype, None):
    value = annotate(number, float(fill_value))
  else:
    value = fill_value
  return torch.full(size, value, dtype=dtype, layout=layout, device=device, pin_memory=pin_memory)
def steps_or_default(steps: Optional[int]) -> int:
  if torch.__is__(steps, None):
    count = 100
  else:
    count = unchecked_cast(int, steps)
  return count
"""


@cache
def upgrades_file() -> SourceFile:
    """The functions above as a file of an archive."""
    return SourceFile("<upgrades>", _SOURCE)
