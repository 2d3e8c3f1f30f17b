"""Operators on native lists, emitted into a plan's body.

What a loop does at every turn is emitted in place: a subscript is a comparison and a load, `append`
a comparison and a store. Everything else calls the runtime (`codegen.lists.runtime`). Where Python
would raise, the body leaves (`Body.leave_unless`).

Loads and stores say what they touch (type-based alias analysis): a header, or elements of one type.
So a store to an element leaves the lengths in their registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import llvmlite.ir as ll

from codegen.abi import DOUBLE, I1, I8, I64, NULL, PTR, call, i64, offset
from codegen.entry import Owned
from codegen.lists import handles
from codegen.lists.chosen import ELEMENTS, Lists, element_of, verb_of
from codegen.lists.runtime import CAPACITY, DATA, HEADER_WORDS, LENGTH, OBJECT
from codegen.loops import counted
from codegen.ranges import Ranges
from ir import BOOL, FLOAT, INT, ListType, Node, TensorType, Type, Value, record

_MAKING = ("copy", "slice", "join", "repeat")
_MEMORY: dict[Type, ll.Type] = {INT: I64, FLOAT: DOUBLE, BOOL: I8}
MINIMUM, MAXIMUM = -(1 << 63), (1 << 63) - 1


@record
class List:
    """A list in native memory; the address of its elements and its length, where they are fixed."""

    header: ll.Value
    element: Type
    data: ll.Value | None = None
    length: ll.Value | None = None


class Body(handles.Body, Protocol):
    """What operators on lists use of the body that they are part of (`codegen.body`)."""

    numbers: dict[Value, ll.Value]
    lists: dict[Value, List]

    @property
    def ranges(self) -> Ranges:
        """Which ints a register can hold."""

    def number(self, value: Value) -> ll.Value:
        """A number as a register."""

    def leave_unless(self, condition: ll.Value, node: Node | None = None) -> None:
        """Let Python decide unless the condition holds."""


# memory -------------------------------------------------------------------------------------------
def memory_type(element: Type) -> ll.Type:
    """How an element lies in memory."""
    return _MEMORY.get(element, PTR)


def shift_of(element: Type) -> ll.Value:
    """The logarithm of an element's size."""
    return i64(0 if element == BOOL else 3)


def depth_of(element: Type) -> int:
    if isinstance(element, ListType):
        return 1 + depth_of(element.element)
    return 1 if isinstance(element, TensorType) else 0


def is_shared(element: Type) -> bool:
    """Whether elements are headers, which count their references."""
    return isinstance(element, ListType | TensorType)


def kind_of(element: Type) -> str:
    """The runtime's name for lists of this element."""
    return ELEMENTS.get(element, "list")


def _tagged(instruction: ll.Instruction, name: str) -> ll.Instruction:
    """Say which kind of memory a load or store touches."""
    module = instruction.module if hasattr(instruction, "module") else instruction.parent.module
    root = module.add_metadata(["relume"])
    kind = module.add_metadata([name, root, I64(0)])
    instruction.set_metadata("tbaa", module.add_metadata([kind, kind, I64(0)]))
    return instruction


def load_field(body: Body, header: ll.Value, at: int, kind: ll.Type = I64) -> ll.Value:
    """A field of a header."""
    return _tagged(body.b.load(offset(body.b, header, at), typ=kind), "header")


def data_of(body: Body, value: List) -> ll.Value:
    """The address of the elements."""
    return value.data if value.data is not None else load_field(body, value.header, DATA, PTR)


def length_of(body: Body, value: List) -> ll.Value:
    """The number of elements."""
    return value.length if value.length is not None else load_field(body, value.header, LENGTH)


def _address(body: Body, value: List, index: ll.Value) -> ll.Value:
    kind = memory_type(value.element)
    return body.b.gep(data_of(body, value), [index], inbounds=True, source_etype=kind)


def load_element(body: Body, value: List, index: ll.Value) -> ll.Value:
    """The element at an index within bounds."""
    b, element = body.b, value.element
    loaded = _tagged(
        b.load(_address(body, value, index), typ=memory_type(element)), kind_of(element)
    )
    return b.trunc(loaded, I1) if element == BOOL else loaded


