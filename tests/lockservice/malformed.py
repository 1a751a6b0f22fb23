"""Requests that nobody should send, by the thousand, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

TEXTS = (
    *("", " ", "\0", "a\0b", "..", "../../etc/passwd", "/", "a/b", "%00", "алиса", "𐍈", "x" * 128, "x" * 129),
    *(
        "x" * 9_000,
        "fuzz",
        "fuzz:one",
        "tenants/-/profiles/fuzz",
        "tenants/canary/profiles/alice",
        "workers/",
    ),
    *(
        "tenants/canary/profiles/alice/incidents/1",
        "tenants//profiles/",
        "workers/canary",
        "hosts/../x",
        "-1",
    ),
    *(
        "{}",
        "1e999",
        "nan",
        "'; drop",
        "tenants/-/profiles/fuzz/incidents/9007199254740993",
        "\u202e",
        "\ufffe",
    ),
)
NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 315_576_000_001)
GARBAGE: tuple[tuple[str, str | bytes], ...] = (
    ("tenure-request-id", "x" * 2000),
    ("tenure-request-id", "../\x7f"[:3]),
    ("x-unheard-of", "y" * 3000),
    ("x-binary-bin", bytes(range(256))),
    ("authorization", "Bearer nothing"),
    ("grpc-previous-rpc-attempts", "-1"),
    ("content-encoding", "gzip"),
)
_OF_EACH = 20
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Malformed(NamedTuple):
    """One request: where to, the bytes of each message of it, what goes along."""

    method: str
    messages: tuple[bytes, ...]
    streams: bool
    """Answers come as a stream."""
    metadata: tuple[tuple[str, str | bytes], ...]
    timeout: float


def malformed(seed: int, count: int, files: Sequence[FileDescriptor]) -> Iterator[Malformed]:
    """Make `count` requests for the methods of these files."""
    methods = [m for f in files for service in f.services_by_name.values() for m in service.methods]
    maker = _Maker(random.Random(seed))
    for number in range(count):
        # Every method has its turn.
        yield maker.request(methods[number % len(methods)])


class _Maker:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        # Some of each kind, which then are damaged in ever new ways: making one costs more than sending it.
        self._made: dict[str, list[bytes]] = {}

    def request(self, method: MethodDescriptor) -> Malformed:
        chance = self._chance
        path = f"/{method.containing_service.full_name}/{method.name}"
        if chance.random() < 0.03:
            path = chance.choice([path + "s", "/x.Y/Z", path.lower(), "/" + path, "/a" * 2000])
        count = chance.choice([0, 1, 2, 3]) if method.client_streaming else 1
        metadata: list[tuple[str, str | bytes]] = list(chance.sample(GARBAGE, chance.choice([0, 0, 0, 1, 3])))
        messages = tuple(self._bytes(method.input_type) for _ in range(count))
        # At the edge of a deadline: before anything, in the middle of things, long after them.
        timeout = chance.choice([0.0001, 0.004, 0.03, *(1.0,) * 15, 1e7])
        return Malformed(path, messages, method.server_streaming, tuple(metadata), timeout)

    def _bytes(self, kind: Descriptor) -> bytes:
        chance = self._chance
        how = chance.random()
        if how < 0.2:
            return chance.randbytes(chance.choice([1, 2, 7, 50, 2000]))
        made = self._made.setdefault(kind.full_name, [])
        if len(made) < _OF_EACH:
            made.append(self._message(kind, 0).SerializeToString())
        message = bytearray(chance.choice(made))
        if how < 0.4 and message:
            for _ in range(chance.randint(1, 4)):
                message[chance.randrange(len(message))] = chance.randrange(256)
        elif how < 0.45 and len(message) > 1:
            del message[chance.randrange(1, len(message)) :]
        elif how < 0.5:
            # Field 1 as text that is no UTF-8: a lone surrogate.
            message += b"\x0a\x03\xed\xa0\x80"
        elif how < 0.502:
            message += b"\x0a\xff\xff\x3f" + bytes(2**20)
        return bytes(message)

    def _message(self, kind: Descriptor, depth: int) -> Message:
        message = GetMessageClass(kind)()
        for field in kind.fields:
            if self._chance.random() < (0.25 if depth else 0.1):
                continue
            self._fill(message, field, depth)
        return message

    def _fill(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        entry = field.message_type is not None and field.message_type.GetOptions().map_entry
        if entry:
            for _ in range(self._chance.choice([0, 1, 70])):
                getattr(message, field.name)[str(self._chance.random())] = self._text()[:200]
        elif field.is_repeated:
            few = depth < 2
            for _ in range(self._chance.choice([0, 1, 1, 2, 2, 2, 3, 3, 1100]) if few else 1):
                self._append(getattr(message, field.name), field, depth)
        elif field.message_type is not None:
            if depth < 4:
                getattr(message, field.name).CopyFrom(self._message(field.message_type, depth + 1))
        else:
            setattr(message, field.name, self._value(field))

    def _append(self, values: Any, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is None:
            values.append(self._value(field)[:200] if field.type == field.TYPE_STRING else self._value(field))
        elif len(values) > 3:
            # Many are all alike and small, so that making them costs little: they are there for their number.
            if values[0].ByteSize() < 1000:
                values.append(values[0])
        elif depth < 4:
            values.append(self._message(field.message_type, depth + 2))

    def _value(self, field: FieldDescriptor) -> Any:
        chance = self._chance
        if field.type == FieldDescriptor.TYPE_STRING:
            return self._text()
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.randbytes(chance.choice([0, 1, 100, 5_000]))
        if field.type == FieldDescriptor.TYPE_ENUM:
            return chance.choice([0, 1, 2, 3, 99, -1, 2**31 - 1])
        if field.type == FieldDescriptor.TYPE_BOOL:
            return chance.random() < 0.5
        if field.cpp_type in _INTEGERS:
            least, most = _INTEGERS[field.cpp_type]
            number = chance.choice([*NUMBERS, chance.getrandbits(40)])
            return min(max(number, least), most)
        return chance.choice([0.0, -1.0, float("nan"), float("inf"), 1e308, 5e-324])

    def _text(self) -> str:
        chance = self._chance
        if chance.random() < 0.2:
            return "".join(
                chr(chance.choice([33, 47, 95, 97, 0x3B1, 0x1F600])) for _ in range(chance.randint(1, 9))
            )
        return chance.choice(TEXTS)
