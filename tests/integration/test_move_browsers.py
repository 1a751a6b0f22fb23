"""A profile that moves between two hosts with real browsers, each a process: its login goes with it, and a
host that slept through it serves nothing when it wakes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio

import tenure
from lockservice.etcd.client import Etcd
from tenure.client import Client
from tenure.errors import HostUnreachable, ProfileMissing, TenureError, from_rpc_error
from tenure.internal.v1.browser_host_service_pb2 import OpenBrowserRequest
from tenure.internal.v1.browser_host_service_pb2_grpc import BrowserHostServiceStub
from tenure.session import Session
from tests.fixtures.chrome import site_shown
from tests.fixtures.services import METADATA, Part, Services, services_in

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

SIGN_IN = """fetch('/sign-in', {method: 'POST', body: new URLSearchParams({user: 'alice'})})
    .then(answer => answer.text()).then(text => { localStorage.setItem('draft', 'kept'); return text })"""


@dataclass
class Scene:
    """Both hosts run, and are known by their names."""

    services: Services
    client: Client
    parts: dict[str, Part]
    url: str

    async def only(self, name: str) -> None:
        """Let new profiles go to this host alone."""
        for each in self.parts:
            await (self.client.uncordon(each) if each == name else self.client.cordon(each))

    async def home(self, profile: str) -> str:
        return (await self.client.explain(profile)).profile.home

    async def asked(self, name: str, profile: str, token: int) -> None:
        """Ask a host to open, whoever is at home where. Raises what it answers."""
        async with grpc.aio.insecure_channel(self.parts[name].address) as channel:
            request = OpenBrowserRequest(
                profile=profile, fencing_token=token, start_url=f"{self.url}/account"
            )
            try:
                await BrowserHostServiceStub(channel).OpenBrowser(request, timeout=30, metadata=METADATA)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("move")
    async with services_in(folder) as services, site_shown() as there:
        other = await services.another_host()
        parts = {}
        for part in (services.browserhost, other):
            minted = json.loads((Path(part.flags["data-root"]) / "host.json").read_text())
            parts[f"hosts/{minted['host']}"] = part
        async with tenure.connect(services.gateway) as client:
            yield Scene(services, client, parts, there.url)


async def evaluate(session: Session, script: str) -> str:
    """What a script in the session's page comes to."""
    page = await session.cdp()
    return str(await page.evaluate(script))


async def dead(scene: Scene, name: str) -> None:
    """End a frozen host's lease, as time does, and return once that is known."""
    async with Etcd([scene.services.etcd.endpoint]) as etcd:
        found = await etcd.kv.get(f"/tenure/h/{name.removeprefix('hosts/')}".encode(), 5.0)
        assert found is not None
        await etcd.leases.revoke(found.lease, 5.0)
    while name in [each.name for each in await scene.client.hosts()]:
        pass


async def test_a_login_moves_with_its_profile_and_the_old_home_serves_it_no_more(scene: Scene) -> None:
    home, other = scene.parts
    await scene.only(home)
    async with scene.client.open("alice", start_url=f"{scene.url}/account") as session:
        assert await scene.home("alice") == home
        assert "Hello alice" in await evaluate(session, SIGN_IN)
        first = session.fencing_token
    # That is how a machine is emptied: it takes nothing new, and what is at home there is moved.
    await scene.client.drain(home)
    await scene.client.uncordon(other)
    moved = await scene.client.move("alice", other, "the machine goes away")
    assert moved.home == other
    async with scene.client.open("alice", start_url=f"{scene.url}/account") as session:
        assert await scene.home("alice") == other
        assert session.fencing_token > first
        assert "Hello alice" in await evaluate(session, "document.body.innerText")
        assert await evaluate(session, "localStorage.getItem('draft')") == "kept"
        with pytest.raises(HostUnreachable):
            await scene.asked(home, moved.name, session.fencing_token)


async def test_a_host_that_slept_through_an_attested_move_serves_nothing_when_it_wakes(scene: Scene) -> None:
    other, home = scene.parts
    await scene.only(home)
    async with scene.client.open("bob", start_url=f"{scene.url}/account") as session:
        assert await scene.home("bob") == home
        old = session.fencing_token
    await scene.client.uncordon(other)
    scene.parts[home].freeze()
    try:
        await dead(scene, home)
        with pytest.raises(HostUnreachable):
            await scene.client.move("bob", other, "it does not answer")
        moved = await scene.client.move("bob", other, "it burnt down", attest_destroyed=True)
        with pytest.raises(ProfileMissing):
            async with scene.client.open("bob"):
                pass
    finally:
        scene.parts[home].thaw()
    found = (await scene.client.explain("bob")).profile
    assert found.home == other
    for token in (old, int(found.incident.rpartition("/")[2]), int(moved.etag)):
        with pytest.raises(TenureError):
            await scene.asked(home, moved.name, token)
