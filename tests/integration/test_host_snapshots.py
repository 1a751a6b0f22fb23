"""A real login lost and put back, and brought in from elsewhere; and a real browser as its profile says."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask

import tenure
from tenure.client import Client
from tenure.custody import InUse
from tenure.errors import BrowserOutdated, ConfigUnmet
from tenure.session import Session
from tenure.userdata import unpacked
from tenure.v1 import hold_pb2, profile_pb2
from tenure.v1.profile_service_pb2 import UpdateProfileRequest
from tests.fixtures.chrome import site_shown
from tests.fixtures.extensions import unpack
from tests.fixtures.faults import system_in
from tests.fixtures.system import RunningSystem

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

SIGN_IN = """fetch('/sign-in', {method: 'POST', body: new URLSearchParams({user: 'alice'})})
    .then(answer => answer.text()).then(text => { localStorage.setItem('draft', 'kept'); return text })"""

# What an extension does comes when it comes; where there is none, a second is long enough for it.
MARKS = """new Promise(answer => {
    const told = name => document.documentElement.getAttribute(name);
    const read = () => [told('data-extension'), told('data-pages')];
    const [start, many] = [Date.now(), read()[0] ? 30000 : 1000];
    const look = () => read()[1] || Date.now() - start > many ? answer(read()) : setTimeout(look, 20);
    look();
})"""


@dataclass
class Scene:
    """A system with a client, and a site to sign in to."""

    system: RunningSystem
    client: Client
    url: str
    shelf: Path

    def place(self, profile: str) -> Path:
        [place] = self.system.data_root.rglob(f"tenants/default/chrome-profile/{profile}")
        return place

    async def switch(self, profile: str, state: hold_pb2.ProfileState.ValueType) -> None:
        wanted = (await self.client.explain(profile)).profile
        wanted.state = state
        request = UpdateProfileRequest(profile=wanted, update_mask=FieldMask(paths=["state"]))
        await self.client._profiles.UpdateProfile(request, timeout=30)

    async def greeted(self, profile: str) -> tuple[str, str]:
        """What the site says to whoever opens the profile, and what it had stored in it."""
        async with self.client.open(profile, start_url=f"{self.url}/account") as session:
            text = await evaluate(session, "document.body.innerText")
            return text, await evaluate(session, "localStorage.getItem('draft')")

    async def configure(self, profile: str, config: profile_pb2.BrowserConfig) -> None:
        await self.client.configure((await self.client.explain(profile)).profile, browser=config)

    async def marked(self, profile: str) -> list[str | None]:
        """Which extension marked the page, and what it counted in its storage until now."""
        async with self.client.open(profile, start_url=f"{self.url}/account") as session:
            page = await session.cdp()
            return list(await page.evaluate(MARKS))


async def evaluate(session: Session, script: str) -> str:
    page = await session.cdp()
    return str(await page.evaluate(script))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("snapshots") / "tenure"
    shelf = tmp_path_factory.mktemp("extensions")
    shelf.chmod(0o755)
    with pytest.MonkeyPatch.context() as env:
        env.setenv("TENURE_EXTENSIONS_DIR", str(shelf))
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(system_in(folder))
            site = await stack.enter_async_context(site_shown())
            client = await stack.enter_async_context(tenure.connect(system.gateway))
            async with client.open("alice", start_url=f"{site.url}/account") as session:
                assert "Hello alice" in await evaluate(session, SIGN_IN)
            yield Scene(system, client, site.url, shelf)


async def test_a_login_comes_back_after_its_directory_was_lost(scene: Scene) -> None:
    taken = await scene.client.take_snapshot("alice", "signed in")
    assert taken.cookies >= 1
    assert taken.stored_bytes < taken.size_bytes
    await scene.switch("alice", hold_pb2.PROFILE_STATE_DISABLED)
    shutil.rmtree(scene.place("alice"))
    restored = await scene.client.restore("alice", taken.name, "the directory is gone")
    assert restored.put_aside == ""
    await scene.switch("alice", hold_pb2.PROFILE_STATE_AVAILABLE)
    text, draft = await scene.greeted("alice")
    assert "Hello alice" in text
    assert draft == "kept"


async def test_a_chrome_that_is_older_than_the_login_is_not_started_on_it(scene: Scene) -> None:
    taken = await scene.client.take_snapshot("alice", "to close its browser")
    wrote = scene.place("alice") / "Last Version"
    assert wrote.read_text() == taken.chrome_version
    wrote.write_text("999.0.0.1")
    with pytest.raises(BrowserOutdated) as refused:
        await scene.greeted("alice")
    assert refused.value.version == taken.chrome_version
    wrote.write_text(taken.chrome_version)
    assert "Hello alice" in (await scene.greeted("alice"))[0]


async def test_an_imported_login_is_signed_in(scene: Scene) -> None:
    with pytest.raises(InUse):
        await scene.client.import_profile("bob", scene.place("alice"), "its browser is warm")
    await scene.client.take_snapshot("alice", "to close its browser")
    before = await scene.client.import_profile("bob", scene.place("alice"), "as if from a desktop")
    assert before.cookies >= 1
    assert before.unreadable_cookies == 0
    assert before.snapshot.cause == profile_pb2.SNAPSHOT_CAUSE_IMPORTED
    text, draft = await scene.greeted("bob")
    assert "Hello alice" in text
    assert draft == "kept"


async def test_a_browser_looks_as_its_profile_says(scene: Scene) -> None:
    config = profile_pb2.BrowserConfig(
        viewport_width=1024, viewport_height=700, locale="de-CH", time_zone="Asia/Kolkata"
    )
    await scene.client.configure((await scene.client.explain("alice")).profile, browser=config)
    async with scene.client.open("alice", start_url=f"{scene.url}/account") as session:
        assert not session.reused_session
        assert await evaluate(session, "navigator.languages.join()") == "de-CH,de"
        assert await evaluate(session, "Intl.DateTimeFormat().resolvedOptions().timeZone") in (
            "Asia/Kolkata",
            "Asia/Calcutta",
        )
        # The window fills its display, but for a pixel that Chrome keeps.
        assert await evaluate(session, "`${screen.width} ${screen.height}`") == "1024 700"
        assert int(await evaluate(session, "outerWidth")) in (1023, 1024)
        # The login is the account's, however its browser looks.
        assert "Hello alice" in await evaluate(session, "document.body.innerText")


async def test_a_browser_has_the_extensions_of_its_profile_and_their_storage_stays(scene: Scene) -> None:
    folder = unpack(scene.shelf / "marks")
    here = unpacked.read(folder)
    wanted = profile_pb2.BrowserExtension(name="marks", sha256=here.digest)
    await scene.configure("alice", profile_pb2.BrowserConfig(extensions=[wanted]))
    assert await scene.marked("alice") == [here.id, "1"]
    # A folder that is another now is not loaded, nor is a browser started without it.
    await scene.configure("alice", profile_pb2.BrowserConfig())
    assert await scene.marked("alice") == [None, None]
    (folder / "more.js").touch(0o644)
    await scene.configure("alice", profile_pb2.BrowserConfig(extensions=[wanted]))
    with pytest.raises(ConfigUnmet) as refused:
        await scene.marked("alice")
    assert "the extension marks" in refused.value.lacking
    (folder / "more.js").unlink()
    assert await scene.marked("alice") == [here.id, "2"]
