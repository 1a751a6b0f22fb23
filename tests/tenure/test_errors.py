import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tenure import errors


def rpc_error(status: Status) -> grpc.aio.AioRpcError:
    code = next(c for c in grpc.StatusCode if c.value[0] == status.code)
    trailing = grpc.aio.Metadata((errors.STATUS_DETAILS_KEY, status.SerializeToString()))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=status.message)


def sample(kind: type[errors.TenureError]) -> errors.TenureError:
    samples: dict[object, Any] = {"int": 7, "float": 2.5, "str": "some text"}
    values = {
        f.name: samples[f.type]
        for f in fields(kind)
        if f.name not in {"message", "metadata", "retry_after_s"}
    }
    return kind(**values, retry_after_s=1.25, metadata={"extra": "kept"})


def test_busy_says_who_holds_the_profile_and_what_to_do() -> None:
    error = errors.ProfileBusy(profile="alice:linkedin", holder_run_id="r1")
    assert str(error) == (
        "profile_id 'alice:linkedin' is busy; held by run_id='r1'. "
        "Use a different profile_id or wait for the existing run to finish."
    )


@pytest.mark.parametrize("kind", errors.BY_REASON.values(), ids=lambda kind: kind.reason)
def test_an_error_arrives_as_the_same_class_with_the_same_fields(
    kind: type[errors.TenureError],
) -> None:
    sent = sample(kind)
    got = errors.from_rpc_error(rpc_error(sent.to_status()))
    assert type(got) is kind
    assert vars(got) == {**vars(sent), "message": str(sent)}
    assert str(got) == str(sent)


@pytest.mark.parametrize("kind", errors.BY_REASON.values(), ids=lambda kind: kind.reason)
def test_the_wire_form_is_one_error_info_and_one_retry_info(kind: type[errors.TenureError]) -> None:
    status = sample(kind).to_status()
    info, retry = ErrorInfo(), RetryInfo()
    assert [d.Unpack(m) for d, m in zip(status.details, (info, retry), strict=True)] == [True] * 2
    assert (info.reason, info.domain) == (kind.reason, "tenure.dev")
    assert info.metadata["extra"] == "kept"
    assert retry.retry_delay.ToMilliseconds() == 1250
    assert status.code == kind.code.value[0]


def test_fields_without_a_value_stay_off_the_wire() -> None:
    status = errors.ProfileBusy(profile="a", holder_run_id="r").to_status()
    info = ErrorInfo()
    status.details[0].Unpack(info)
    assert dict(info.metadata) == {"profile": "a", "holder_run_id": "r"}
    assert len(status.details) == 1


def test_a_message_replaces_the_text_made_from_the_fields() -> None:
    assert str(errors.StoreUnavailable("etcd is away since 3 s")) == "etcd is away since 3 s"


def test_long_values_are_shortened_in_the_text() -> None:
    error = errors.InvalidField(field="run_id", value="x" * 300, problem="is long", remedy="cut")
    assert len(error.value) == 80
    assert str(error) == f"run_id '{'x' * 77}...' is long; cut."


def test_a_reason_from_a_newer_service_keeps_its_status_and_its_name() -> None:
    status = Status(code=grpc.StatusCode.ABORTED.value[0], message="later")
    status.details.add().Pack(ErrorInfo(reason="NEWER", domain=errors.DOMAIN))
    got = errors.from_rpc_error(rpc_error(status))
    assert type(got) is errors.Contended
    assert got.metadata["reason"] == "NEWER"


def test_a_number_that_does_not_parse_counts_as_absent() -> None:
    status = Status(code=grpc.StatusCode.ABORTED.value[0], message="busy")
    status.details.add().Pack(
        ErrorInfo(reason="PROFILE_BUSY", domain=errors.DOMAIN, metadata={"position": "second"})
    )
    got = errors.from_rpc_error(rpc_error(status))
    assert isinstance(got, errors.ProfileBusy)
    assert got.position == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.OutcomeUnknown),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.OutcomeUnknown),
        (grpc.StatusCode.UNIMPLEMENTED, errors.Unimplemented),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidField),
        (grpc.StatusCode.DATA_LOSS, errors.Internal),
    ],
)
def test_a_call_no_service_answered_is_told_by_its_code(
    code: grpc.StatusCode, kind: type[errors.TenureError]
) -> None:
    empty = grpc.aio.Metadata()
    got = errors.from_rpc_error(grpc.aio.AioRpcError(code, empty, empty, details="broke off"))
    assert type(got) is kind
    assert "broke off" in str(got)
    assert got.metadata["grpc_code"] == code.name


def documented_reasons() -> dict[str, str]:
    """Comment by reason, from the API's own source."""
    source = Path(__file__).parents[2] / "protos/tenure/v1/error_reason.proto"
    comment, reasons = "", {}
    for line in source.read_text().splitlines():
        if line.strip().startswith("//"):
            comment += line.strip().removeprefix("//")
        elif value := re.match(r"\s*ERROR_REASON_(\w+) = [1-9]", line):
            reasons[value[1]] = comment
        if not line.strip().startswith("//"):
            comment = ""
    return reasons


def test_every_documented_reason_has_its_class_with_its_status_and_metadata() -> None:
    reasons = documented_reasons()
    assert reasons.keys() == errors.BY_REASON.keys()
    for reason, comment in reasons.items():
        kind = errors.BY_REASON[reason]
        assert comment.strip().startswith(f"{kind.code.name}.")
        keys = re.search(r"Metadata: ([^.]*)\.", re.sub(r"\(.*?\)", "", comment))
        documented = set(keys[1].replace(" ", "").split(",")) if keys else set()
        assert documented <= {f.name for f in fields(kind)}
