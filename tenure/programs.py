"""What the whole system is made of, in the order of starting, each with its command."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tenure import machine
from tenure.ports import FREE_PORT

RUN_TIME_NEEDS = (machine.ETCD, machine.CHROME, machine.XVFB, machine.SETPRIV)

_PROBE_PAUSE_S = 0.03


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and how to know that it is ready."""

    name: str
    command: Callable[[str, Mapping[str, str]], Sequence[str]]
    """Its arguments, given the address to listen on, and the addresses of the programs before it."""
    listen: str = FREE_PORT
    """`host:port`. Port 0 only where it says itself which one it got."""
    probe: Callable[[str], Awaitable[None]] | None = None
    """Returns once the program at the address serves. None: it has `--ready-fd` and says so itself."""
    grace_s: float = 15.0
    """Seconds between SIGTERM and SIGKILL."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set beside what this process has."""


def programs(
    data_root: Path,
    listen: str,
    http_listen: str = FREE_PORT,
    recovery: str = FREE_PORT,
    metrics: str = FREE_PORT,
    *,
    lock_processes: int = 1,
) -> list[Program]:
    """The parts of a system that keeps its data in `data_root`, and answers at the addresses given.

    Browsers are kept away from all of them whose port is given. `metrics` is where the lock service serves
    Prometheus, the second of its `lock_processes` at the port after it, and so on.
    """

    def etcd(address: str, _: Mapping[str, str]) -> list[str]:
        url = f"http://{address}"
        # A single member never dials itself, so nobody needs to know where its peer port is.
        return [
            "etcd",
            "--name=tenure",
            f"--data-dir={data_root / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=tenure=http://127.0.0.1:2380",
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=1h",
            "--logger=zap",
            "--log-level=warn",
        ]

    served = [listen, http_listen, recovery, metrics]
    if not metrics.endswith(":0"):
        served += [_beside(metrics, number) for number in range(1, lock_processes)]
    known = [address for address in served if not address.endswith(":0")]
    return [
        Program("etcd", etcd, probe=etcd_serves, environment=_etcd_environment()),
        Program(
            "lockservice",
            lambda at, up: [
                *_service("lockservice", at),
                f"--etcd={up['etcd']}",
                f"--metrics-listen={metrics}",
                f"--processes={lock_processes}",
            ],
        ),
        Program(
            "browserhost",
            lambda at, up: [
                *_service("browserhost", at),
                f"--lockservice={up['lockservice']}",
                f"--data-root={data_root}",
                f"--refuse={','.join([up['etcd'], *known])}",
            ],
            # It closes every browser cleanly, which flushes their cookies.
            grace_s=30.0,
            environment=_chrome_environment(),
        ),
        Program(
            "recovery",
            lambda at, up: [*_service("recovery", at), f"--lockservice={up['lockservice']}"],
            listen=recovery,
        ),
        Program(
            "gateway",
            lambda at, up: [
                *_service("gateway", at),
                f"--http-listen={http_listen}",
                f"--lockservice={up['lockservice']}",
                f"--recovery={up['recovery']}",
            ],
            listen=listen,
        ),
    ]


def _beside(address: str, number: int) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + number}"


def _service(name: str, address: str) -> list[str]:
    return [sys.executable, "-m", name, f"--listen={address}", "--log-format=json"]


def _chrome_environment() -> dict[str, str]:
    """The browser that this machine has, unless its name is given."""
    found = machine.CHROME.path()
    return {"TENURE_CHROME": found} if found and "TENURE_CHROME" not in os.environ else {}


def _etcd_environment() -> dict[str, str]:
    # etcd 3.4 refuses to run elsewhere than on amd64 unless told by name.
    names = {"aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}
    name = names.get(platform.machine())
    return {"ETCD_UNSUPPORTED_ARCH": name} if name and "ETCD_UNSUPPORTED_ARCH" not in os.environ else {}


async def etcd_serves(address: str) -> None:
    """Return once etcd at the address answers that it is healthy, which takes a raft round trip."""
    while True:
        try:
            if b'"health":"true"' in await _get(address, "/health"):
                return
        except OSError:
            pass  # nobody listens yet
        await asyncio.sleep(_PROBE_PAUSE_S)


async def etcd_version(address: str) -> str:
    """The version of the etcd that serves at the address."""
    return str(json.loads(await _get(address, "/version"))["etcdserver"])


def etcd_warning(version: str) -> str | None:
    """What a person must know about an etcd of this version; None when there is nothing."""
    if version.startswith("3.4."):
        return (
            f"etcd {version} is at its end of life: fine for one machine and for trying Tenure, "
            "not for production, where etcd 3.5.16 or newer belongs"
        )
    return None


async def _get(address: str, path: str) -> bytes:
    """The body of a GET; these two are not worth importing an HTTP library for."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        return (await reader.read()).partition(b"\r\n\r\n")[2]
    finally:
        writer.close()
