"""What a keeper holds for its host, and gives to the next one when that host has died.

Copies of the host's ends of the debugging pipe, of the socket that the browser's way out listens on,
and of a socket to be called at. As long as the pipe's are open here, the host's death is not the
pipe's end. Of the standard library only, as the keeper is.
"""

import os
import sys

from browserhost.keeper_spawn import private

_ANSWER_S = 2.0
_CREDENTIALS = 12  # struct ucred of unix(7): pid, uid, gid


class Store:
    """The keeper's word `WRITE:READ:PORT:CALLED:SECONDS:PATH`: four descriptors, how long to wait for a
    next host once the own one has died, and where that calls. `PORT` alone never waits, nor does `-`, which
    is none.

    `note` is what the host last said of the browser, b"" before it has said anything. The socket of the
    way out stays here until `close`: were it to end before Chrome, its port would be anybody's.
    """

    __slots__ = ("_called", "_path", "_pipe", "_wait_s", "_way_out", "note")

    def __init__(self, word: str) -> None:
        *descriptors, seconds, self._path = word.split(":", 5) if ":" in word else ["0", ""]
        *self._pipe, self._way_out, self._called = [private(int(each)) for each in descriptors] or [-1, -1]
        if word.isdecimal():
            self._way_out = private(int(word))
        self._wait_s = float(seconds)
        self.note = b""

    @property
    def patience_s(self) -> float:
        """How long to wait for a next host: not at all where it could go on with nothing."""
        return self._wait_s if self._pipe and self.note else 0.0

    def fileno(self) -> int:
        """Readable when somebody calls; -1 once nothing is kept for anybody."""
        return self._called

    def drop(self) -> None:
        """Keep it for nobody any more: from now on the host's end is that of the pipe. Idempotent."""
        for descriptor in self._pipe:
            os.close(descriptor)
        self._pipe = []
        if self._called >= 0:
            os.close(self._called)
            self._called = -1
            try:
                os.unlink(self._path)
            except OSError:
                return  # whoever has removed its folder has removed it too

    def close(self) -> None:
        """Keep nothing at all, as nothing is left of the browser. Idempotent."""
        self.drop()
        if self._way_out >= 0:
            os.close(self._way_out)
            self._way_out = -1

    def hand_over(self, said: bytes) -> int:
        """Answer who calls: to the keeper's own user everything, with what was reported so far.

        Returns the descriptor of the new life line, -1 when it was nobody of ours, or gave up. The caller
        sees to it that the old host is dead: two that write to one pipe would cut each other's messages.
        """
        import socket

        with socket.socket(fileno=os.dup(self._called)) as called:
            caller, _ = called.accept()
        with caller:
            credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS)
            if int.from_bytes(credentials[4:8], sys.byteorder) != os.geteuid():
                return -1
            caller.settimeout(_ANSWER_S)
            try:
                socket.send_fds(caller, [said[:1]], [*self._pipe, self._way_out])
                caller.sendall(said[1:] + b"note " + self.note + b"\nkept\n")
            except OSError:
                return -1
            caller.setblocking(True)
            return private(caller.detach())
