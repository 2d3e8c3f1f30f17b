"""What users did to a loaded module: submodules, tensors and attributes that its class in the
archive does not have as they are now.

    m = jit.load("model.pt")
    m.head = jit.script(Linear(8, 3))        class Net(Module): ...      with  head : Linear
    m.steps = 0.5                                                        and   steps : float

An edited module gets a class of its own when it is saved: the source of its class, read again with
the attributes of today (`ClassDef.reread`), so that calls and overloads are those of their types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from ir import ClassDef, CompileError, Field, Role, class_of, erased_type_of
from jit.archive.form import Savable
from jit.archive.holdings import MACHINERY
from jit.archive.spelling import is_written
from jit.misfit import misfit
from jit.modules.bind import definition_of
from jit.script.state import is_data

Module = torch.nn.Module
ClassAt = Callable[[Module], ClassDef]


def is_unchanged(module: Module) -> bool:
    """Whether a module and all below it are as the classes of their archive say."""
    definition = definition_of(module)
    if definition is None:
        return False
    fields = definition.fields
    return list(_names(module, definition)) == list(fields) and all(
        _is_as_declared(getattr(module, name), field) for name, field in fields.items()
    )


def _is_as_declared(value: Any, field: Field) -> bool:
    if not isinstance(value, Module):
        return misfit(field.type, value, "") is None
    definition, declared = definition_of(value), class_of(field.type)
    if definition is None or declared is None or not declared.covers(definition):
        return False
    return is_unchanged(value)


def present_fields(module: Module, class_at: ClassAt) -> dict[str, Field]:
    """The fields of a module's class today; `class_at` gives the classes of submodules."""
    definition = definition_of(module)
    assert definition is not None
    return {
        name: _present(module, name, definition.fields.get(name), class_at)
        for name in _names(module, definition)
    }


def _present(module: Module, name: str, field: Field | None, class_at: ClassAt) -> Field:
    value = getattr(module, name)
    if isinstance(value, Module):
        cls, declared = class_at(value), class_of(field.type) if field else None
        is_open = declared is not None and declared.is_interface and declared.covers(cls)
        return field if field and is_open else Field(cls.type)
    if field is not None and misfit(field.type, value, "") is None:
        return field
    return Field(erased_type_of(value), field.role if field else _role(module, name))


def _role(module: Module, name: str) -> Role:
    if name in module._parameters:
        return Role.PARAMETER
    return Role.BUFFER if name in module._buffers else Role.ATTRIBUTE


def _names(module: Module, definition: ClassDef) -> Iterator[str]:
    """The fields that a module still has, then what it has besides, as far as archives hold it."""
    own = [*module._parameters, *module._buffers, *module._modules, *vars(module)]
    yield from (name for name in definition.fields if name in own)
    for name in own:
        known = name in definition.fields or name in definition.constants or name in MACHINERY
        if not known and _is_held(getattr(module, name)):
            yield name


def _is_held(value: Any) -> bool:
    if isinstance(value, Module):
        return True
    type_ = erased_type_of(value)
    return not isinstance(value, Savable) and is_data(type_) and is_written(type_)


def check_hooks(module: Module, definition: ClassDef) -> None:
    """CompileError for hooks that the classes of the archive do not have."""
    pairs = (
        (module._forward_pre_hooks, definition.forward_pre_hooks),
        (module._forward_hooks, definition.forward_hooks),
    )
    for held, known in pairs:
        for hook in held.values():
            if getattr(hook, "__name__", "") not in known:
                raise CompileError(
                    f"Could not export the hook {getattr(hook, '__qualname__', hook)!r} of "
                    f"{type(module).__name__}: it was registered after the module was loaded, and "
                    "is Python of this process. Remove it before saving, or put what it does into "
                    "a module around this one"
                )
