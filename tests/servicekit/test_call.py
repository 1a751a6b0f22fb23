import contextvars

import pytest

from servicekit import call
from tenure.errors import PermissionDenied, Unauthenticated


def test_on_loopback_everybody_is_the_developer_whatever_they_claim() -> None:
    claimed = {call.TENANT_KEY: "other", call.SUBJECT_KEY: "root"}
    identity = call.development_identity(claimed)
    assert identity == call.Identity("default", "dev", ("worker", "reviewer", "admin"))


def test_an_identity_arrives_as_it_was_sent() -> None:
    identity = call.Identity("acme", "alice", ("worker", "admin"))
    assert call.forwarded_identity(dict(identity.metadata())) == identity
    nobody = call.Identity("acme", "alice", ())
    assert call.forwarded_identity(dict(nobody.metadata())) == nobody


@pytest.mark.parametrize("missing", [call.TENANT_KEY, call.SUBJECT_KEY])
def test_a_call_that_names_nobody_is_refused(missing: str) -> None:
    metadata = dict(call.DEV_IDENTITY.metadata())
    del metadata[missing]
    with pytest.raises(Unauthenticated):
        call.forwarded_identity(metadata)


def test_outside_of_a_call_nobody_calls() -> None:
    context = contextvars.Context()
    assert context.run(call.current_request_id) == ""
    assert context.run(call.remaining_s) is None
    with pytest.raises(Unauthenticated):
        context.run(call.current_identity)


def test_a_role_that_the_caller_lacks_is_named() -> None:
    context = contextvars.Context()
    alice = call.Identity("acme", "alice", ("worker", "reviewer"))
    context.run(call.identify, alice)
    assert context.run(call.require_role, "reviewer") == alice
    with pytest.raises(PermissionDenied, match="role 'admin'"):
        context.run(call.require_role, "admin")