def store_element(body: Body, value: List, index: ll.Value, item: ll.Value) -> None:
    """Overwrite the element at an index within bounds."""
    element = value.element
    item = _stored(body, item, element)
    _tagged(body.b.store(item, _address(body, value, index)), kind_of(element))


def _stored(body: Body, item: ll.Value, element: Type) -> ll.Value:
    return body.b.zext(item, I8) if element == BOOL else item


# binding ------------------------------------------------------------------------------------------
def bind(body: Body, value: Value, header: ll.Value) -> None:
    """Note where a list is; what never changes is read here once."""
    element = element_of(value)
    if value not in body.chosen.fixed:
        body.lists[value] = List(header, element)
        return
    data, length = load_field(body, header, DATA, PTR), load_field(body, header, LENGTH)
    body.lists[value] = List(header, element, data, length)


def bind_item(body: Body, value: Value, item: ll.Value) -> None:
    """Note an element that was read, or a list or tensor that was handed on."""
    if isinstance(value.type, ListType):
        bind(body, value, item)
    elif isinstance(value.type, TensorType):
        handles.bind(body, value, item)
    else:
        body.numbers[value] = item


def bind_made(body: Body, value: Value, header: ll.Value, node: Node | None = None) -> None:
    """Note a list that the runtime has made, unless it could not."""
    body.leave_unless(body.b.icmp_unsigned("!=", header, NULL), node)
    bind(body, value, header)


def new(body: Body, element: Type, length: int | ll.Value, node: Node | None) -> List:
    """A new list of elements to be stored."""
    b = body.b
    size = i64(length)
    header = call(b, "relume_list_new", body.chain, size, shift_of(element), i64(depth_of(element)))
    body.leave_unless(b.icmp_unsigned("!=", header, NULL), node)
    return List(header, element, load_field(body, header, DATA, PTR), size)


def construct(body: Body, value: Value, items: list[ll.Value], node: Node | None) -> None:
    """A new list of these elements."""
    made = new(body, element_of(value), len(items), node)
    for k, item in enumerate(items):
        retain(body, made.element, item)
        store_element(body, made, i64(k), item)
    bind(body, value, made.header)


def retain(body: Body, type_: Type, item: ll.Value) -> None:
    """One more reference to a list; numbers have none."""
    if is_shared(type_):
        call(body.b, "relume_list_retain", item)


def release(body: Body, type_: Type, item: ll.Value) -> None:
    """One reference less."""
    if is_shared(type_):
        call(body.b, "relume_list_release", body.chain, item)


def bind_nothing(body: Body, value: Value) -> None:
    """A list that nobody will read, in the place of one that was not made yet."""
    module = body.entry.module
    name = f"{body.entry.name}.no_list"
    nothing = module.globals.get(name)
    if nothing is None:
        kind = ll.ArrayType(I64, HEADER_WORDS)
        nothing = ll.GlobalVariable(module, kind, name)
        nothing.linkage = "internal"
        nothing.initializer = ll.Constant(kind, [0, 0, 0, 0, 1 << 62, 0, 0, 0])
    bind_item(body, value, nothing)


def is_owner(chosen: Lists, node: Node) -> bool:
    """Whether the block of a node owns a reference to its result: a new list, or one that its
    container may let go of.
    """
    if node.name in ("prim::ListConstruct", "prim::Constant"):
        return True
    verb = verb_of(node)
    return verb in (*_MAKING, "pop") or (verb == "get" and node.inputs[0] in chosen.dropping)


# boxing -------------------------------------------------------------------------------------------
def unbox(body: Body, value: Value, obj: ll.Value, node: Node | None = None) -> None:
    """The native twin of a Python list."""
    kind = kind_of(element_of(value))
    bind_made(body, value, call(body.b, f"relume_list_unbox_{kind}", body.chain, obj), node)


def part(body: Body, value: List) -> None:
    """Let a list go its own way: the Python list that it was made from stays as it is."""
    at = offset(body.b, value.header, OBJECT)
    call(body.b, "Py_DecRef", body.b.load(at, typ=PTR))
    body.b.store(NULL, at)


