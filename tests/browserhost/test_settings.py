"""What the browser host may be told."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from browserhost.defaults import default_capacity
from browserhost.settings import BrowserHostSettings
from servicekit.settings import load

LONG = "/tmp/" + "x" * 60
TWO = {"miami__fl": "http://127.0.0.1:3128", "new york__ny": "socks5://h:1"}


def loaded(*flags: str, **environ: str) -> BrowserHostSettings:
    variables = {f"TENURE_{name.upper()}": value for name, value in environ.items()}
    return load(BrowserHostSettings, ["--lockservice=127.0.0.1:1", *flags], variables, "browserhost")


def test_the_defaults_fit_the_machine() -> None:
    settings = loaded()
    assert settings.capacity == default_capacity() >= 2
    assert settings.chrome_reuse == "enabled"
    assert settings.proxies == {}


def test_reuse_is_switched_off_by_one_variable() -> None:
    assert loaded(chrome_reuse="disabled").chrome_reuse == "disabled"


@pytest.mark.parametrize(
    "text",
    [
        "miami__fl=http://127.0.0.1:3128, New  York__NY=socks5://h:1",
        '{"miami__fl": "http://127.0.0.1:3128", "new york__ny": "socks5://h:1"}',
    ],
)
def test_proxies_are_read_as_pairs_or_as_json(text: str) -> None:
    assert loaded(f"--proxies={text}").proxies == TWO


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("miami__fl", "not scheme://host:port"),
        ("a__b=ftp://h:1", "not scheme://host:port"),
        ("a__b=http://h", "not scheme://host:port"),
        ("a__b=http://u:hunter2@h:1", "for a__b that has credentials in it"),
        ("a=http://h:1", "keys are {city}__{state}"),
        ("a__b=http://h:1,A__B=http://h:2", "each of them once"),
        ("{", "Expecting"),
    ],
)
def test_a_wrong_proxy_is_named_at_the_start(
    text: str, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        loaded(f"--proxies={text}")
    said = capsys.readouterr().err
    assert "--proxies" in said
    assert problem in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: no such file"),
        ("[", "is no TOML"),
        ('["a__b"]\nurl = "http://g:1"\npassword = "hunter2"', "password is not kept here"),
    ],
)
def test_a_proxies_file_that_is_none_is_named_at_the_start(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "proxies.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit):
        loaded(f"--proxies-file={path}")
    told = capsys.readouterr().err
    assert f"--proxies-file '{path}'" in told
    assert said in told
    assert "hunter2" not in told


def test_a_proxies_file_is_the_same_wherever_the_host_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proxies.toml").write_text('["a__b"]\nurl = "http://g:1"\n')
    monkeypatch.chdir(tmp_path)
    assert loaded("--proxies-file=proxies.toml").proxies_file == tmp_path / "proxies.toml"


@pytest.mark.parametrize("flag", ["--time-zone=Nowhere/Land", "--time-zone=../etc", "--languages=en_US"])
def test_a_zone_or_a_language_that_there_is_not_is_named_at_the_start(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        loaded(flag)
    assert flag.partition("=")[0] in capsys.readouterr().err


def test_a_folder_of_extensions_is_the_same_wherever_the_host_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shelf").mkdir()
    (tmp_path / "two,one").mkdir()
    monkeypatch.chdir(tmp_path)
    assert loaded("--extensions-dir=shelf").extensions_dir == tmp_path / "shelf"
    assert loaded().extensions_dir is None
    for wrong, said in (("none", "is no folder"), ("two,one", "has a comma")):
        with pytest.raises(SystemExit):
            loaded(f"--extensions-dir={wrong}")
        assert said in capsys.readouterr().err


def test_languages_are_read_as_a_list() -> None:
    settings = loaded("--languages=de-DE, de", "--time-zone=Europe/Berlin")
    assert (settings.languages, settings.time_zone) == (["de-DE", "de"], "Europe/Berlin")


def test_a_long_temporary_directory_of_the_machine_gives_way_to_a_short_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: LONG)
    assert loaded().tmp_root == Path("/tmp")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/var/tmp")
    assert loaded().tmp_root == Path("/var/tmp")


def test_a_temporary_directory_too_long_for_chrome_is_refused_at_the_start(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        loaded(f"--tmp-root={LONG}")
    assert "has 65 characters, and Chrome's sockets leave room for 56" in capsys.readouterr().err


def test_help_teaches_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        loaded("--help")
    said = capsys.readouterr().out
    for name in BrowserHostSettings.model_fields:
        assert f"--{name.replace('_', '-')}" in said
        assert f"TENURE_{name.upper()}" in said


def test_addresses_to_keep_browsers_from_are_read_and_names_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = loaded("--refuse=127.0.0.1:2379, [::1]:7433", private_networks="refuse")
    assert settings.refuse == ["127.0.0.1:2379", "[::1]:7433"]
    assert settings.private_networks == "refuse"
    assert (loaded().refuse, loaded().private_networks) == ([], "allow")
    with pytest.raises(SystemExit):
        loaded("--refuse=etcd.internal:2379")
    assert "has 'etcd.internal:2379', which is not address:port" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["prewarm", "keep_hands", "hand_over_in_tab", "look_ahead"])
def test_each_thing_that_saves_time_is_switched_off_by_one_variable(name: str) -> None:
    assert getattr(loaded(), name) == "enabled"
    assert getattr(loaded(**{name: "disabled"}), name) == "disabled"
