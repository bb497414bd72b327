"""A changed copy is what dataclasses.replace() would make, and the very same where nothing changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.copies import replace


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    number: int = 0
    text: str = ""
    many: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class WithoutSlots:
    number: int = 0
    text: str = ""
    many: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    number: int
    double: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "double", 2 * self.number)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(0, 2) | st.booleans(),
        "text": st.text(max_size=1),
        "many": st.just(frozenset({1})),
    },
)


@pytest.mark.parametrize("cls", [Value, WithoutSlots])
@given(st.integers(0, 2), CHANGES)
def test_a_copy_is_what_the_standard_library_makes(
    cls: type[Value] | type[WithoutSlots], number: int, changes: dict[str, Any]
) -> None:
    value = cls(number=number)
    before = dataclasses.asdict(value)
    copy, wanted = replace(value, **changes), dataclasses.replace(value, **changes)
    assert copy == wanted
    assert type(copy.number) is type(wanted.number)
    assert dataclasses.asdict(value) == before
    assert (copy is value) == all(getattr(value, k) == v and type(v) is not bool for k, v in changes.items())


@pytest.mark.parametrize("cls", [Value, WithoutSlots])
def test_what_is_no_field_is_refused(cls: type[Value] | type[WithoutSlots]) -> None:
    with pytest.raises(TypeError, match=f"{cls.__name__} has no field colour"):
        replace(cls(), colour="red")


def test_a_class_that_works_something_out_is_refused() -> None:
    with pytest.raises(TypeError, match=r"copy it with dataclasses\.replace"):
        replace(Derived(number=1), number=2)
