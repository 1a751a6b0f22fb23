"""SOCKS as bytes."""

from __future__ import annotations

import pytest

from browserhost.egress import socks
from browserhost.egress.socks import Destination, Malformed


def test_a_greeting_is_read_whole_or_not_yet() -> None:
    assert [socks.greeting(b"\x05\x02\x00\x02"[:size]) for size in range(5)] == [None, None, None, None, 4]


@pytest.mark.parametrize(
    ("data", "answer"), [(b"GET / ", b""), (b"\x04\x01", b""), (b"\x05\x01\x02", b"\x05\xff")]
)
def test_what_is_no_greeting_is_hung_up_on(data: bytes, answer: bytes) -> None:
    with pytest.raises(Malformed) as malformed:
        socks.greeting(data)
    assert malformed.value.reply == answer


@pytest.mark.parametrize("host", ["127.0.0.1", "2001:db8::1", "a.example", "x" * 255])
def test_a_request_says_where_to(host: str) -> None:
    to = Destination(host, 443)
    data = socks.call5(to)
    assert socks.request(data + b"more") == (to, len(data))
    assert all(socks.request(data[:size]) is None for size in range(len(data)))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", socks.COMMAND),
        (b"\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", socks.COMMAND),
        (b"\x05\x01\x00\x09\x7f\x00\x00\x01\x00\x50", socks.KIND),
        (b"\x05\x01\x00\x03\x00\x00\x50", socks.HOST),
        (b"\x05\x01\x00\x03\x02a\n\x00\x50", socks.HOST),
        (b"\x05\x01\x00\x03\x02a\xff\x00\x50", socks.HOST),
    ],
)
def test_what_cannot_be_done_is_answered_so(data: bytes, code: int) -> None:
    with pytest.raises(Malformed) as malformed:
        socks.request(data)
    assert malformed.value.reply == socks.reply(code)


def test_an_upstreams_answers_are_read() -> None:
    assert socks.answer5(socks.reply(5)) == (5, 10)
    assert socks.answer5(b"\x05\x00\x00\x03\x01a\x00\x50") == (0, 8)
    assert socks.answer5(b"\x05\x00") is None
    assert socks.answer4(b"\0Z" + bytes(6)) == (socks.SUCCEEDED, 8)
    assert socks.answer4(b"\0[" + bytes(6)) == (socks.FAILED, 8)
    assert socks.answer4(b"\0Z") is None


def test_version_4_names_by_its_extension_and_knows_no_ipv6() -> None:
    assert socks.call4(Destination("10.0.0.1", 80)) == b"\x04\x01\x00\x50\x0a\x00\x00\x01\x00"
    assert socks.call4(Destination("a.example", 80)) == b"\x04\x01\x00\x50\x00\x00\x00\x01\x00a.example\x00"
    with pytest.raises(Malformed):
        socks.call4(Destination("::1", 80))
