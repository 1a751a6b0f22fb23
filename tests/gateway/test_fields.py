from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import fields
from tenure.errors import InvalidField
from tenure.v1.hold_pb2 import RunResult
from tenure.v1.session_pb2 import Proxy


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080/",
        "https://example.org",
        "HTTP://EXAMPLE.ORG/x?y=http://z#w",
        "https://user:pass@example.org/",
        "http://[::1]:80/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_web_addresses_are_opened_as_sent(url: str) -> None:
    assert fields.start_url(url) == url


@pytest.mark.parametrize("url", ["", "about:blank", "About:Blank"])
def test_nothing_is_the_blank_page(url: str) -> None:
    assert fields.start_url(url) == "about:blank"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "chrome://settings",
        "chrome-extension://abc/x.html",
        "view-source:http://example.org",
        "javascript:alert(1)",
        "data:text/html,hi",
        "blob:http://example.org/1",
        "filesystem:http://example.org/x",
        "about:config",
        "about:blank#x",
        "ftp://example.org/",
        "ws://example.org/",
        "example.org",
        "//example.org",
        "http:example.org",
        "http:/example.org",
        "http://",
        "http:///path",
        "http://:80/",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://[::1/",
        " http://example.org/",
        "http://exa\tmple.org/",
        "java\nscript:alert(1)",
        "http://example.org/\x00",
        "http://example.org/" + "x" * 9000,
    ],
)
def test_every_other_address_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(InvalidField, match="start_url") as caught:
        fields.start_url(url)
    assert "send an http:// or https:// address, or about:blank" in str(caught.value)


def test_what_has_no_scheme_is_told_so() -> None:
    with pytest.raises(InvalidField, match="has no scheme"):
        fields.start_url("notaurl")
    with pytest.raises(InvalidField, match="has the scheme 'ftp', which is not opened"):
        fields.start_url("ftp://example.org/")


@given(st.text(max_size=40))
def test_an_address_is_the_web_or_blank_or_refused(text: str) -> None:
    try:
        allowed = fields.start_url(text)
    except InvalidField:
        return
    assert allowed == "about:blank" or allowed.lower().startswith(("http://", "https://"))


@pytest.mark.parametrize(
    ("proxy", "key"),
    [
        (Proxy(), ""),
        (Proxy(city="Miami", state="FL"), "miami__fl"),
        (Proxy(city="New York", state="ny"), "new york__ny"),
        (Proxy(city=" new \t York ", state="NY "), "new york__ny"),
        (Proxy(city="miami", state="fl", disabled=True), ""),
        (Proxy(city="a__b", state="..", disabled=True), ""),
    ],
)
def test_a_proxy_key_is_city_and_state_in_lower_case(proxy: Proxy, key: str) -> None:
    assert fields.proxy_key(proxy) == key


words = st.text("ab_. ", min_size=1, max_size=6)


@given(st.tuples(words, words), st.tuples(words, words))
def test_two_proxies_never_share_a_key(a: tuple[str, str], b: tuple[str, str]) -> None:
    try:
        keys = [fields.proxy_key(Proxy(city=city, state=state)) for city, state in (a, b)]
    except InvalidField:
        return
    same = [w.split() for w in a] == [w.split() for w in b]
    assert (keys[0] == keys[1]) == same


def test_an_unspecified_result_is_a_success_and_an_unknown_one_refused() -> None:
    assert fields.run_result(0) == RunResult.RUN_RESULT_SUCCEEDED
    assert fields.run_result(3) == RunResult.RUN_RESULT_NEEDS_REVIEW
    with pytest.raises(InvalidField, match="RUN_RESULT_NEEDS_REVIEW"):
        fields.run_result(99)


@given(st.text())
def test_a_page_token_leads_back_to_its_item(last: str) -> None:
    try:
        last.encode()
    except UnicodeEncodeError:
        return
    assert fields.page_after(fields.page_token(last)) == last
