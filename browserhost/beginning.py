"""The parts of a live browser put together: of one that is started, or of one that another host left."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from browserhost import chrome, durable, leftovers
from browserhost.chrome import LaunchSpec
from browserhost.egress.forwarder import Forwarder
from browserhost.keepers import CALL_S, Called
from browserhost.mux import CdpMux
from browserhost.pipe import DebuggingPipe
from browserhost.tree import Kept, NotTheSame, ProcessTree
from tenure.errors import BrowserCrashed

_TURN = 100_000_000  # calls that one host may make of a browser before its ids are the next one's
_TURNS = 20  # ids are of 31 bits


@dataclass(frozen=True, slots=True)
class Parts:
    """The processes, the way to speak to them, and their way out."""

    tree: ProcessTree
    mux: CdpMux
    pipe: DebuggingPipe
    forwarder: Forwarder


async def start(spec: LaunchSpec) -> Parts:
    """Start the processes. Raises BrowserMissing, DiskFull, FileNotFoundError (no profile directory)."""
    program, xvfb = chrome.chrome_path(spec.chrome), chrome.program_path(spec.xvfb)
    chrome.make_ready(spec)
    directory = leftovers.directory(spec.tmp_root, spec.host)
    mux: CdpMux
    with ExitStack() as undo:
        forwarder = await _way_out(spec)
        undo.callback(forwarder.close)
        pipe, ends = await DebuggingPipe.open(
            lambda message: mux.received(message),  # noqa: PLW0108 - `mux` is made with the pipe
            lambda: mux.lost(BrowserCrashed.reason),
        )
        undo.callback(pipe.close)
        mux = CdpMux(pipe)
        with ExitStack() as done:
            for end in ends:
                done.callback(os.close, end)
            kept = None
            way_out = done.enter_context(forwarder.listening).fileno()
            if spec.keepers.wait_s:
                called, path = _listen(spec, directory.name)
                done.enter_context(called)
                undo.callback(path.unlink, missing_ok=True)
                kept = Kept(*pipe.descriptors, way_out, called.fileno(), spec.keepers.wait_s, path)
            tree = ProcessTree.start(
                directory=directory,
                xvfb=xvfb,
                size=(spec.width, spec.height),
                argv=chrome.arguments(spec, program, chrome.shm_free(), forwarder.url),
                environment=chrome.environment(os.environ, spec.geo),
                lock=spec.lock_fd,
                pipe=ends,
                user=spec.user,
                cgroup=spec.cgroup,
                kept=kept,
                way_out=way_out,
            )
        undo.pop_all()
    return Parts(tree, mux, pipe, forwarder)


async def go_on(spec: LaunchSpec, called: Called, *, still: bool = False) -> Parts:
    """Take over what a keeper kept. Raises NotTheSame, OSError, with `called` closed.

    `still`: no client of the host before is gone on with.
    """
    # No id that a host before may still be answered under; the one that started it had turn 0.
    turn, clients = called.note.turn + 1, called.note.clients
    first = turn % _TURNS * _TURN + 1
    note = replace(called.note, turn=turn, clients=None)
    mux: CdpMux
    in_step = left = False

    def received(message: bytes | bytearray) -> None:
        # Before the first answer to this host comes what was under way to another, the first of it cut.
        nonlocal in_step
        in_step = in_step or message.startswith(b'{"id":%d,' % first)
        if in_step:
            mux.received(message)
        elif left:
            mux.overhear(message)

    with ExitStack() as undo:
        undo.callback(called.close)
        # Before anything is said or read: should this host die too, the next one's ids are its own, and it
        # cannot go on from where the one before this stopped.
        async with asyncio.timeout(CALL_S):
            await asyncio.get_running_loop().sock_sendall(called.life, f"note {note.text()}\n".encode())
        called.note = note
        way_out, called.way_out = called.way_out, -1
        forwarder = await _way_out(spec, socket.socket(fileno=way_out))
        undo.callback(forwarder.close)
        (write, called.write), (read, called.read) = (called.write, -1), (called.read, -1)
        pipe = DebuggingPipe(received, lambda: mux.lost(BrowserCrashed.reason))
        mux = CdpMux(pipe, first)
        left = not still and _restored(mux, clients)
        undo.callback(pipe.close)
        await pipe.adopt(write, read)
        tree = ProcessTree.adopt(called.life, called.reports, Path(note.directory), Path(note.own))
        tree.cgroup = note.cgroup
        called.taken = True
        undo.pop_all()
    if not left:
        # Half a call may be in the pipe, or a whole one less its end: with this it is none.
        pipe.write(b"#")
    return Parts(tree, mux, pipe, forwarder)


def _restored(mux: CdpMux, clients: Mapping[str, Any] | None) -> bool:
    """Whether the host before left clients, which are parked now."""
    if clients is None:
        return False
    try:
        mux.roster.restore(clients, mux.dismiss)
    except (AttributeError, KeyError, TypeError, ValueError):
        return False  # of a host that wrote it differently
    return True


async def _way_out(spec: LaunchSpec, sock: socket.socket | None = None) -> Forwarder:
    uid = spec.user[0] if spec.user else None
    return await Forwarder.start(spec.egress, spec.upstream, spec.profile_dir.name, uid=uid, sock=sock)


def _listen(spec: LaunchSpec, name: str) -> tuple[socket.socket, Path]:
    with durable.disk_full_is_refused(spec.keepers.folder):
        return spec.keepers.listen(name)


__all__ = ["NotTheSame", "Parts", "go_on", "start"]
