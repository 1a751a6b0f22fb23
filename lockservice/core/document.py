"""What is stored is small JSON with a schema version, readable with `etcdctl get`.

Fields that have their default are left out. A document of a newer schema, or with a field that is not known,
is refused, never half understood: a replica that rewrote it would lose what it did not know. Unless the
field's name ends in `?`: then whoever wrote it said that it may be lost.

Replicas of a version and of the one before it run side by side, so a version writes nothing that the one
before it refuses. A new field that may be lost is written at once, as `name?`. Any other is left at its
default until the version after, and what changes in meaning takes a new VERSION in the same two steps: first
it is read, one version later written. A new document under a key of its own needs none of this.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import json
import operator
import types
import typing
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any, NamedTuple, TypeVar

VERSION = 1
# `field(default=…, metadata=MAY_BE_LOST)`: an older replica that rewrites the document drops it.
MAY_BE_LOST = {"may_be_lost": True}

T = TypeVar("T")


class Unreadable(Exception):
    """A stored document is not one that this version of Tenure wrote or understands."""


def encode(document: Any) -> bytes:
    """Return a frozen dataclass as stored."""
    data = f'{{"v":{VERSION}{_written(document)}}}'.encode()
    _made.remember(data, document)
    return data


def remember(data: bytes, document: Any) -> None:
    """Note how a document is stored that was not written here: it will be read in a moment."""
    _made.remember(data, document)


def decode(kind: type[T], data: bytes) -> T:
    """Return what was stored as `kind`. Raises Unreadable."""
    if isinstance(made := _made.find(data), kind):
        return made
    try:
        stored = json.loads(data)
        version = stored.pop("v")
        if version == VERSION:
            built: T = _build(kind, stored)
            return built
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"not a stored {kind.__name__}: {error}") from error
    raise Unreadable(f"{kind.__name__} of schema {version}; this is schema {VERSION}: upgrade this replica")


class _Made:
    """What was encoded last, the last few thousand: what a replica writes it reads again in a moment, in its
    own mirror and as its next guess.
    """

    def __init__(self, most: int = 4096) -> None:
        self._most = most
        self._last: dict[bytes, Any] = {}
        self._before: dict[bytes, Any] = {}

    def remember(self, data: bytes, document: Any) -> None:
        if len(self._last) >= self._most:
            self._before, self._last = self._last, {}
        self._last[data] = document

    def find(self, data: bytes) -> Any:
        return self._last.get(data) or self._before.get(data)


_made = _Made()


# --- every transition writes a record, so what a class looks like is found out once ----


class _Shape(NamedTuple):
    """Of a dataclass: all its values at once; each field's name, as it is written, with its default; and by
    that name, the field's own and how to read what JSON has no type for.
    """

    values: Callable[[Any], tuple[Any, ...]]
    fields: tuple[tuple[str, Any], ...]
    readers: dict[str, tuple[str, Callable[[Any], Any] | None]]


@functools.cache
def _shape(kind: Any) -> _Shape:
    fields = dataclasses.fields(kind)
    first, *more = (field.name for field in fields)
    values = operator.attrgetter(first, *more) if more else lambda document: (getattr(document, first),)
    hints = typing.get_type_hints(kind)
    return _Shape(
        values=values,
        fields=tuple((f',"{_key(field)}":', field.default) for field in fields),
        readers={_key(field): (field.name, _reader(hints[field.name])) for field in fields},
    )


def _key(field: dataclasses.Field[Any]) -> str:
    return field.name + "?" if field.metadata.get("may_be_lost") else field.name


def _reader(hint: Any) -> Callable[[Any], Any] | None:
    if isinstance(hint, types.UnionType):
        hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
    kind = typing.get_origin(hint) or hint
    if dataclasses.is_dataclass(kind):
        return functools.partial(_build, kind)
    if issubclass(kind, enum.Enum):
        return {member.value: member for member in kind}.__getitem__
    return None


def _written(document: Any) -> str:
    """The fields that have not their default, with a comma before each."""
    kind: Any = type(document)
    shape = _shape(kind)
    return "".join(
        [
            name + _json(value)
            for (name, default), value in zip(shape.fields, shape.values(document), strict=True)
            if value is not default and value != default
        ]
    )


def _json(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int:
        return str(value)
    if isinstance(value, enum.Enum):
        return encode_basestring(value.value)
    if dataclasses.is_dataclass(value):
        return f"{{{_written(value)[1:]}}}"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _build(kind: Any, stored: dict[str, Any]) -> Any:
    readers = _shape(kind).readers
    values = {}
    for key, value in stored.items():
        if key not in readers and key.endswith("?"):
            continue
        name, read = readers[key]
        values[name] = value if read is None or value is None else read(value)
    return kind(**values)
