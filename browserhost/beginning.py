"""The parts of a live browser put together: of one that is started, or of one that another host left."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from browserhost import chrome, durable, leftovers
from browserhost.chrome import LaunchSpec
from browserhost.egress.forwarder import Forwarder
from browserhost.keepers import Called
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
            if spec.keepers.wait_s:
                called, path = _listen(spec, directory.name)
                done.enter_context(called)
                undo.callback(path.unlink, missing_ok=True)
                way_out = done.enter_context(forwarder.listening).fileno()
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
            )
        undo.pop_all()
    return Parts(tree, mux, pipe, forwarder)


async def go_on(spec: LaunchSpec, called: Called) -> Parts:
    """Take over what a keeper kept. Raises NotTheSame, OSError, with `called` closed."""
    # No id that a host before may still be answered under; the one that started it had turn 0.
    note, first = called.note, (called.note.turn + 1) % _TURNS * _TURN + 1
    mux: CdpMux
    in_step = False

    def received(message: bytes | bytearray) -> None:
        # Before the first answer to this host comes what was under way to another, the first of it cut.
        nonlocal in_step
        in_step = in_step or message.startswith(b'{"id":%d,' % first)
        if in_step:
            mux.received(message)

    with ExitStack() as undo:
        undo.callback(called.close)
        way_out, called.way_out = called.way_out, -1
        forwarder = await _way_out(spec, socket.socket(fileno=way_out))
        undo.callback(forwarder.close)
        (write, called.write), (read, called.read) = (called.write, -1), (called.read, -1)
        pipe = await DebuggingPipe.adopt(write, read, received, lambda: mux.lost(BrowserCrashed.reason))
        undo.callback(pipe.close)
        mux = CdpMux(pipe, first)
        tree = ProcessTree.adopt(called.life, called.reports, Path(note.directory), Path(note.own))
        tree.cgroup = note.cgroup
        called.taken = True
        undo.pop_all()
    # Half a call may be in the pipe, or a whole one less its end: with this it is none.
    pipe.write(b"#")
    return Parts(tree, mux, pipe, forwarder)


async def _way_out(spec: LaunchSpec, sock: socket.socket | None = None) -> Forwarder:
    uid = spec.user[0] if spec.user else None
    return await Forwarder.start(spec.egress, spec.upstream, spec.profile_dir.name, uid=uid, sock=sock)


def _listen(spec: LaunchSpec, name: str) -> tuple[socket.socket, Path]:
    with durable.disk_full_is_refused(spec.keepers.folder):
        return spec.keepers.listen(name)


__all__ = ["NotTheSame", "Parts", "go_on", "start"]