def box(body: Body, value: List) -> Owned:
    """The Python list that stands for a native one: made once, or the argument."""
    b, entry = body.b, body.entry
    slot = entry.slot()
    at = offset(b, value.header, OBJECT)
    known = b.load(at, typ=PTR)
    is_new = b.icmp_unsigned("==", known, NULL)
    b.store(known, slot.slot)
    with b.if_then(is_new):
        made = box_copy(body, value, box)
        obj = entry.take(made)
        b.store(obj, offset(b, value.header, OBJECT))
        b.store(obj, slot.slot)
    call(b, "Py_IncRef", entry.peek(slot))
    return slot


def box_copy(body: Body, value: List, box_inner: Callable[..., Owned] | None = None) -> Owned:
    """A new Python list of the elements as they are now; lists inside are copied, too."""
    b, entry = body.b, body.entry
    if value.element in ELEMENTS:
        kind = ELEMENTS[value.element]
        return entry.boxed(call(b, f"relume_list_box_{kind}", value.header))
    element, length = value.element, length_of(body, value)
    made = entry.boxed(call(b, "PyList_New", length))
    with counted(b, length) as index:
        found = load_element(body, value, index)
        if isinstance(element, TensorType):
            item = handles.box(body, found, element)
        else:
            assert isinstance(element, ListType)
            item = (box_inner or box_copy)(body, List(found, element.element))
        call(b, "PyList_SetItem", entry.peek(made), index, entry.take(item))
    return made


def write_back(body: Body, value: List, obj: ll.Value) -> None:
    """Give a Python list the elements of its native twin."""
    b, entry = body.b, body.entry
    made = box_copy(body, value)
    status = call(b, "PyList_SetSlice", obj, i64(0), i64(MAXIMUM), entry.peek(made))
    entry.propagate_if(b.icmp_signed("!=", status, ll.IntType(32)(0)))


# operators ----------------------------------------------------------------------------------------
def emit(body: Body, node: Node) -> None:
    """One operator on native lists."""
    verb = verb_of(node)
    assert verb is not None
    _EMITTERS[verb](body, node)


def _list(body: Body, node: Node, position: int = 0) -> List:
    value = node.inputs[position]
    if value in body.lists:
        return body.lists[value]
    kind = kind_of(element_of(value))
    header = call(body.b, f"relume_list_unbox_{kind}", body.chain, body.object(value))
    body.leave_unless(body.b.icmp_unsigned("!=", header, NULL), node)
    return List(header, element_of(value))


def item_of(body: Body, value: Value) -> ll.Value:
    """An element as it is handed around: a number, or the header of a list or tensor."""
    if value in body.lists:
        return body.lists[value].header
    return body.handles[value] if value in body.handles else body.number(value)


def _index(body: Body, node: Node, value: List, index: Value) -> ll.Value:
    """A subscript as Python means it, within bounds."""
    b, length, number = body.b, length_of(body, value), body.number(index)
    low, high = body.ranges.of(index)
    if high < 0:
        number = b.add(number, length)
    elif low < 0:
        number = b.select(b.icmp_signed("<", number, i64(0)), b.add(number, length), number)
    body.leave_unless(b.icmp_unsigned("<", number, length), node)
    return number


def _name_result(body: Body, node: Node) -> None:
    """A changed list that is its operator's result."""
    for output in node.outputs:
        if output in body.chosen.native:
            body.lists[output] = _list(body, node)


def _length(body: Body, node: Node) -> None:
    body.numbers[node.output] = length_of(body, _list(body, node))


def _get(body: Body, node: Node) -> None:
    value = _list(body, node)
    found = load_element(body, value, _index(body, node, value, node.inputs[1]))
    if node.inputs[0] in body.chosen.dropping:
        retain(body, value.element, found)
    bind_item(body, node.output, found)


def _set(body: Body, node: Node) -> None:
    value = _list(body, node)
    index = _index(body, node, value, node.inputs[1])
    item = item_of(body, node.inputs[2])
    if is_shared(value.element):
        retain(body, value.element, item)
        release(body, value.element, load_element(body, value, index))
    store_element(body, value, index, item)
    _name_result(body, node)


def _append(body: Body, node: Node) -> None:
    b, value = body.b, _list(body, node)
    item = item_of(body, node.inputs[1])
    retain(body, value.element, item)
    length = length_of(body, value)
    total = b.add(length, i64(1), flags=("nsw",))
    capacity = load_field(body, value.header, CAPACITY)
    with b.if_then(b.icmp_unsigned(">=", length, capacity), likely=False):
        _reserve(body, node, value, total)
    store_element(body, value, length, item)
    _set_length(body, value, total)
    _name_result(body, node)


