"""Values: dataclasses that nobody changes once they are made.

The type checker sees to that. A dataclass that is `frozen` at run time too sets each field by a call, so that
one of a dozen fields takes five times as long to make, and every transition of a profile makes a dozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Make a class a value: compared, hashed and shown by its fields."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def named_value(cls: type[T]) -> type[T]:
    """Make a class a value whose fields are given by name only."""
    return dataclass(slots=True, unsafe_hash=True, kw_only=True)(cls)
