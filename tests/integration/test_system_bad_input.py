"""Bad input at the gateway: a precise error each, and nothing is changed anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from tenure.errors import InvalidArgument
from tenure.v1 import hold_service_pb2 as holds
from tenure.v1 import profile_service_pb2 as profiles
from tenure.v1 import session_service_pb2 as sessions
from tenure.v1 import worker_service_pb2 as workers
from tenure.v1.hold_pb2 import ProfileState, RunResult
from tenure.v1.session_pb2 import Proxy
from tests.fixtures.scene import PROFILE, Scene, hours

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Bad:
    """A request, and what must be said of it: where a text is given it must be in the message."""

    request: Callable[[Scene], Any]
    field: str
    value: str
    remedy: str
    reason: str = "INVALID_FIELD"


def _open(**sent: Any) -> Callable[[Scene], Any]:
    return lambda scene: sessions.OpenSessionRequest(**{"profile": "new:one", **sent})


def _acquire(**sent: Any) -> Callable[[Scene], Any]:
    return lambda scene: holds.AcquireHoldRequest(**{"profile": "new:one", "worker": scene.worker, **sent})


def _ids() -> dict[str, Bad]:
    """Every id that must be refused, at both doors."""
    table = {
        "empty": ("", "send an id such as alice:linkedin"),
        "dot": (".", "begin it with a letter or a digit"),
        "dots": ("..", "begin it with a letter or a digit"),
        "up": ("../../etc", "begin it with a letter or a digit"),
        "long": ("x" * 300, "use at most 128"),
        "cyrillic": ("алиса:linkedin", "spell it with A-Z"),
        "nothing left": (":::", "use a letter or a digit"),
        "nul": ("\0", "use a letter or a digit"),
        "not a name": ("tenants/-/profile/x", "send tenants/{tenant}/profiles/{profile}"),
        "name of nothing": ("tenants/-/profiles/", "send an id such as alice:linkedin"),
    }
    return {
        f"{door}, id {name}": Bad(make(profile=text), "profile", _last(text), remedy, "INVALID_ID")
        for name, (text, remedy) in table.items()
        for door, make in (("open", _open), ("acquire", _acquire))
    }


def _last(text: str) -> str:
    """What the message has of an id: shortened, and of a whole name the id alone."""
    shown = "" if text.endswith("/profiles/") else text
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _urls() -> dict[str, Bad]:
    urls = (
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "chrome://settings",
        "view-source:http://example.com/",
        "javascript:alert(1)",
        "data:text/html,hi",
        "ftp://example.com/",
        "http:///path",
        "http:example.com",
        "http://exam ple.com/",
        "http://example.com/\n",
        "http://[::1/",
        "about:settings",
        "example.com",
    )
    return {f"start_url {url!r}": Bad(_open(start_url=url), "start_url", url, "http") for url in urls}


def _tokens() -> dict[str, Bad]:
    """Numbers that no grant can have made, wherever a token is asked for."""
    requests: dict[str, Callable[[Scene, int], Any]] = {
        "release": lambda s, t: holds.ReleaseHoldRequest(profile=PROFILE, fencing_token=t),
        "verify": lambda s, t: holds.VerifyHoldRequest(profile=PROFILE, fencing_token=t),
        "step": lambda s, t: holds.StartStepRequest(profile=PROFILE, fencing_token=t, name="x"),
        "close": lambda s, t: sessions.CloseSessionRequest(session=s.session, fencing_token=t),
        "shutdown": lambda s, t: sessions.ShutdownBrowserRequest(profile=PROFILE, fencing_token=t),
    }

    def sending(make: Callable[[Scene, int], Any], number: int) -> Callable[[Scene], Any]:
        return lambda scene: make(scene, number)

    return {
        f"{name}, token {number}": Bad(
            sending(make, number), "fencing_token", str(number), "as it was answered"
        )
        for name, make in requests.items()
        for number in (0, -1, -(2**63), 2**53, 2**63 - 1)
    }


TOO_MANY = {f"l{number}": "x" for number in range(17)}
BAD: dict[str, Bad] = {
    **_ids(),
    **_urls(),
    **_tokens(),
    "session of no token": Bad(
        lambda s: sessions.GetSessionRequest(session="tenants/-/profiles/x/sessions/0"),
        "session",
        "tenants/-/profiles/x/sessions/0",
        "as OpenSession answered it",
        "INVALID_ID",
    ),
    "another token than the session's": Bad(
        lambda s: sessions.CloseSessionRequest(session=s.session, fencing_token=s.old),
        "fencing_token",
        "",
        "send the token of the hold",
    ),
    "state_key with profile": Bad(
        _open(state_key="alice"), "state_key", "alice", "send profile and workflow_id only"
    ),
    "state_key with workflow": Bad(
        lambda s: sessions.OpenSessionRequest(state_key="alice", workflow_id="w"),
        "state_key",
        "alice",
        "send profile and workflow_id only",
    ),
    "a bad state_key": Bad(
        lambda s: sessions.OpenSessionRequest(state_key=".."), "profile", "..", "letter", "INVALID_ID"
    ),
    "lease_ttl above an hour": Bad(_open(lease_ttl=hours(1.5)), "lease_ttl", "5400s", "2s to 3600s"),
    "lease_ttl of nothing": Bad(_open(lease_ttl=hours(0)), "lease_ttl", "0s", "2s to 3600s"),
    "lease_ttl below zero": Bad(_open(lease_ttl=hours(-1)), "lease_ttl", "-3600s", "2s to 3600s"),
    "worker and lease_ttl": Bad(
        lambda s: sessions.OpenSessionRequest(profile="x", worker=s.worker, lease_ttl=hours(1)),
        "lease_ttl",
        "3600s",
        "leave it out",
    ),
    "token and worker": Bad(
        lambda s: sessions.OpenSessionRequest(profile=PROFILE, worker=s.worker, fencing_token=s.token),
        "worker",
        "",
        "leave it out",
    ),
    "token and wait": Bad(
        lambda s: sessions.OpenSessionRequest(profile=PROFILE, wait=hours(1), fencing_token=s.token),
        "wait",
        "",
        "leave it out",
    ),
    "a worker that is none": Bad(_open(worker="workers/.."), "worker", "..", "letter", "INVALID_ID"),
    "acquire without a worker": Bad(_acquire(worker=""), "worker", "", "send an id", "INVALID_ID"),
    "request_id of letters": Bad(
        _open(request_id="again"), "request_id", "again", "leave it empty", "INVALID_ID"
    ),
    "request_id of another UUID": Bad(
        _open(request_id="5b2f1b0e-8c52-4f0e-9d7e-2f4c6f1f7a11"),
        "request_id",
        "5b2f1b0e-8c52-4f0e-9d7e-2f4c6f1f7a11",
        "leave it empty",
        "INVALID_ID",
    ),
    "acquire, request_id of letters": Bad(
        _acquire(request_id="again"), "request_id", "again", "leave it empty", "INVALID_ID"
    ),
    "cancel without a request_id": Bad(
        lambda s: holds.CancelWaitRequest(profile=PROFILE, worker=s.worker),
        "request_id",
        "",
        "",
        "INVALID_ID",
    ),
    "wait above a day": Bad(_open(wait=hours(25)), "wait", "90000s", "0s to 86400s"),
    "wait below zero": Bad(_open(wait=Duration(seconds=-1)), "wait", "-1s", "0s to 86400s"),
    "acquire, wait above a day": Bad(_acquire(wait=hours(25)), "wait", "90000s", "0 s to 86400 s"),
    "acquire, wait for ever": Bad(
        _acquire(wait=Duration(seconds=2**62)), "wait", "4.61169e+18s", "0 s to 86400 s"
    ),
    "max_runtime above a day": Bad(_open(max_runtime=hours(25)), "max_runtime", "90000s", "1s to 86400s"),
    "max_runtime of nothing": Bad(_open(max_runtime=Duration()), "max_runtime", "0s", "1s to 86400s"),
    "acquire, max_runtime above a day": Bad(
        _acquire(max_runtime=hours(25)), "max_runtime", "90000s", "86400 s"
    ),
    "run_id too long": Bad(_open(run_id="r" * 129), "run_id", "r" * 77 + "...", "at most 128"),
    "run_id of two lines": Bad(_open(run_id="a\nb"), "run_id", "a\nb", "printable"),
    "acquire, run_id too long": Bad(_acquire(run_id="r" * 129), "run_id", "r" * 77 + "...", "at most 128"),
    "a workflow that is none": Bad(_open(workflow_id=".."), "workflow_id", "..", "letter", "INVALID_ID"),
    "resume without a workflow": Bad(_open(resume_state=True), "workflow_id", "", "send an id", "INVALID_ID"),
    "a proxy of no state": Bad(_open(proxy=Proxy(city="miami")), "proxy.state", "", "both city and state"),
    "a proxy of strange letters": Bad(
        _open(proxy=Proxy(city="mi__ami", state="fl")), "proxy.city", "mi__ami", "ASCII"
    ),
    "result of no kind, release": Bad(
        lambda s: holds.ReleaseHoldRequest(
            profile=PROFILE, fencing_token=s.token, result=RunResult.ValueType(99)
        ),
        "result",
        "99",
        "RUN_RESULT_SUCCEEDED",
    ),
    "result of no kind, close": Bad(
        lambda s: sessions.CloseSessionRequest(
            session=s.session, fencing_token=s.token, result=RunResult.ValueType(99)
        ),
        "result",
        "99",
        "RUN_RESULT_SUCCEEDED",
    ),
    "state of no kind": Bad(
        lambda s: profiles.ListProfilesRequest(state=ProfileState.ValueType(99)),
        "state",
        "99",
        "the API's states",
    ),
    "page too large": Bad(
        lambda s: profiles.ListProfilesRequest(page_size=1001), "page_size", "1001", "1000"
    ),
    "page below zero": Bad(lambda s: sessions.ListSessionsRequest(page_size=-1), "page_size", "-1", "1000"),
    "page token made up": Bad(
        lambda s: sessions.ListSessionsRequest(page_token="%%%"), "page_token", "%%%", "next_page_token"
    ),
    "labels too many": Bad(
        lambda s: workers.RegisterWorkerRequest(labels=TOO_MANY), "labels", "17", "use at most 16"
    ),
    "a label too long": Bad(
        lambda s: workers.RegisterWorkerRequest(labels={"a": "x" * 129}), "labels[a]", "x" * 77, "at most 128"
    ),
    "ttl above an hour": Bad(
        lambda s: workers.RegisterWorkerRequest(ttl=hours(2)), "ttl", "7200s", "2 s to 3600 s"
    ),
    "a step without a name": Bad(
        lambda s: holds.StartStepRequest(profile=PROFILE, fencing_token=s.token), "name", "", "required"
    ),
    "a step below zero": Bad(
        lambda s: holds.FinishStepRequest(profile=PROFILE, fencing_token=s.token, seq=-1),
        "seq",
        "-1",
        "send 1",
    ),
    "a checkpoint too large": Bad(
        lambda s: holds.SaveCheckpointRequest(
            profile=PROFILE, fencing_token=s.token, workflow_id="w", payload=b"x" * (256 * 1024 + 1)
        ),
        "payload",
        "262145 bytes",
        "keep more elsewhere",
    ),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_bad_input_is_refused_in_words_and_changes_nothing(scene: Scene, bad: Bad) -> None:
    before = await scene.everything()
    refusal = await scene.refusal(bad.request(scene))
    assert refusal.reason == bad.reason, refusal
    assert isinstance(refusal, InvalidArgument)
    assert refusal.field == bad.field
    assert str(refusal).startswith(f"{bad.field} '{refusal.value}' "), str(refusal)
    assert bad.value in refusal.value
    assert bad.remedy in refusal.remedy
    assert refusal.remedy in str(refusal)
    assert await scene.everything() == before