def _reserve(body: Body, node: Node, value: List, total: ll.Value) -> None:
    fits = call(body.b, "relume_list_reserve", value.header, total, shift_of(value.element))
    body.leave_unless(fits, node)


def _set_length(body: Body, value: List, length: ll.Value) -> None:
    _tagged(body.b.store(length, offset(body.b, value.header, LENGTH)), "header")


def _insert(body: Body, node: Node) -> None:
    b, value = body.b, _list(body, node)
    length, index = length_of(body, value), body.number(node.inputs[1])
    is_negative = b.icmp_signed("<", index, i64(0))
    index = b.add(index, b.select(is_negative, length, i64(0)))
    index = b.select(b.icmp_signed("<", index, i64(0)), i64(0), index)
    index = b.select(b.icmp_signed(">", index, length), length, index)
    fits = call(b, "relume_list_open", value.header, index, shift_of(value.element))
    body.leave_unless(fits, node)
    item = item_of(body, node.inputs[2])
    retain(body, value.element, item)
    store_element(body, value, index, item)


def _pop(body: Body, node: Node) -> None:
    b, value = body.b, _list(body, node)
    index = _index(body, node, value, node.inputs[1])
    bind_item(body, node.output, load_element(body, value, index))
    if body.ranges.of(node.inputs[1]) == (-1, -1):
        _set_length(body, value, b.sub(length_of(body, value), i64(1)))
    else:
        call(b, "relume_list_close", value.header, index, shift_of(value.element))


def _delete(body: Body, node: Node) -> None:
    value = _list(body, node)
    index = _index(body, node, value, node.inputs[1])
    if is_shared(value.element):
        release(body, value.element, load_element(body, value, index))
    call(body.b, "relume_list_close", value.header, index, shift_of(value.element))


def _find(body: Body, node: Node, verb: str, *more: ll.Value) -> ll.Value:
    """Search for an element; Python's own NaNs are equal to themselves, which only it can tell."""
    b, value = body.b, _list(body, node)
    item = body.number(node.inputs[1])
    if value.element == FLOAT:
        body.leave_unless(b.fcmp_ordered("ord", item, item), node)
    item = _stored(body, item, value.element)
    name = f"relume_list_{verb}_{kind_of(value.element)}"
    return call(b, name, value.header, item, *more)


def _remove(body: Body, node: Node) -> None:
    value = _list(body, node)
    at = _find(body, node, "find", i64(0))
    body.leave_unless(body.b.icmp_signed(">=", at, i64(0)), node)
    call(body.b, "relume_list_close", value.header, at, shift_of(value.element))


def _find_index(body: Body, node: Node) -> None:
    at = _find(body, node, "find", i64(0))
    body.leave_unless(body.b.icmp_signed(">=", at, i64(0)), node)
    body.numbers[node.output] = at


def _contains(body: Body, node: Node) -> None:
    at = _find(body, node, "find", i64(0))
    body.numbers[node.output] = body.b.icmp_signed(">=", at, i64(0))


def _count(body: Body, node: Node) -> None:
    body.numbers[node.output] = _find(body, node, "count")


def _extend(body: Body, node: Node) -> None:
    value = _list(body, node)
    fits = call(
        body.b,
        "relume_list_extend",
        value.header,
        _list(body, node, 1).header,
        shift_of(value.element),
    )
    body.leave_unless(fits, node)
    _name_result(body, node)


def _clear(body: Body, node: Node) -> None:
    value = _list(body, node)
    if is_shared(value.element):
        call(body.b, "relume_list_clear", body.chain, value.header)
    else:
        _set_length(body, value, i64(0))


def _reverse(body: Body, node: Node) -> None:
    value = _list(body, node)
    kind = "int" if is_shared(value.element) else kind_of(value.element)  # words, whatever they say
    call(body.b, f"relume_list_reverse_{kind}", value.header)


