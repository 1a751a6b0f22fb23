"""How a profile's browser looks and its labels, through a replica: stored, read, told to whoever opens it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from tenure import errors
from tenure.internal.v1.lock_service_pb2 import AcquireForSessionRequest, LocateProfileRequest
from tenure.v1.hold_service_pb2 import AcquireHoldRequest
from tenure.v1.profile_pb2 import BrowserConfig, BrowserExtension, Profile
from tenure.v1.profile_service_pb2 import GetProfileRequest, ListProfilesRequest, UpdateProfileRequest
from tests.fixtures.etcd import Store
from tests.lockservice.replicas import Running, running

CONFIG = BrowserConfig(
    viewport_width=1024,
    viewport_height=768,
    locale="de-CH",
    time_zone="Europe/Zurich",
    accept_languages="de-CH, de",
    extensions=[
        BrowserExtension(name="z.0", sha256="0" * 64),
        BrowserExtension(name="a_b-c", sha256="f" * 64),
    ],
)


async def read(here: Running) -> Profile:
    found: Profile = (await here.call(here.profiles.GetProfile, GetProfileRequest(profile="alice"))).profile
    return found


async def update(here: Running, *paths: str, **fields: Any) -> Profile:
    profile = Profile(name="alice", etag=(await read(here)).etag, **fields)
    request = UpdateProfileRequest(profile=profile, update_mask=FieldMask(paths=paths))
    changed: Profile = (await here.call(here.profiles.UpdateProfile, request)).profile
    return changed


async def acquired(here: Running) -> Any:
    request = AcquireForSessionRequest(
        acquire=AcquireHoldRequest(profile="alice", worker=await here.worker()), home_hint="hosts/h1"
    )
    return await here.call(here.lock.AcquireForSession, request)


async def test_it_is_told_to_whoever_opens_the_profile_and_outlives_replicas(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as here:
        first = await acquired(here)
        assert (first.HasField("config"), first.config_generation) == (False, 0)
        # Nothing of the record changes, so the hold goes on, with its token.
        changed = await update(here, "browser_config", "labels", browser_config=CONFIG, labels={"team": "a"})
        assert changed.hold.fencing_token == first.hold.fencing_token
        assert changed.browser_config.accept_languages == "de-CH,de"
        assert dict(changed.labels) == {"team": "a"}
        assert await read(here) == changed
    async with running(etcd.endpoints, etcd.prefix) as here:
        located = await here.call(here.lock.LocateProfile, LocateProfileRequest(profile="alice"))
        assert located.config.time_zone == "Europe/Zurich"
        assert [each.name for each in located.config.extensions] == ["z.0", "a_b-c"]
        assert located.config_generation
        [listed] = (await here.call(here.profiles.ListProfiles, ListProfilesRequest())).profiles
        assert listed.browser_config == located.config
        # Labels alone exchange no browser; another look does, and none is none.
        await update(here, "labels", labels={})
        again = await here.call(here.lock.LocateProfile, LocateProfileRequest(profile="alice"))
        assert again.config_generation == located.config_generation
        plain = await update(here, "browser_config")
        assert not plain.HasField("browser_config")
        cleared = await here.call(here.lock.LocateProfile, LocateProfileRequest(profile="alice"))
        assert (cleared.HasField("config"), cleared.config_generation) == (False, 0)


async def test_what_another_replica_was_told_is_told_here(etcd: Store) -> None:
    async with (
        running(etcd.endpoints, etcd.prefix) as here,
        running(etcd.endpoints, etcd.prefix) as there,
    ):
        await acquired(here)
        await update(here, "browser_config", browser_config=CONFIG)
        assert (await read(there)).browser_config.locale == "de-CH"


def installed(*extensions: tuple[str, str]) -> BrowserConfig:
    return BrowserConfig(
        extensions=[BrowserExtension(name=name, sha256=digest) for name, digest in extensions]
    )


REFUSED = {
    "too narrow": BrowserConfig(viewport_width=10),
    "negative": BrowserConfig(viewport_height=-1),
    "no locale": BrowserConfig(locale="--no-sandbox"),
    "no zone": BrowserConfig(time_zone="../../etc/passwd"),
    "no languages": BrowserConfig(accept_languages="de,,en"),
    "many languages": BrowserConfig(accept_languages=",".join(["de"] * 11)),
    "an extension that is a path": installed(("../a", "0" * 64)),
    "an extension of no name": installed(("", "0" * 64)),
    "two paths": installed(("a,b", "0" * 64)),
    "no digest": installed(("a", "0" * 63)),
    "no hex": installed(("a", "g" * 64)),
    "twice": installed(("a", "0" * 64), ("a", "1" * 64)),
    "many extensions": installed(*((f"a{number}", "0" * 64) for number in range(21))),
}


async def test_what_no_browser_could_be_started_with_is_refused(etcd: Store) -> None:
    async with running(etcd.endpoints, etcd.prefix) as here:
        await acquired(here)
        for config in REFUSED.values():
            with pytest.raises(errors.InvalidField, match="browser_config"):
                await update(here, "browser_config", browser_config=config)
        with pytest.raises(errors.InvalidField, match="update_mask"):
            await update(here, "browser_config", "state")
        with pytest.raises(errors.InvalidField, match="update_mask"):
            await update(here)
        assert not (await read(here)).HasField("browser_config")
