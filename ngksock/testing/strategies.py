"""
Hypothesis strategies for control-message arguments.

A type of one's own joins in by registering a strategy for its class::

    @register_values(SockAddrType)
    def _(kind, seen, small):
        return st.builds(SockAddr, ...)

Hypothesis is needed here and nowhere else: ``pip install hypothesis``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from ngksock.netgraph.layout import (
    Counted,
    CountedBytes,
    EtherType,
    FixedArray,
    FixedString,
    IntType,
    IPAddrType,
    ParseType,
    Prefixed,
    Rest,
    Seen,
    SizedStringType,
    StringType,
    Struct,
)

__all__ = ["bytes_of", "register_values", "values_of"]

T = TypeVar("T")

Make = Callable[[Any, Seen, bool], SearchStrategy[Any]]

_MAKERS: dict[type[ParseType[Any]], Make] = {}

_FEW = 5


def register_values(cls: type[ParseType[Any]]) -> Callable[[Make], Make]:
    """
    Register a function that makes the strategy for the types of class *cls*.

    The function gets the type, the values of the fields declared earlier, and
    whether integers should stay small because they may count something.
    """

    def register(make: Make) -> Make:
        _MAKERS[cls] = make
        return make

    return register


def values_of(kind: ParseType[T]) -> SearchStrategy[T]:
    """
    Generate canonical values of *kind*: those that `unpack` makes.

    Raises:
        TypeError: nothing is registered for the class of *kind*.
    """
    return _values(kind, {}, False)


def bytes_of(kind: ParseType[T]) -> SearchStrategy[bytes]:
    """Generate the bytes of canonical values of *kind*."""
    return values_of(kind).map(kind.pack)


def _values(kind: ParseType[Any], seen: Seen, small: bool) -> SearchStrategy[Any]:
    for cls in type(kind).__mro__:
        make = _MAKERS.get(cls)
        if make is not None:
            return make(kind, seen, small)
    raise TypeError(f"no strategy is registered for {type(kind).__qualname__}")


@register_values(IntType)
def _ints(kind: IntType, seen: Seen, small: bool) -> SearchStrategy[int]:
    low, high = 0, (1 << kind.bits) - 1
    if kind.form == "int":
        low, high = -(1 << (kind.bits - 1)), (1 << (kind.bits - 1)) - 1
    if small:
        low, high = 0, _FEW
    return st.integers(low, high) | st.sampled_from([0, low, high])


def _text(most: int, first: int = 1) -> SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=first, max_codepoint=0xFF), max_size=most)


@register_values(StringType)
def _strings(kind: StringType, seen: Seen, small: bool) -> SearchStrategy[str]:
    return _text(20)


@register_values(FixedString)
def _fixed_strings(kind: FixedString, seen: Seen, small: bool) -> SearchStrategy[str]:
    return _text(kind.capacity - 1)


@register_values(SizedStringType)
def _sized_strings(kind: SizedStringType, seen: Seen, small: bool) -> SearchStrategy[str]:
    return _text(20, first=0)


@register_values(IPAddrType)
def _addresses(kind: IPAddrType, seen: Seen, small: bool) -> SearchStrategy[str]:
    return st.binary(min_size=4, max_size=4).map(kind.unpack)


@register_values(EtherType)
def _ethers(kind: EtherType, seen: Seen, small: bool) -> SearchStrategy[bytes]:
    return st.binary(min_size=6, max_size=6)


@register_values(CountedBytes)
def _counted_bytes(kind: CountedBytes, seen: Seen, small: bool) -> SearchStrategy[bytes]:
    length = kind.length(seen)
    return st.binary(min_size=length, max_size=length) | st.just(bytes(length))


@register_values(Rest)
def _rest(kind: Rest, seen: Seen, small: bool) -> SearchStrategy[bytes]:
    # A value that is too short reads back longer, so it is not canonical; and
    # whether there is any value at all only an enclosing struct can tell.
    return st.binary(min_size=kind.minimum, max_size=kind.minimum + 12)


@register_values(Counted)
@register_values(FixedArray)
def _arrays(
    kind: Counted[Any] | FixedArray[Any], seen: Seen, small: bool
) -> SearchStrategy[list[Any]]:
    length = kind.length(seen)
    return st.lists(_values(kind.element, seen, small), min_size=length, max_size=length)


@register_values(Prefixed)
def _prefixed(kind: Prefixed[Any], seen: Seen, small: bool) -> SearchStrategy[list[Any]]:
    return st.lists(_values(kind.element, seen, small), max_size=_FEW)


@register_values(Struct)
def _structs(kind: Struct[Any], seen: Seen, small: bool) -> SearchStrategy[Any]:
    # A field may count a later one, directly or by a callable: then all stay small.
    counted = any(
        isinstance(field.type, CountedBytes | Counted) and field.type.size is None
        for field in kind.fields
    )

    @st.composite
    def build(draw: DrawFn) -> Any:
        values: dict[str, Any] = {}
        for field in kind.fields:
            values[field.name] = draw(_values(field.type, values, small or counted))
        return kind.cls(**values)

    return build()