def _sort(body: Body, node: Node) -> None:
    """Where NaNs end up, only Python's own way of comparing tells."""
    b, value = body.b, _list(body, node)
    is_falling = body.number(node.inputs[1]) if len(node.inputs) > 1 else I1(0)
    kind = kind_of(value.element)
    is_sorted = call(b, f"relume_list_sort_{kind}", value.header, is_falling)
    if value.element != FLOAT:
        body.leave_unless(is_sorted, node)
        return
    with b.if_then(b.not_(is_sorted), likely=False):
        entry = body.entry
        items, reverse = entry.peek(box_copy(body, value)), entry.peek(entry.box_bool(is_falling))
        ordered = entry.call_python(entry.constant(_sorted), [items, reverse])
        other = call(b, f"relume_list_unbox_{kind}", body.chain, ordered)
        body.leave_unless(b.icmp_unsigned("!=", other, NULL), node)
        call(
            b,
            "memcpy",
            data_of(body, value),
            load_field(body, other, DATA, PTR),
            b.shl(length_of(body, value), shift_of(FLOAT)),
        )


def _sorted(items: list[float], reverse: bool) -> list[float]:
    return sorted(items, reverse=reverse)


def _copy(body: Body, node: Node) -> None:
    value = _list(body, node)
    made = call(body.b, "relume_list_copy", body.chain, value.header, shift_of(value.element))
    bind_made(body, node.output, made, node)


def _slice(body: Body, node: Node) -> None:
    b, value = body.b, _list(body, node)
    start, stop, step = (_bound(body, v) for v in node.inputs[1:])
    step = i64(1) if step is None else step
    body.leave_unless(b.icmp_signed("!=", step, i64(0)), node)
    is_up = b.icmp_signed(">", step, i64(0))
    low, high = i64(MINIMUM), i64(MAXIMUM)
    start = b.select(is_up, low, high) if start is None else start
    stop = b.select(is_up, high, low) if stop is None else stop
    made = call(
        b,
        "relume_list_slice",
        body.chain,
        value.header,
        start,
        stop,
        step,
        shift_of(value.element),
    )
    bind_made(body, node.output, made, node)


def _bound(body: Body, value: Value) -> ll.Value | None:
    """A bound of a slice; None where it is left out."""
    return body.number(value) if value.type == INT else None


def _join(body: Body, node: Node) -> None:
    first, second = _list(body, node), _list(body, node, 1)
    shift = shift_of(first.element)
    made = call(body.b, "relume_list_copy", body.chain, first.header, shift)
    body.leave_unless(body.b.icmp_unsigned("!=", made, NULL), node)
    fits = call(body.b, "relume_list_extend", made, second.header, shift)
    body.leave_unless(fits, node)
    bind(body, node.output, made)


def _repeat(body: Body, node: Node) -> None:
    at = 0 if isinstance(node.inputs[0].type, ListType) else 1
    value, times = _list(body, node, at), body.number(node.inputs[1 - at])
    shift = shift_of(value.element)
    made = call(body.b, "relume_list_repeat", body.chain, value.header, times, shift)
    bind_made(body, node.output, made, node)


def _is_equal(body: Body, node: Node) -> ll.Value:
    first, second = _list(body, node), _list(body, node, 1)
    if first.element == FLOAT:
        _require_numbers(body, node, first)
    name = f"relume_list_equal_{kind_of(first.element)}"
    return call(body.b, name, first.header, second.header)


def _require_numbers(body: Body, node: Node, value: List) -> None:
    """No NaN among the elements: whether two are the same object only Python can tell."""
    with counted(body.b, length_of(body, value)) as index:
        item = load_element(body, value, index)
        body.leave_unless(body.b.fcmp_ordered("ord", item, item), node)


def _equal(body: Body, node: Node) -> None:
    body.numbers[node.output] = _is_equal(body, node)


def _differ(body: Body, node: Node) -> None:
    body.numbers[node.output] = body.b.not_(_is_equal(body, node))


_EMITTERS: dict[str, Callable[[Body, Node], None]] = {
    "length": _length,
    "get": _get,
    "set": _set,
    "append": _append,
    "insert": _insert,
    "pop": _pop,
    "delete": _delete,
    "remove": _remove,
    "index": _find_index,
    "contains": _contains,
    "count": _count,
    "extend": _extend,
    "clear": _clear,
    "reverse": _reverse,
    "sort": _sort,
    "copy": _copy,
    "slice": _slice,
    "join": _join,
    "repeat": _repeat,
    "equal": _equal,
    "differ": _differ,
}
