"""Settings of the recovery service."""

from __future__ import annotations

from pydantic import Field

from servicekit.settings import Address, ServiceSettings


class RecoverySettings(ServiceSettings):
    """Recovery decides what becomes of a profile whose hold ended without a release."""

    lockservice: Address = Field(
        description="address of the lock service, which keeps the incidents",
        examples=["127.0.0.1:7434"],
    )
