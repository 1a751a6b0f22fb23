"""Cutting Chrome's messages into address and body."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserhost.frames import parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
SESSION = st.text("0123456789ABCDEF", min_size=32, max_size=32)


def chromes(message: dict[str, object]) -> bytes:
    """As Chrome writes it: no blanks, the id first, the session last."""
    return json.dumps(message, separators=(",", ":")).encode()


def test_an_answer_of_a_session_is_cut_into_id_session_and_body() -> None:
    frame = parse(b'{"id":12,"result":{"a":1},"sessionId":"AB"}')
    assert (frame.id, frame.session, frame.body) == (12, "AB", b'"result":{"a":1}')
    assert frame.method == ""


def test_an_event_has_no_id_and_tells_its_method() -> None:
    frame = parse(b'{"method":"Page.loaded","params":{"t":1}}')
    assert (frame.id, frame.session, frame.method) == (None, "", "Page.loaded")
    assert frame.fields() == {"method": "Page.loaded", "params": {"t": 1}}


@pytest.mark.parametrize(
    "message",
    [
        b'{"id":1,"result":{"sessionId":"AB"}}',
        b'{"method":"m","params":{"x":",\\"sessionId\\":\\"AB\\"}"}}',
        b'{"method":"Target.attachedToTarget","params":{"sessionId":"AB"}}',
        b'{"method":"m","params":{"a":{},"sessionId":"AB","b":"c"}}',
        b'{"method":"m","sessionId":"A","b":"c"}',
        b'{"method":"m","sessionId":"A\\"}',
    ],
)
def test_a_session_named_inside_is_not_the_messages_own(message: bytes) -> None:
    frame = parse(message)
    assert frame.session == ""
    assert frame.addressed(frame.id, "") == message


@pytest.mark.parametrize(
    "message", [b'{"id":null,"error":{}}', b'{"id":-1,"result":{}}', b'{"id":5}', b'{"id":"5","result":{}}']
)
def test_what_has_no_number_for_an_id_is_passed_on_as_it_came(message: bytes) -> None:
    frame = parse(message)
    assert frame.id is None
    assert frame.addressed(None, "") == message


@given(number=st.none() | st.integers(0, 2**31), payload=JSON, session=st.just("") | SESSION)
def test_a_message_keeps_its_content_under_a_new_address(
    number: int | None, payload: object, session: str
) -> None:
    head: dict[str, object] = {"method": "A.b"} if number is None else {"id": number}
    tail = {"sessionId": session} if session else {}
    frame = parse(chromes({**head, "params": {"payload": payload}, **tail}))
    assert (frame.id, frame.session) == (number, session)
    moved = json.loads(frame.addressed(None if number is None else 7, "CD"))
    expected = {"method": "A.b"} if number is None else {"id": 7}
    assert moved == {**expected, "params": {"payload": payload}, "sessionId": "CD"}
