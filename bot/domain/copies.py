"""Changed copies of frozen values, in a fraction of the time that dataclasses.replace() takes.

What an event changes is copied a dozen times until it is folded, and an alert waits for that. The values with dozens of
fields (an incident, a situation) have no slots, so that all of them are copied at once: that takes a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

T = TypeVar("T")


def replace(value: T, **changes: Any) -> T:
    """*value* (of a frozen dataclass without ``__post_init__``) with *changes*; itself where it has them already.

    Most changes say what was said before. Raises TypeError for what is no field.
    """
    for name, new in changes.items():
        old = getattr(value, name, changes)
        # Equal is not enough: True equals 1, and a fold's value must be of the type that it was given.
        if old is not new and (type(old) is not type(new) or old != new):
            break
    else:
        return value
    cls: Any = type(value)
    names, copied = _way(cls)
    if not changes.keys() <= names:
        raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(changes.keys() - names))}")
    copy: T = copied(value, changes)
    return copy


Copied = Callable[[Any, dict[str, Any]], Any]


@cache
def _way(cls: Any) -> tuple[frozenset[str], Copied]:
    """The names of the fields of *cls*, and how its values are copied with changes."""
    if hasattr(cls, "__post_init__"):
        raise TypeError(f"{cls.__name__} works something out when it is made: copy it with dataclasses.replace()")
    names = [field.name for field in fields(cls)]
    return frozenset(names), _through_slots(cls, names) if hasattr(cls, "__slots__") else _at_once(cls)


def _at_once(cls: Any) -> Copied:
    new = cls.__new__

    def copied(value: Any, changes: dict[str, Any]) -> Any:
        copy = new(cls)
        copy.__dict__.update(value.__dict__, **changes)
        return copy

    return copied


def _through_slots(cls: Any, names: list[str]) -> Copied:
    """Each field through its slot."""
    new = cls.__new__
    read = attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)
    writes = [getattr(cls, name).__set__ for name in names]
    places = {name: place for place, name in enumerate(names)}

    def copied(value: Any, changes: dict[str, Any]) -> Any:
        values = [*read(value)]
        for name, changed in changes.items():
            values[places[name]] = changed
        copy = new(cls)
        for write, part in zip(writes, values, strict=True):
            write(copy, part)
        return copy

    return copied
