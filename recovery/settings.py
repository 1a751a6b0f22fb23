"""Settings of the recovery service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, InstanceOf

from recovery.policy import BadPolicy, Policy, parse
from servicekit.settings import Address, ServiceSettings


def _policy(path: object) -> Policy | None:
    """The policy in a file. Raises ValueError with the remedy."""
    if path is None:
        return None
    try:
        return parse(Path(str(path)).read_text())
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError("is not a text in UTF-8") from None
    except BadPolicy as error:
        raise ValueError(f"is no policy: {error}") from None


class RecoverySettings(ServiceSettings):
    """Recovery decides what becomes of a profile whose hold ended without a release."""

    lockservice: Address = Field(
        description="address of the lock service, which keeps the incidents",
        examples=["127.0.0.1:7434"],
    )
    policy: Annotated[InstanceOf[Policy] | None, BeforeValidator(_policy)] = Field(
        default=None,
        description="file with the policy (TOML); what it leaves out is as in recovery/policy.toml",
        examples=["/etc/tenure/policy.toml"],
    )
