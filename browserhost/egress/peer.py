"""Whose socket is at the other end of a connection on loopback: the kernel says which user's.

A port on loopback is open to every user of the machine. sock_diag(7) tells the owner of one socket in
some 40 µs; where it is not to be had, /proc/net/tcp does, in a time that grows with the sockets there are.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from pathlib import Path

Address = tuple[str, int]

_SOCK_DIAG = 4  # the netlink family
_BY_FAMILY = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST = 1  # NLM_F_REQUEST
_ERROR = 2  # NLMSG_ERROR
_HEADER = struct.Struct("=IHHII")
_QUERY = struct.Struct("=BBBBI2s2s4s12x4s12xI8s")  # inet_diag_req_v2
_ANSWER = struct.Struct("=BBBB48xIIIII")  # inet_diag_msg
_ANY_COOKIE = b"\xff" * 8
_PATIENCE_S = 1.0
_TABLE = Path("/proc/net/tcp")


def uid_of(client: Address, server: Address) -> int | None:
    """The user whose socket is `client`, an IPv4 one connected to `server`; None when nobody has it open.

    A socket that its owner has closed counts as nobody's: the kernel then knows no owner, and says 0.
    """
    try:
        return _ask_kernel(client, server)
    except OSError:
        return _look_up(client, server)


def _ask_kernel(client: Address, server: Address) -> int | None:
    """Raises OSError when the kernel does not answer."""
    query = _QUERY.pack(
        *(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF),
        *(client[1].to_bytes(2, "big"), server[1].to_bytes(2, "big")),
        *(socket.inet_aton(client[0]), socket.inet_aton(server[0])),
        *(0, _ANY_COOKIE),
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as kernel:
        kernel.settimeout(_PATIENCE_S)
        kernel.send(_HEADER.pack(_HEADER.size + len(query), _BY_FAMILY, _REQUEST, 1, 0) + query)
        answer = kernel.recv(8192)
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind == _ERROR:
        code = -struct.unpack_from("=i", answer, _HEADER.size)[0]
        if code == errno.ENOENT:
            return None
        raise OSError(code, os.strerror(code))
    *_, uid, inode = _ANSWER.unpack_from(answer, _HEADER.size)
    return uid if inode else None


def _look_up(client: Address, server: Address) -> int | None:
    """Raises OSError when there is no table either."""
    wanted = [_as_listed(client), _as_listed(server)]
    for line in _TABLE.read_text().splitlines()[1:]:
        words = line.split()
        if words[1:3] == wanted:
            return int(words[7]) if words[9] != "0" else None
    return None


def _as_listed(address: Address) -> str:
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
