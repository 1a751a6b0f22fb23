from __future__ import annotations

import grpc.aio
import pytest

from tenure import errors
from tenure.internal.v1.browser_host_service_pb2 import ActInBrowserRequest, CaptureBrowserRequest
from tenure.v1.session_pb2 import Action, Move
from tenure.v1.session_service_pb2 import (
    ActRequest,
    CaptureScreenshotRequest,
    OpenSessionRequest,
    ScreenshotOptions,
)
from tests.gateway.conftest import System
from tests.gateway.fakes import raising

MOVES = [Action(move=Move(x=1, y=2)), Action(move=Move(x=3, y=4))]


async def opened(system: System) -> tuple[str, int]:
    answer = await system.sessions.OpenSession(OpenSessionRequest(profile="alice:linkedin"))
    return answer.session.name, answer.hold.fencing_token


async def refused(system: System, request: ActRequest | CaptureScreenshotRequest) -> errors.TenureError:
    call = system.sessions.Act if isinstance(request, ActRequest) else system.sessions.CaptureScreenshot
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(request)  # type: ignore[arg-type]
    return errors.from_rpc_error(caught.value)


async def test_actions_are_done_at_the_sessions_home_under_its_canonical_name(system: System) -> None:
    name, token = await opened(system)
    answer = await system.sessions.Act(
        ActRequest(session=name.replace("default", "-"), fencing_token=token, actions=MOVES)
    )
    assert (len(answer.results), answer.settle_reason) == (2, "settled")
    [asked] = system.host.record.of(ActInBrowserRequest)
    assert asked.act == ActRequest(session=name, fencing_token=token, actions=MOVES)


async def test_a_picture_is_taken_at_the_sessions_home(system: System) -> None:
    name, token = await opened(system)
    options = ScreenshotOptions(inline=True, scale=0.5)
    answer = await system.sessions.CaptureScreenshot(
        CaptureScreenshotRequest(session=name, fencing_token=token, options=options)
    )
    assert answer.screenshot.inline == b"picture"
    [asked] = system.host.record.of(CaptureBrowserRequest)
    assert asked.capture.options == options


@pytest.mark.parametrize("kind", [ActRequest, CaptureScreenshotRequest])
async def test_the_token_must_be_the_sessions(
    system: System, kind: type[ActRequest | CaptureScreenshotRequest]
) -> None:
    name, token = await opened(system)
    error = await refused(system, kind(session=name, fencing_token=token + 1))
    assert isinstance(error, errors.InvalidField)
    assert error.field == "fencing_token"
    never = f"tenants/-/profiles/other/sessions/{token}"
    assert isinstance(await refused(system, kind(session=never, fencing_token=token)), errors.NotFound)
    elsewhere = f"tenants/theirs/profiles/p/sessions/{token}"
    denied = await refused(system, kind(session=elsewhere, fencing_token=token))
    assert isinstance(denied, errors.PermissionDenied)


async def test_what_the_host_refused_comes_through_with_what_is_done(system: System) -> None:
    name, token = await opened(system)
    superseded = errors.TokenSuperseded(
        "actions[1]: over (1 of 2 actions are done)",
        profile="p",
        token=token,
        metadata={"actions_done": "1"},
    )
    system.host.record.hooks["ActInBrowserRequest"] = raising(superseded)
    error = await refused(system, ActRequest(session=name, fencing_token=token, actions=MOVES))
    assert isinstance(error, errors.TokenSuperseded)
    assert str(error) == "actions[1]: over (1 of 2 actions are done)"
    assert error.metadata["actions_done"] == "1"


async def test_a_host_that_breaks_off_leaves_an_act_unknown_and_a_picture_to_be_asked_again(
    system: System,
) -> None:
    name, token = await opened(system)
    await system.host_servers[0].drain()
    act = await refused(system, ActRequest(session=name, fencing_token=token, actions=MOVES))
    assert isinstance(act, errors.OutcomeUnknown)
    picture = await refused(system, CaptureScreenshotRequest(session=name, fencing_token=token))
    assert isinstance(picture, errors.HostUnreachable)
