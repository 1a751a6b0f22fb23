"""What is stored is small JSON with a schema version, readable with `etcdctl get`.

Fields that have their default are left out. A document of a newer schema is refused, never half understood: a
replica that rewrote it would lose what it did not know.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import types
import typing
from collections.abc import Hashable
from typing import Any, TypeVar, cast

VERSION = 1

T = TypeVar("T")


class Unreadable(Exception):
    """A stored document is not one that this version of Tenure wrote or understands."""


def encode(document: Any) -> bytes:
    """Return a dataclass as stored."""
    return json.dumps({"v": VERSION, **_plain(document)}, separators=(",", ":"), ensure_ascii=False).encode()


def decode(kind: type[T], data: bytes) -> T:
    """Return what was stored as `kind`. Raises Unreadable."""
    try:
        stored = json.loads(data)
        version = stored.pop("v")
        if version == VERSION:
            return _build(kind, stored)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"not a stored {kind.__name__}: {error}") from error
    raise Unreadable(f"a {kind.__name__} of schema {version}; this is schema {VERSION}: upgrade this replica")


def _plain(document: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for field in dataclasses.fields(document):
        value = getattr(document, field.name)
        if value == field.default:
            continue
        if dataclasses.is_dataclass(value):
            value = _plain(value)
        elif isinstance(value, enum.Enum):
            value = value.value
        plain[field.name] = value
    return plain


def _build(kind: type[T], stored: dict[str, Any]) -> T:
    values = {}
    for name, value in stored.items():
        nested = _fields(cast("Hashable", kind))[name]
        if value is not None and dataclasses.is_dataclass(nested):
            value = _build(nested, value)
        elif issubclass(nested, enum.Enum):
            value = nested(value)
        values[name] = value
    return kind(**values)


@functools.cache
def _fields(kind: Any) -> dict[str, type[Any]]:
    """The class of each field, without `| None`."""
    found = {}
    for name, hint in typing.get_type_hints(kind).items():
        if isinstance(hint, types.UnionType):
            hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        found[name] = typing.get_origin(hint) or hint
    return found
