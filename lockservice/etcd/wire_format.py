"""Protobuf's wire format, as far as it takes to write etcd's Txns without an object for each part. Pure.

A field is its tag and then a number, or its length and then bytes; a message is its fields one after the
other (https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_NUMBER, _BYTES = 0, 2
_LENGTHS = frozenset({FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE})
_ONE_BYTE = {number: bytes((number,)) for number in range(128)}


def number(value: int) -> bytes:
    """A number: seven bits a byte, the lowest first. Raises KeyError for a negative one."""
    if value < 1 << 7:
        return _ONE_BYTE[value]
    if value < 1 << 14:
        return bytes((value & 127 | 128, value >> 7))
    if value < 1 << 21:
        return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14))
    return bytes((value & 127 | 128, value >> 7 & 127 | 128, value >> 14 & 127 | 128)) + number(value >> 21)


def sized(data: bytes) -> bytes:
    """Bytes, or a message, with the length before it."""
    return number(len(data)) + data


def tag(message: type[Message], name: str) -> bytes:
    """What stands before a field of a message: a number, bytes, or a message."""
    field = message.DESCRIPTOR.fields_by_name[name]
    return number(field.number << 3 | (_BYTES if field.type in _LENGTHS else _NUMBER))
