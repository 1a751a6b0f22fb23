"""Three members, of which one is killed or frozen; and TLS."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import grpc.aio
import pytest

from lockservice.etcd import txn as t
from lockservice.etcd.client import Etcd
from lockservice.etcd.connection import PATIENCE_S, Connection, Tls
from lockservice.etcd.errors import EtcdError, OutcomeUnknown, Rejected
from lockservice.etcd.watch import Changes, Resumed
from tests.fixtures.etcd import Cluster, Member, raft_index
from tests.fixtures.ports import free_port

# Long enough to say something of a member; pings tell that one is frozen after 2 s at the earliest.
ATTEMPT_S = PATIENCE_S + 0.2


async def persist(client: Etcd, key: bytes, value: bytes) -> None:
    """Write once, however often it must be sent: create-once is guarded, so the identical Txn may be
    repeated.
    """
    while True:
        try:
            await client.kv.txn(t.txn([t.absent(key)], [t.put(key, value)]), ATTEMPT_S)
        except OutcomeUnknown:
            continue
        except Rejected:
            # The others elect a leader, which a read waits for.
            await client.kv.get(key, 10.0)
            continue
        return


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The endpoints that a connection left for the next one, not waiting until pings tell."""
    endpoints: list[str] = []
    leave = Connection.leave

    def noted(self: Connection, channel: grpc.aio.Channel) -> None:
        first = self._endpoints[0]
        leave(self, channel)
        if self._endpoints[0] != first:
            endpoints.append(first)

    monkeypatch.setattr(Connection, "leave", noted)
    return endpoints


@pytest.mark.parametrize("violence", ["freeze", "kill"])
async def test_a_member_that_stops_answering_is_left_for_another(
    etcd_cluster: Cluster, left: list[str], violence: str
) -> None:
    async with Etcd(etcd_cluster.endpoints) as client:
        watch = aiter(client.watch(t.prefix(b"a")))
        while not isinstance(await anext(watch), Resumed):
            pass
        lease = await client.leases.grant(60, 30.0)
        await persist(client, b"a0", b"")
        # The one that is connected to: it may not be the first any more, where there was no leader at first.
        first = client.connection._endpoints[0]
        victim = next(member for member in etcd_cluster.members if member.endpoint == first)
        left.clear()
        victim.freeze() if violence == "freeze" else victim.kill()
        async with asyncio.timeout(60):
            await persist(client, b"a1", b"after")
        if violence == "freeze":
            # From one that is killed gRPC goes on by itself.
            assert first in left
        assert (await client.leases.keep_alive(lease.id, 40.0)).ttl == 60
        seen: list[bytes] = []
        while b"a1" not in seen:
            item = await anext(watch)
            if isinstance(item, Changes):
                seen += [e.kv.key for e in item.events]
        assert seen == [b"a0", b"a1"]
        if violence == "freeze":
            victim.thaw()
        await watch.aclose()


async def test_the_first_endpoints_may_be_dead_from_the_start(etcd_member: Member) -> None:
    async with Etcd([f"127.0.0.1:{free_port()}", etcd_member.endpoint]) as client:
        assert (await raft_index(client)).revision >= 1


def openssl(directory: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """ca, server and client certificates made for the test."""
    openssl(
        tmp_path,
        *["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
        *["-days", "2", "-subj", "/CN=ca"],
        *["-keyout", "ca.key", "-out", "ca.pem"],
    )
    for name in ("server", "client"):
        (tmp_path / f"{name}.ext").write_text("subjectAltName=DNS:etcd.test,IP:127.0.0.1\n")
        openssl(
            tmp_path,
            *["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
            *f"-subj /CN={name} -keyout {name}.key -out {name}.csr".split(),
        )
        openssl(
            tmp_path,
            *f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2".split(),
            *f"-extfile {name}.ext -out {name}.pem".split(),
        )
    return tmp_path


async def test_tls_with_client_certificates(certificates: Path) -> None:
    at = certificates
    member = Member(
        at,
        extra=(
            *(f"--cert-file={at}/server.pem", f"--key-file={at}/server.key"),
            *("--client-cert-auth", f"--trusted-ca-file={at}/ca.pem"),
        ),
    )
    member.start()
    try:
        member.wait_ready()
        tls = Tls(at / "ca.pem", at / "client.pem", at / "client.key")
        async with Etcd([member.endpoint], tls) as client:
            assert (await raft_index(client)).revision
        named = Tls(at / "ca.pem", at / "client.pem", at / "client.key", server_name="etcd.test")
        async with Etcd([member.endpoint], named) as client:
            assert (await raft_index(client)).revision
        for refused in (
            Tls(at / "ca.pem"),
            Tls(at / "client.pem", at / "client.pem", at / "client.key"),
            Tls(at / "ca.pem", at / "client.pem", at / "client.key", server_name="other.test"),
        ):
            async with Etcd([member.endpoint], refused) as client:
                with pytest.raises(EtcdError):
                    await client.kv.txn(t.txn([], [t.delete(b"absent")]), 1.0)
    finally:
        member.kill()
