"""Frozen values as plain JSON and back, by their type hints: whatever the domain is made of, no class is named here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN = (str, int, float, bool, NoneType)
_AS_TEXT = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface, IPv4Network, IPv6Network)

Turn = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packer:
    """How values of one type become JSON (``pack``) and how they come back equal (``unpack``).

    A dataclass is the list of its fields in their order, so both sides have to know the very same class; a mapping is
    a list of pairs in its order (its keys need not be strings); what belongs to a union carries its place in it.
    Neither side checks what it is given: a value that does not fit its hint comes back wrong or raises anything.
    """

    pack: Turn
    unpack: Turn


@cache
def packer(hint: Any) -> Packer:
    """The packer for values of the type *hint*. Raises TypeError for a type that it does not know how to bring back."""
    if hint in _PLAIN or get_origin(hint) is Literal:
        return Packer(pack=_same, unpack=_same)
    if isinstance(hint, type) and not get_args(hint):
        return _of_class(hint)
    return _of_generic(hint, get_origin(hint), get_args(hint))


def _same(value: Any) -> Any:
    return value


def _of_class(cls: type) -> Packer:
    if is_dataclass(cls):
        return _of_dataclass(cls)
    if issubclass(cls, Enum):
        return Packer(pack=lambda value: value.value, unpack=cls)
    if cls in _AS_TEXT:
        return Packer(pack=str, unpack=cls)
    if cls is datetime:
        return Packer(pack=datetime.isoformat, unpack=datetime.fromisoformat)
    if cls is timedelta:
        return Packer(pack=lambda t: [t.days, t.seconds, t.microseconds], unpack=lambda parts: timedelta(*parts))
    raise TypeError(f"{cls.__name__} cannot be packed: teach bot/flows/packing.py how it comes back")


def _of_dataclass(cls: type) -> Packer:
    hints = get_type_hints(cls)
    # What __init__ does not take is worked out from what it takes.
    names = [field.name for field in fields(cls) if field.init]
    parts = [(name, packer(hints[name])) for name in names]
    packs = [(name, part.pack) for name, part in parts]
    unpacks = [(name, part.unpack) for name, part in parts]

    def pack(value: Any) -> Any:
        return [turn(getattr(value, name)) for name, turn in packs]

    def unpack(packed: Any) -> Any:
        return cls(**{name: turn(part) for (name, turn), part in zip(unpacks, packed, strict=True)})

    return Packer(pack=pack, unpack=unpack)


def _of_generic(hint: Any, origin: Any, arguments: tuple[Any, ...]) -> Packer:
    if origin in (UnionType, Union):
        return _of_union(arguments)
    if origin is tuple and arguments[-1] is Ellipsis:
        return _of_row(packer(arguments[0]))
    if origin is tuple:
        return _of_tuple([packer(argument) for argument in arguments])
    if origin is frozenset:
        return _of_frozenset(packer(arguments[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _of_mapping(*(packer(argument) for argument in arguments))
    raise TypeError(f"{hint} cannot be packed: teach bot/flows/packing.py how it comes back")


def _of_row(part: Packer) -> Packer:
    pack, unpack = part.pack, part.unpack
    return Packer(
        pack=lambda row: [pack(value) for value in row],
        unpack=lambda packed: tuple([unpack(value) for value in packed]),
    )


def _of_tuple(parts: list[Packer]) -> Packer:
    return Packer(
        pack=lambda row: [part.pack(value) for part, value in zip(parts, row, strict=True)],
        unpack=lambda packed: tuple([part.unpack(value) for part, value in zip(parts, packed, strict=True)]),
    )


def _of_frozenset(part: Packer) -> Packer:
    pack, unpack = part.pack, part.unpack
    return Packer(
        # Sorted, so that equal sets are packed alike: what is packed is compared and digested too.
        pack=lambda values: sorted([pack(value) for value in values], key=repr),
        unpack=lambda packed: frozenset([unpack(value) for value in packed]),
    )


def _of_mapping(key: Packer, value: Packer) -> Packer:
    return Packer(
        pack=lambda mapping: [[key.pack(k), value.pack(v)] for k, v in mapping.items()],
        unpack=lambda packed: {key.unpack(k): value.unpack(v) for k, v in packed},
    )


def _of_union(arguments: tuple[Any, ...]) -> Packer:
    members = [argument for argument in arguments if argument is not NoneType]
    if len(members) == 1:
        pack, unpack = packer(members[0]).pack, packer(members[0]).unpack
        return Packer(
            pack=lambda value: None if value is None else pack(value),
            unpack=lambda packed: None if packed is None else unpack(packed),
        )
    classes = tuple(get_origin(member) or member for member in members)
    parts = [packer(member) for member in members]

    def pack_one(value: Any) -> Any:
        if value is None:
            return None
        # The very class first: an Enum of strings is a string too, and True is an int.
        place = classes.index(type(value)) if type(value) in classes else _place(value, classes)
        return [place, parts[place].pack(value)]

    def unpack_one(packed: Any) -> Any:
        return None if packed is None else parts[packed[0]].unpack(packed[1])

    return Packer(pack=pack_one, unpack=unpack_one)


def _place(value: object, classes: tuple[Any, ...]) -> int:
    """Which of *classes* (one of them may be Mapping) *value* is an instance of. Raises TypeError for none."""
    for place, cls in enumerate(classes):
        if isinstance(value, cls):
            return place
    raise TypeError(f"{type(value).__name__} is none of {classes}")
