import pytest
from pydantic import Field

from servicekit.settings import Address, ServiceSettings, load


class Sample(ServiceSettings):
    """A sample service."""

    peer: Address = Field(description="where the peer is", examples=["127.0.0.1:7000"])
    room: int = Field(4, ge=1, description="how many fit", examples=["8"])


def read(argv: list[str], environ: dict[str, str] | None = None) -> Sample:
    return load(Sample, argv, environ or {}, program="sample")


def test_a_flag_wins_over_its_variable_which_wins_over_the_default() -> None:
    environ = {"TENURE_PEER": "127.0.0.1:1", "TENURE_ROOM": "5"}
    settings = read(["--room", "6"], environ)
    assert (settings.peer, settings.room, settings.grace_s) == ("127.0.0.1:1", 6, 5.0)


def test_an_empty_variable_counts_as_unset() -> None:
    assert read(["--peer", "127.0.0.1:1"], {"TENURE_ROOM": ""}).room == 4


def test_all_problems_are_told_together_with_value_and_remedy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read(["--room", "none"], {"TENURE_GRACE_S": "-1", "TENURE_LISTEN": "nowhere"})
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert "wrong settings: 4" in said
    assert "--room 'none': " in said
    assert "for example --room 8" in said
    assert "TENURE_GRACE_S '-1': " in said
    assert "TENURE_LISTEN 'nowhere': is not host:port" in said
    assert "TENURE_PEER: Field required (where the peer is" in said


@pytest.mark.parametrize("value", ["http://u:hunter2@h", "x=http://u:hunter2/a@h:1,y=http://h"])
def test_a_value_with_credentials_in_it_is_told_without_them(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        read(["--peer", "127.0.0.1:1", "--room", value])
    said = capsys.readouterr().err
    assert "--room" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:7433", "[::1]:7433", "127.8.8.8:1"])
def test_loopback_addresses_may_be_served_without_credentials(listen: str) -> None:
    assert read(["--peer", "a:1", "--listen", listen]).listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:7433", "[::]:1", "192.168.1.5:1", "example.org:1"])
def test_any_other_address_is_refused_without_credentials(
    listen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read(["--peer", "a:1", "--listen", listen])
    assert exit_.value.code == 2
    assert "no credentials are configured" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["7433", ":7433", "host:", "host:99999", "host:x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(SystemExit):
        read(["--peer", address])


def test_help_teaches_every_flag_with_its_default_and_variable(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read(["--help"])
    assert exit_.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "A sample service." in said
    assert "how many fit (default: 4; TENURE_ROOM)" in said
    assert "where the peer is (required; TENURE_PEER)" in said


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(SystemExit) as exit_:
        read(["--peer", "a:1", "--rom", "3"])
    assert exit_.value.code == 2
