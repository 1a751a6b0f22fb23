"""Settings of the lock service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from lockservice.core.caps import HOLDS, WAITERS, WATCHES, Caps
from lockservice.core.keeping import DAY_MS, Keeps
from lockservice.core.keys import check_root
from lockservice.etcd.connection import Tls, check_endpoints
from servicekit.metrics import MetricsAddress
from servicekit.settings import ServiceSettings


def _endpoints(text: str) -> str:
    check_endpoints(text.split(","))
    return text


class LockSettings(ServiceSettings):
    """The lock service says who holds which profile. It is the only program that talks to etcd.

    Replicas keep nothing of their own: run as many as you like on one etcd. Debian 12's etcd 3.4 is fine for
    trying things out; in production use 3.5.16 or later, three members, and TLS. After a restore of etcd from
    a backup run `python -m lockservice raise-epoch` with the same --etcd settings.
    """

    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="replicas behind the one address, each a process, for machines with cores to spare",
        examples=["4"],
    )
    etcd: Annotated[str, AfterValidator(_endpoints)] = Field(
        default="127.0.0.1:2379",
        description="etcd's address; several, with a comma between, as IPv4 addresses",
        examples=["10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379"],
    )
    etcd_prefix: Annotated[str, AfterValidator(check_root)] = Field(
        default="/tenure/",
        description="what all keys begin with; replicas of one system share it",
        examples=["/tenure/"],
    )
    etcd_ca: Path | None = Field(
        default=None,
        description="file with the CA (PEM) that signed etcd's certificates; turns TLS on",
        examples=["/etc/tenure/etcd-ca.pem"],
    )
    etcd_cert: Path | None = Field(
        default=None,
        description="file with our certificate (PEM) for etcd; needs --etcd-ca and --etcd-key",
        examples=["/etc/tenure/etcd-client.pem"],
    )
    etcd_key: Path | None = Field(
        default=None,
        description="file with the key of --etcd-cert (PEM)",
        examples=["/etc/tenure/etcd-client.key"],
    )
    etcd_server_name: str = Field(
        default="",
        description="name in etcd's certificates, where it is not the address",
        examples=["etcd.example.com"],
    )

    metrics_listen: MetricsAddress = Field(
        default="",
        description="address to serve Prometheus' GET /metrics on, port 0 takes a free one, none when empty; "
        "of several processes each serves its own, at this port and those after it",
        examples=["127.0.0.1:9433"],
    )
    tenant_waiters: int = Field(
        default=WAITERS,
        ge=1,
        description="places in queues that a tenant may have, at most half of them for one profile",
        examples=["10000"],
    )
    tenant_holds: int = Field(
        default=HOLDS,
        ge=1,
        description="profiles that a tenant may hold; those who wait already are granted beyond it",
        examples=["100000"],
    )
    tenant_watches: int = Field(
        default=WATCHES,
        ge=1,
        description="WatchProfiles streams that a tenant may have at each replica",
        examples=["1000"],
    )

    keep_incidents: float = Field(
        default=90.0,
        ge=0,
        description="days for which an incident is kept after it was decided, with its evidence; 0: for ever",
        examples=["90"],
    )
    keep_steps: float = Field(
        default=7.0,
        ge=0,
        description="days for which the steps of a hold are kept after it was released; 0: for ever",
        examples=["7"],
    )

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.etcd_cert is None) != (self.etcd_key is None):
            raise ValueError("--etcd-cert and --etcd-key belong together: set both or neither")
        if self.etcd_ca is None and (self.etcd_cert or self.etcd_server_name):
            raise ValueError("--etcd-cert and --etcd-server-name need --etcd-ca, which turns TLS on")
        for path in (self.etcd_ca, self.etcd_cert, self.etcd_key):
            if path is not None and not path.is_file():
                raise ValueError(f"{path} is not a file that can be read")
        return self

    @property
    def caps(self) -> Caps:
        """How much of the service a tenant may have."""
        return Caps(self.tenant_waiters, self.tenant_holds, self.tenant_watches)

    @property
    def keeps(self) -> Keeps:
        """How long what is over is kept."""
        return Keeps(incidents_ms=int(self.keep_incidents * DAY_MS), steps_ms=int(self.keep_steps * DAY_MS))

    @property
    def endpoints(self) -> list[str]:
        return self.etcd.split(",")

    @property
    def tls(self) -> Tls | None:
        """How to talk to etcd; None means plain TCP."""
        if self.etcd_ca is None:
            return None
        return Tls(self.etcd_ca, self.etcd_cert, self.etcd_key, self.etcd_server_name)
