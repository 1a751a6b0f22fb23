"""Where credentials are kept, and that nothing shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from browserhost.chrome import LaunchSpec
from browserhost.egress.credentials import LONGEST, Credentials, Keeping, Secret, Unreadable
from browserhost.egress.upstream import Upstream

SECRET = "hunter2"


def test_a_secret_is_read_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\r\n")
    monkeypatch.setenv("GATE", SECRET)
    secrets = [Secret("file", str(path)), Secret("environment", "GATE"), Secret("text", SECRET)]
    assert [each.read() for each in secrets] == [SECRET] * 3
    path.write_text("other")
    monkeypatch.setenv("GATE", "other")
    assert [each.read() for each in secrets] == ["other", "other", SECRET]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file or directory"),
        (b"", "is missing"),
        (b"\n", "is missing"),
        (b"hunter2\nx", "control character"),
        (b"hunter2\xff", "is no text"),
        (b"hunter2" * LONGEST, f"longer than {LONGEST}"),
    ],
)
def test_what_is_no_secret_is_named_by_its_place_alone(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=said) as error:
        Secret("file", str(path)).read()
    assert str(path) in str(error.value)
    assert SECRET not in str(error.value)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(Unreadable, match=r"is missing \(environment NO_SUCH_GATE\)"):
        Secret("environment", "NO_SUCH_GATE").read()


def test_places_are_filled_in_the_user_and_the_password() -> None:
    keeping = Keeping(Secret("text", "a-{x}"), Secret("text", "{x}-b"), lambda text: text.replace("{x}", "y"))
    assert keeping.read() == Credentials("a-y", "y-b")


def test_basic_is_user_and_password_in_base64() -> None:
    assert Credentials("Aladdin", "open sesame").basic == "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_nothing_that_has_a_secret_shows_it(tmp_path: Path) -> None:
    keeping = Keeping(Secret("text", SECRET), Secret("text", SECRET))
    upstream = replace(Upstream.parse("http://127.0.0.1:8"), keeping=keeping)
    spec = LaunchSpec(tmp_path, 9, "", upstream, Path("/tmp"), "chromium", "Xvfb", True, 1280, 800)
    for each in (keeping, keeping.read(), keeping.user, upstream, spec):
        assert SECRET not in repr(each)
        assert SECRET not in str(each)
        assert SECRET not in f"{each}"
