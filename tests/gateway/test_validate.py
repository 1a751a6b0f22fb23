from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from gateway.validate import plan_open
from tenure import request_id
from tenure.errors import InvalidArgument, InvalidField, InvalidId, PermissionDenied
from tenure.v1.session_pb2 import Proxy
from tenure.v1.session_service_pb2 import OpenSessionRequest


def plan(**fields: object) -> object:
    return plan_open(OpenSessionRequest(**{"profile": "p", **fields}), "default")  # type: ignore[arg-type]


def test_a_bare_request_has_the_documented_defaults() -> None:
    made = plan_open(OpenSessionRequest(profile="alice:linkedin"), "default")
    assert str(made.profile) == "tenants/default/profiles/alice_linkedin"
    assert made.profile.as_sent == "alice:linkedin"
    assert (made.start_url, made.proxy_key, made.reuse_session) == ("about:blank", "", None)
    assert (made.worker, made.lease_ttl_s, made.wait_s, made.max_runtime_s) == ("", 600, 0, None)
    assert made.minted
    assert request_id.parse(made.request_id) == made.request_id


def test_what_was_sent_is_kept() -> None:
    sent = "01KAF7Q8W0ABCDEFGHJKMNPQRS"
    made = plan_open(
        OpenSessionRequest(
            profile="p",
            start_url="HTTPS://Example.org/a?b#c",
            worker="w1",
            wait=Duration(seconds=5, nanos=500_000_000),
            reuse_session=False,
            request_id=sent,
            max_runtime=Duration(seconds=60),
        ),
        "default",
    )
    assert (made.start_url, made.worker, made.wait_s) == (
        "HTTPS://Example.org/a?b#c",
        "workers/w1",
        5.5,
    )
    assert (made.reuse_session, made.max_runtime_s, made.minted) == (False, 60, False)
    assert made.request_id == request_id.parse(sent)


def test_the_legacy_state_key_stands_for_profile_and_workflow() -> None:
    made = plan_open(OpenSessionRequest(state_key="alice:x"), "default")
    assert (made.profile.profile, made.workflow_id) == ("alice_x", "alice_x")


BAD: list[tuple[dict[str, object], type[InvalidArgument], str]] = [
    ({"profile": ""}, InvalidId, "profile"),
    ({"profile": ".."}, InvalidId, "profile"),
    ({"profile": "x" * 300}, InvalidId, "profile"),
    ({"profile": "zoë"}, InvalidId, "profile"),
    ({"profile": "tenants/-/profiles/a/b"}, InvalidId, "profile"),
    ({"workflow_id": "."}, InvalidId, "workflow_id"),
    ({"worker": "workers/.."}, InvalidId, "worker"),
    ({"request_id": "8f14e45f-ceea-467f-a9b1-3c5b8f1d2e3a"}, InvalidId, "request_id"),
    ({"state_key": "k"}, InvalidField, "state_key"),
    ({"profile": "", "workflow_id": "w", "state_key": "k"}, InvalidField, "state_key"),
    ({"fencing_token": -4}, InvalidField, "fencing_token"),
    ({"fencing_token": 1 << 53}, InvalidField, "fencing_token"),
    ({"worker": "w", "lease_ttl": {"seconds": 9}}, InvalidField, "lease_ttl"),
    ({"lease_ttl": {"seconds": 3601}}, InvalidField, "lease_ttl"),
    ({"lease_ttl": {"seconds": 0}}, InvalidField, "lease_ttl"),
    ({"wait": {"seconds": -1}}, InvalidField, "wait"),
    ({"wait": {"seconds": 86401}}, InvalidField, "wait"),
    ({"max_runtime": {"seconds": 0}}, InvalidField, "max_runtime"),
    ({"max_runtime": {"seconds": 86401}}, InvalidField, "max_runtime"),
    ({"run_id": "r" * 129}, InvalidField, "run_id"),
    ({"run_id": "a\nb"}, InvalidField, "run_id"),
    ({"fencing_token": 5, "worker": "w"}, InvalidField, "worker"),
    ({"fencing_token": 5, "wait": {"seconds": 1}}, InvalidField, "wait"),
    ({"fencing_token": 5, "run_id": "r"}, InvalidField, "run_id"),
    ({"fencing_token": 5, "restartable": True}, InvalidField, "restartable"),
    ({"fencing_token": 5, "plan": "v2"}, InvalidField, "plan"),
    ({"fencing_token": 5, "keep_page": True}, InvalidField, "keep_page"),
    ({"plan": "p" * 257}, InvalidField, "plan"),
    ({"proxy": Proxy(city="miami")}, InvalidField, "proxy.state"),
    ({"proxy": Proxy(city="a__b", state="c")}, InvalidField, "proxy.city"),
    ({"proxy": Proxy(city="a", state="../c")}, InvalidField, "proxy.state"),
]


@pytest.mark.parametrize(("fields", "kind", "field"), BAD, ids=[f"{b[2]}-{i}" for i, b in enumerate(BAD)])
def test_bad_input_is_refused_naming_the_field_and_the_remedy(
    fields: dict[str, object], kind: type[InvalidArgument], field: str
) -> None:
    with pytest.raises(kind) as caught:
        plan(**fields)
    assert caught.value.field == field
    assert caught.value.remedy


def test_another_tenant_is_denied() -> None:
    with pytest.raises(PermissionDenied):
        plan(profile="tenants/other/profiles/p")
