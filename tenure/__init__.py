"""Safe, fast custody of real browser profiles: what a client of Tenure installs.

    async with tenure.connect("127.0.0.1:7433") as t:
        async with t.open("alice:linkedin", start_url="https://…") as session:
            page = await session.cdp()

Importing this package is cheap on purpose: the CLI and the generated stubs in
`tenure.v1` both pass through here, so a name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenure.client import Client, connect
    from tenure.hold import HeldProfile, Origin, Result
    from tenure.session import Session
    from tenure.v1.session_pb2 import Proxy

__all__ = ["Client", "HeldProfile", "Origin", "Proxy", "Result", "Session", "__version__", "connect"]

__version__ = "0.1.0"

_HOMES = {
    "Client": "tenure.client",
    "HeldProfile": "tenure.hold",
    "Origin": "tenure.hold",
    "Proxy": "tenure.v1.session_pb2",
    "Result": "tenure.hold",
    "Session": "tenure.session",
    "connect": "tenure.client",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tenure' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
