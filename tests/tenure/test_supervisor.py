from __future__ import annotations

import socket

import pytest

from tenure import supervisor
from tenure.supervisor import CannotStart, check_machine, check_port


def test_a_taken_port_is_named_with_the_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=rf"cannot have 127\.0\.0\.1:{port}: another .* --listen"):
            check_port(f"127.0.0.1:{port}")
    check_port(f"127.0.0.1:{port}")


@pytest.mark.parametrize("listen", ["7433", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999", ""])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(CannotStart, match="--listen"):
        check_port(listen)


def test_a_machine_without_etcd_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CannotStart, match=r"(?s)lacks etcd \(keeps holds.*etcd-server"):
        check_machine()
    monkeypatch.setattr(supervisor, "RUN_TIME_NEEDS", ())
    check_machine()
