"""Settings of the gateway."""

from __future__ import annotations

from pydantic import Field

from servicekit.settings import Address, LoopbackAddress, ServiceSettings


class GatewaySettings(ServiceSettings):
    """The gateway is the one address of Tenure: every client connects here."""

    listen: LoopbackAddress = Field(
        default="127.0.0.1:7433",
        description="address to serve gRPC on; port 0 takes a free one",
        examples=["127.0.0.1:7433"],
    )
    http_listen: LoopbackAddress = Field(
        default="127.0.0.1:7480",
        description="address to serve DevTools WebSockets and /healthz on; port 0 takes a free one",
        examples=["127.0.0.1:7480"],
    )
    lockservice: Address = Field(
        description="address of the lock service, which also knows the browser hosts",
        examples=["127.0.0.1:7434"],
    )
    recovery: Address = Field(
        description="address of the recovery service, which answers for incidents",
        examples=["127.0.0.1:7435"],
    )
    resume_s: float = Field(
        default=15.0,
        ge=0,
        le=20,
        description=(
            "how long a DevTools client is kept for the next process of a browser host that handed over and "
            "is gone, in seconds; 0 has it closed at once"
        ),
        examples=["15"],
    )
