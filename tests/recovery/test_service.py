from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import grpc.aio
import pytest

from recovery.policy import DEFAULT
from recovery.service import serve
from recovery.settings import RecoverySettings
from servicekit.call import DEV_IDENTITY
from servicekit.settings import EXIT_BAD_SETTINGS, load
from tenure import errors
from tenure.v1.incident_service_pb2 import WatchIncidentsRequest
from tenure.v1.incident_service_pb2_grpc import IncidentServiceStub


async def test_it_serves_while_the_lock_service_is_away_and_stops_when_told() -> None:
    read, write = os.pipe()
    shutdown = asyncio.Event()
    settings = RecoverySettings(lockservice="127.0.0.1:1", ready_fd=write)
    serving = asyncio.create_task(serve(settings, shutdown))
    with os.fdopen(read) as pipe:
        address = json.loads(await asyncio.to_thread(pipe.readline))["address"]
    async with grpc.aio.insecure_channel(address) as channel:
        stub = IncidentServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.WatchIncidents(WatchIncidentsRequest(), metadata=DEV_IDENTITY.metadata())))
    shutdown.set()
    await asyncio.wait_for(serving, 30)
    got = errors.from_rpc_error(caught.value)
    assert isinstance(got, errors.Unimplemented)
    assert "does not serve it yet" in str(got)


def settings_with(*flags: str) -> RecoverySettings:
    return load(RecoverySettings, ["--lockservice", "127.0.0.1:1", *flags], {}, program="recovery")


def test_a_policy_file_takes_the_place_of_the_defaults_that_it_names(tmp_path: Path) -> None:
    assert settings_with().policy is None
    own = tmp_path / "policy.toml"
    own.write_text("max_attempts = 7")
    policy = settings_with("--policy", str(own)).policy
    assert policy is not None
    assert (policy.max_attempts, policy.sensitive_steps) == (7, DEFAULT.sensitive_steps)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff", "is not a text in UTF-8"),
        (b"max_attempt = 3", "is no policy: max_attempt is no key of a policy; the keys are"),
        (
            b'sensitive_urls = ["http://x"]',
            "is no policy: sensitive_urls[0] 'http://x' has a scheme; leave it out",
        ),
    ],
)
def test_a_bad_policy_is_refused_at_the_start_with_the_remedy(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "policy.toml"
    if content is not None:
        own.write_bytes(content)
    with pytest.raises(SystemExit) as caught:
        settings_with("--policy", str(own))
    assert caught.value.code == EXIT_BAD_SETTINGS
    assert f"--policy '{own}': {said}" in capsys.readouterr().err
