"""Real browsers kept apart: as whom they run, in what, and what is left when nobody sees to them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserhost import cgroup
from browserhost.apart import Apart
from browserhost.paths import DataRoot as HostData
from tenure import processes
from tenure.names import ProfileName
from tenure.sandbox import Isolation
from tests.browserhost.fakes import ALICE
from tests.fixtures.chrome import DataRoot, Site, until
from tests.fixtures.rig import Rig, Running

ELSEWHERE = ProfileName("other", "alice")


@pytest.fixture
def apart(data_root: DataRoot) -> Iterator[Apart]:
    """What this machine allows on the test's own data."""
    data_root.path.chmod(0o711)
    found = Apart.found(
        "auto",
        HostData.at(data_root.path),
        "chromium",
        "Xvfb",
        tmp=data_root.tmp,
        ids=range(310_000, 370_000),
        groups="auto",
        host=f"h-{data_root.path.name}",
    )
    yield found
    if found.groups is not None:
        assert list(cgroup.groups(found.groups)) == []
        assert cgroup.end(found.groups)


@pytest.fixture
def rig(rig: Rig, apart: Apart) -> Rig:
    rig.apart = apart
    return rig


def status(pid: int) -> dict[str, list[str]]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


def family(running: Running, name: ProfileName) -> dict[str, list[int]]:
    """The processes of a browser by their command's name."""
    browser = running.host.profile(name).slot.browser
    assert browser is not None
    table = processes.table()
    keeper = next(each.parent for each in table if each.pid == browser.pid)
    found: dict[str, list[int]] = {}
    for each in processes.below(keeper, table):
        found.setdefault(each.name, []).append(each.pid)
    return found


async def test_each_tenant_has_a_user_of_its_own_and_chromes_sandbox_is_on(
    rig: Rig, apart: Apart, site: Site
) -> None:
    if apart.plan.isolation is not Isolation.USER_PER_TENANT:
        assert os.geteuid() != 0 or apart.plan.reason
        return
    async with rig.host() as running:
        await running.open(41, f"{site.url}/account")
        await running.open(42, f"{site.url}/account", name=ELSEWHERE)
        users = []
        for name in (ALICE, ELSEWHERE):
            found = family(running, name)
            pids = [*found["chromium"], *found["Xvfb"]]
            (uid,) = {word for pid in pids for word in status(pid)["Uid"]}
            users.append(int(uid))
            assert {tuple(status(pid)["Groups"]) for pid in pids} == {()}
            assert {status(pid)["NoNewPrivs"][0] for pid in pids} == {"1"}
            # Chrome's own sandbox: a renderer is in other namespaces, and under a system call filter.
            renderers = [
                pid
                for pid in found["chromium"]
                if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
            assert renderers
            for pid in renderers:
                assert len(status(pid)["NSpid"]) > 1
                assert status(pid)["Seccomp"] == ["2"]
            directory = rig.root.profile(name).profile_dir
            assert {each.lstat().st_uid for each in (directory, *directory.rglob("*"))} == {int(uid)}
            assert directory.stat().st_mode & 0o077 == 0
        assert len(set(users)) == 2
        assert 0 not in users
        for token, name in ((41, ALICE), (42, ELSEWHERE)):
            await running.host.profile(name).close_hold(token)
    # What proves who may use a profile stays the host's alone.
    custody = rig.root.profile(ALICE).custody_dir
    assert (custody.stat().st_uid, custody.stat().st_mode & 0o077) == (0, 0)


async def test_a_profile_of_before_becomes_its_tenants_and_its_login_is_there(
    rig: Rig, apart: Apart, site: Site
) -> None:
    rig.apart = None
    async with rig.host() as running:
        await running.open(41, f"{site.url}/account")
        await running.browser().mux.root.call(
            "Storage.setCookies",
            {"cookies": [{"name": "user", "value": "alice", "url": site.url, "expires": 4e9}]},
        )
        await running.close(41)
    rig.apart = apart
    async with rig.host() as running:
        await running.open(50, f"{site.url}/account")
        cookies = await running.browser().mux.root.call("Storage.getCookies")
        assert [each["value"] for each in cookies["cookies"]] == ["alice"]
        await running.close(50)


async def test_a_killed_keepers_group_is_ended_whole(rig: Rig, apart: Apart, site: Site) -> None:
    """Also what had left the browser's process group, its session and its parents."""
    async with rig.host() as running:
        await running.establish()
        await running.open(41, f"{site.url}/account")
        browser = running.browser()
        if apart.groups is not None:
            (group,) = cgroup.groups(apart.groups)
            assert browser.pid in cgroup.members(group)
        keeper = browser._tree.keeper_pid
        os.kill(keeper, signal.SIGKILL)
        await browser.ended
        if apart.groups is not None:
            assert list(cgroup.groups(apart.groups)) == []


async def test_a_hung_browser_is_ended_though_it_takes_no_signal_but_one(rig: Rig, site: Site) -> None:
    async with rig.host() as running:
        await running.establish()
        await running.open(41, f"{site.url}/account")
        browser = running.browser()
        os.kill(browser.pid, signal.SIGSTOP)
        browser.put_down("it hung")
        assert (await browser.ended).how.startswith("it hung, and was killed by SIGKILL")
        assert browser.ended.result().cause.value == "hung"
        await until(lambda: running.locks.suspects)
        assert running.locks.suspects == [(ALICE, 41, "BROWSER_LOST")]
