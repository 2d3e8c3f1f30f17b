"""The `**kwargs` of a function under compilation: a dict whose keys are known.

A change makes a new operand, which takes the old one's place under every name that holds it; so
paths that meet see different operands, as with any variable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ir import BOOL, Block, Builder, Effect, Node, Value
from jit.script.constants import constant_of
from jit.script.frame import Frame
from jit.script.values import Arguments, Items, Keywords, Operand, Perhaps


def call_keywords(frame: Frame, owner: Keywords, name: str, given: Arguments) -> Operand:
    """A method of dict."""
    items = owner.items
    match name, given.args:
        case "get", [key, *default]:
            return items.get(_name(frame, key), default[0] if default else frame.constant(None))
        case "pop", [key, *default]:
            return _pop(frame, owner, _name(frame, key), default)
        case "setdefault", [key, *default]:
            if _name(frame, key) not in items:
                set_keyword(frame, owner, key, default[0] if default else frame.constant(None))
            return items.get(_name(frame, key), default[0] if default else frame.constant(None))
        case "update", [Keywords(items=more)]:
            _replace(frame, owner, {**items, **more, **given.kwargs})
            return frame.constant(None)
        case "update", []:
            _replace(frame, owner, {**items, **given.kwargs})
            return frame.constant(None)
        case "copy", []:
            return Keywords(dict(items), frame.builder.block)
        case "items", []:
            return Items(tuple(Items((frame.constant(k), v)) for k, v in items.items()))
        case "keys", []:
            return Items(tuple(frame.constant(k) for k in items))
        case "values", []:
            return Items(tuple(items.values()))
    raise frame.unsupported(f"{owner.describe()} has no method {name!r} in compiled code")


def get_keyword(frame: Frame, owner: Keywords, key: Operand) -> Operand:
    """`kwargs[key]`."""
    name = _name(frame, key)
    if name not in owner.items:
        raise frame.mismatch(f"there is no keyword argument {name!r}")
    return owner.items[name]


def set_keyword(frame: Frame, owner: Keywords, key: Operand, item: Operand) -> None:
    """`kwargs[key] = item`."""
    _replace(frame, owner, {**owner.items, _name(frame, key): item})


def delete_keyword(frame: Frame, owner: Keywords, key: Operand) -> None:
    """`del kwargs[key]`."""
    _pop(frame, owner, _name(frame, key), [])


def built_items(frame: Frame, made: Value) -> dict[str, Operand] | None:
    """The items of a dict of this function when all are known here: those of its display and those
    that were set since, on every path or in a branch. None when a key is not constant, or a loop or
    someone else may have changed the dict.
    """
    if made.node is None or made.node.block is None or made.node.name != "prim::DictConstruct":
        return None
    owners = list(_owners(frame.builder.block, made.node.block))
    if any(node.name == "prim::Loop" for node in owners):
        return None
    pairs = zip(made.node.inputs[::2], made.node.inputs[1::2], strict=True)
    items: dict[str, Operand] = {constant_of(key): value for key, value in pairs}
    around = [frame.builder.block, *(node.block for node in owners)]
    for user, _ in list(made.uses):
        if user.name == "aten::_set_item" and user.inputs[0] is made:
            key = constant_of(user.inputs[1])
            item = user.inputs[2] if user.block in around else _from_branch(user, around)
            if item is None or (isinstance(item, Perhaps) and key in items):
                return None
            items[key] = item
        elif user.op.effect is not Effect.PURE or user.blocks:
            return None
    return items if all(isinstance(key, str) for key in items) else None


def _from_branch(setting: Node, around: Sequence[Block | None]) -> Perhaps | None:
    """An item that is set in a branch, which says so and hands it on."""
    block, item = setting.block, setting.inputs[2]
    assert block is not None
    is_set = Builder(block).const(True)
    while block not in around:
        owner = block.owner
        if owner is None or owner.name != "prim::If":
            return None
        for branch in owner.blocks:
            b = Builder(branch)
            other = (b.const(False), b.node("prim::Uninitialized", (), [item.type]).output)
            for value in (is_set, item) if branch is block else other:
                branch.add_return(value)
        is_set, item = owner.add_output(BOOL), owner.add_output(item.type)
        block = owner.block
        assert block is not None
    return Perhaps(is_set, item)


def _name(frame: Frame, key: Operand) -> str:
    name = constant_of(key)
    if not isinstance(name, str):
        raise frame.unsupported("a keyword argument is found by a constant string")
    return name


def _pop(frame: Frame, owner: Keywords, name: str, default: list[Operand]) -> Operand:
    if name in owner.items:
        _replace(frame, owner, {k: v for k, v in owner.items.items() if k != name})
        return owner.items[name]
    if not default:
        raise frame.mismatch(f"there is no keyword argument {name!r}")
    return default[0]


def _replace(frame: Frame, owner: Keywords, items: dict[str, Operand]) -> None:
    """Let a changed dict take the place of `owner`."""
    if any(node.name == "prim::Loop" for node in _owners(frame.builder.block, owner.block)):
        raise frame.unsupported("keyword arguments cannot be changed in a loop of compiled code")
    made = Keywords(items, owner.block)
    holder: Frame | None = frame
    while holder is not None:
        for name in [n for n, binding in holder.scope.items() if binding is owner]:
            holder.bind(name, made)
        holder = holder.parent


def _owners(block: Block, outer: Block) -> Iterator[Node]:
    """The nodes whose blocks `block` is in, as far as `outer`."""
    node = None if block is outer else block.owner
    while node is not None:
        yield node
        node = None if node.block in (outer, None) else node.block.owner
