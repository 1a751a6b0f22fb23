"""A client's message, read and kept as written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from browserhost import calls
from tests.browserhost.test_frames import JSON

PAD = "x" * 5000
"""Long enough for the parameters not to be written anew."""
NAMES = st.text(max_size=6).filter(lambda name: name not in {"id", "method", "params", "sessionId"})


def test_a_short_call_is_read() -> None:
    call = calls.parse(b'{"id":7,"method":"Page.enable","params":{"a":[1]},"sessionId":"S"}')
    assert call == calls.Call(7, "Page.enable", {"a": [1]}, "S", b'{"a":[1]}')


@pytest.mark.parametrize("pad", ["", PAD])
@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '"id"',
        "{}",
        '{"id":1,"method":"m"} x',
        '{"id":1,"method":"m"}{"id":2,"method":"m"}',
        '{"id":1,"method":"m",}',
        '{"id":1 "method":"m"}',
        '{"id":"1","method":"m"}',
        '{"id":1}',
        '{"id":1,"method":1}',
        '{"id":1,"method":"m","params":1}',
        '{"id":1,"method":"m","params":[1]}',
        '{"id":1,"method":"m","sessionId":1}',
        '{"id":1,"method":"m","params":{}/* */}',
        '{"id":1,"method":"m","params":{"a":"\0"}}',
        '{"id":1,"method":"m"\0}',
        '{"id":1,"method":"m","params":{"x":NaN}}',
        '{"id":1,"method":"m","params":{"x":[-Infinity]}}',
        '{"id":1,"method":"m","params":{"x":1e999}}',
        '{"id":1,"method":"m","params":{"x":' + "1" * 400 + "}}",
        '{"id":1,"method":"m","params":{"x":' + "1" * 400 + ".5}}",
        '{"id":1,"method":"m","params":{"x":' + "[" * 299 + "]" * 299 + "}}",
        '{"id":1,"method":"m","params":{"x":' + '[0,{"a":' * 150 + "1" + "}]" * 150 + "}}",
        '{"id":1,"method":"m","params":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
    ],
)
def test_what_is_no_call_is_none(text: str, pad: str) -> None:
    assert calls.parse(text + " " * len(pad)) is None


@pytest.mark.parametrize("pad", ["", PAD])
def test_what_chrome_reads_is_a_call_however_deep_it_looks(pad: str) -> None:
    for value in ("[" * 298 + "]" * 298, json.dumps("{[" * 500), "[" + "[]," * 500 + "1e308]"):
        call = calls.parse(f'{{"id":1,"method":"m","params":{{"x":{value},"pad":"{pad}"}}}}')
        assert call is not None
        assert json.loads(bytes(call.written))["x"] == json.loads(value)


@pytest.mark.parametrize("pad", ["", PAD])
@pytest.mark.parametrize("deep", ["[" * 299 + "]" * 299, '{"a":' * 299 + "1" + "}" * 299])
def test_what_is_too_deep_for_chrome_is_not_sent_where_it_does_not_count(deep: str, pad: str) -> None:
    """Chrome would refuse the whole, without saying whose it was."""
    call = calls.parse(f'{{"id":1,"method":"m","params":{{"x":{deep},"pad":"{pad}","x":1}}}}')
    assert call is not None
    assert json.loads(bytes(call.written)) == {"x": 1, "pad": pad}
    assert bytes(call.written).count(b'"x"') == 1


@pytest.mark.parametrize("message", [b"\xff", b"", b'{"id":1,"method":"\xff"}'])
def test_what_is_no_text_is_none(message: bytes) -> None:
    assert calls.parse(message) is None


@given(payload=JSON, others=st.dictionaries(NAMES, JSON, max_size=2), data=st.data(), long=st.booleans())
def test_what_is_passed_on_says_what_was_sent(
    payload: object, others: dict[str, object], data: st.DataObject, long: bool
) -> None:
    params = {"payload": payload, "pad": PAD if long else ""}
    members = [("id", 3), ("method", "A.b"), ("params", params), ("sessionId", "S"), *others.items()]
    message = dict(data.draw(st.permutations(members)))
    indent = data.draw(st.none() | st.integers(0, 2))
    escaped = data.draw(st.booleans())
    call = calls.parse(
        json.dumps(message, indent=indent, ensure_ascii=escaped).encode(errors="surrogatepass")
    )
    if call is None:  # a lone surrogate as bytes is no text
        assert not escaped
        return
    assert (call.id, call.method, call.params, call.session) == (3, "A.b", params, "S")
    assert json.loads(bytes(call.written)) == params


def test_a_large_call_is_passed_on_as_it_was_written() -> None:
    written = '{ "text" : "' + "é\\u00e9" * 3000 + '" , "n":1e0}'
    call = calls.parse(f'{{"method":"Input.insertText", "params" : {written} ,"id":1}}')
    assert call is not None
    assert call.written == written.encode()
    assert call.params["n"] == 1


def test_of_a_name_that_is_there_twice_the_last_one_is_judged_and_sent() -> None:
    for pad in ("", PAD):
        text = f'{{"id":1,"method":"A.a","params":{{"x":1}},"method":"B.b","params":{{"x":2,"pad":"{pad}"}}}}'
        call = calls.parse(text)
        assert call is not None
        assert call.method == "B.b"
        assert json.loads(bytes(call.written))["x"] == 2


@pytest.mark.parametrize(
    "name", ["Page.enable", "", "Page.é", 'Page.x","params":{"a":1},"b":"', "Page.\\", "Page.\n"]
)
def test_a_name_is_written_as_json_whatever_is_in_it(name: str) -> None:
    assert json.loads(calls.quoted(name)) == name
