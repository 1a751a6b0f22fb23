"""The README says which methods are not built yet; the running system agrees, and answers all others."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from tests.fixtures.system import RunningSystem

ROOT = Path(__file__).parents[2]


def documented() -> set[str]:
    """`Service/Method` of the table under "Not built yet"."""
    section = (ROOT / "README.md").read_text().split("### Not built yet")[1].split("\n\n##")[0]
    rows = re.findall(r"^\| (\w+Service) \| (.+) \|$", section, re.MULTILINE)
    return {f"{service}/{method}" for service, methods in rows for method in methods.split(", ")}


def methods() -> list[MethodDescriptor]:
    """Every method of the public API."""
    found = []
    for proto in sorted((ROOT / "protos/tenure/v1").glob("*_service.proto")):
        file: FileDescriptor = import_module(f"tenure.v1.{proto.stem}_pb2").DESCRIPTOR
        found += [method for service in file.services_by_name.values() for method in service.methods]
    return found


async def code_of(channel: grpc.aio.Channel, method: MethodDescriptor) -> grpc.StatusCode:
    """What an empty request gets."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    # A server that answers once, or takes one request, is spoken to in the same frames.
    call: Any = channel.stream_stream(path)
    answers = call(iter([b""]), timeout=30)
    try:
        async for _ in answers:
            continue
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_exactly_the_methods_that_the_readme_names_are_not_built(system: RunningSystem) -> None:
    async with grpc.aio.insecure_channel(system.gateway) as channel:
        codes = {
            f"{method.containing_service.name}/{method.name}": await code_of(channel, method)
            for method in methods()
        }

    unbuilt = {name for name, code in codes.items() if code is grpc.StatusCode.UNIMPLEMENTED}
    assert unbuilt == documented()
    assert not [name for name, code in codes.items() if code is grpc.StatusCode.UNKNOWN]
