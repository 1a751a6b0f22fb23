"""How a call to etcd can fail, told apart by what is known of its effect.

EtcdError
├── NotSent            no member could be reached: nothing was changed
│   └── Refused            the store is not known to be the one served before: nothing is sent to it
├── Rejected           etcd refused the request: nothing was changed
├── OutcomeUnknown     the request may or may not have been applied, and may still be
├── Compacted          a watch's next revision is gone: list again
└── ClusterChanged     an answer came from another cluster than the one that is expected
    └── WentBack           or from the same one, at an older revision
"""

from __future__ import annotations

import grpc
import grpc.aio

# Codes with which etcd refuses before it proposes anything to raft (etcd api/v3rpc/rpctypes).
_REFUSALS = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_NO_LEADER = "etcdserver: no leader"


class EtcdError(Exception):
    """Base of all failures of the etcd client."""


class NotSent(EtcdError):
    """No member could be reached in time. Nothing was changed."""


class Refused(NotSent):
    """Somebody must look at the store before anything is sent to it: the text says why."""


class Rejected(EtcdError):
    """etcd refused the request. Nothing was changed. `code` is gRPC's, the text etcd's."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code = code
        self.details = details

    @property
    def no_leader(self) -> bool:
        """The member that answered has lost its leader; another one may have it."""
        return self.details == _NO_LEADER


class OutcomeUnknown(EtcdError):
    """The request was sent and no answer came: it may have been applied, and may be applied later."""


class Compacted(EtcdError):
    """A watch cannot go on where it was: `revision` is the first one etcd still has."""

    def __init__(self, revision: int) -> None:
        super().__init__(f"history before revision {revision} is gone")
        self.revision = revision


class ClusterChanged(EtcdError):
    """Another cluster answers at the same address, for example one restored from a backup."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"cluster {found:x} answered, cluster {expected:x} was expected")
        self.expected = expected
        self.found = found


class WentBack(ClusterChanged):
    """The cluster has forgotten writes: its data were replaced by older ones."""

    def __init__(self, cluster: int, seen: int, found: int) -> None:
        super().__init__(cluster, cluster)
        self.args = (f"the store answered at revision {found}; it had been at revision {seen}",)


def classify(error: grpc.aio.AioRpcError) -> EtcdError:
    """Say what a failed call means.

    Only what etcd itself refused with one of its own codes is a refusal: the same codes made by gRPC (a
    message too large, a stream reset) say nothing of what the server did, nor do `request timed out`
    (UNAVAILABLE) and a proposal's own deadline (UNKNOWN).
    """
    details = error.details() or ""
    from_etcd = details.startswith("etcdserver: ")
    if from_etcd and (error.code() in _REFUSALS or details == _NO_LEADER):
        return Rejected(error.code(), details)
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return Rejected(error.code(), details)
    return OutcomeUnknown(f"{error.code().name}: {details}")
