"""The messages between the keeper and the door process: JSON and descriptors over a SOCK_SEQPACKET pair.

The kernel keeps the borders of each message and delivers its descriptors with it (unix(7), SCM_RIGHTS), so there is no
framing to get wrong. The protocol has a number, because the code on disk may be newer than the keeper that runs.

What is kept travels as entries, many in a message: ``[key, note, count]``, whose descriptors are the next ``count`` of
those that came with it. ``put`` brings them to the keeper, ``held`` brings them back.
"""

import array
import errno
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

PROTOCOL = 2
PREVIOUS = 1
"""Spoken by this code, and by that of before. A keeper speaks its own alone; a door process speaks both (``dialect``):
it may have been started from newer code than the keeper, after a crash."""

MAX_DESCRIPTORS = 253
"""In one message: SCM_MAX_FD of the kernel; one more and ``sendmsg`` says EINVAL."""

MAX_BYTES = 160 * 1024
"""In one message. A packet must fit into the socket's send buffer, which is 212,992 bytes where nobody changed it."""

REQUEST_BYTES = 128 * 1024
"""In a request to the keeper: what it hands back later, with a little around it, must fit into one message too."""

NO_ROOM = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
"""The kernel does not take a message just now: too many descriptors are under way, or it has no memory for it (send(2),
unix(7)). Nothing was sent, the wire is as before, and no event tells when it is to be tried again."""

_ANCILLARY = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)

Body = dict[str, Any]


class Garbage(Exception):  # noqa: N818 - it names what arrived, in the words of the design
    """A message that is not one of ours. It is refused; the wire goes on."""


@dataclass(slots=True)
class Message:
    """One message. Whoever receives it owns its descriptors."""

    body: Body
    fds: list[int] = field(default_factory=list)
    truncated: bool = False
    """The kernel could not give all descriptors (MSG_CTRUNC: the receiver is at its RLIMIT_NOFILE). None is kept."""

    def close(self) -> None:
        """Give back what nobody took."""
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new wire, non-blocking: neither side may ever wait for the other."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def encode(body: Body, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a message.

    Raises ValueError when it is larger than a packet may be, or nested too deep for JSON.
    """
    try:
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    data = text.encode(errors="surrogatepass")  # a path that is not UTF-8 has lone surrogates (os.fsdecode)
    if len(data) > limit:
        raise ValueError(f"a message of {len(data)} bytes is more than the {limit} that fit into one packet")
    return data


def send(sock: socket.socket, data: bytes, fds: Iterable[int] = ()) -> None:
    """Send one message now.

    Raises BlockingIOError when the other side is behind, OSError (``NO_ROOM``) when the kernel does not take it now,
    BrokenPipeError or ConnectionResetError when the other side is gone.
    """
    numbers = array.array("i", fds)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if numbers else []
    sock.sendmsg([data], rights, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> Message:
    """Take one message.

    Raises BlockingIOError when there is none, EOFError when the other side is gone and all is taken, Garbage when it is
    not a JSON object (its descriptors are closed).
    """
    try:
        # MSG_CMSG_CLOEXEC: Python's own recv_fds leaves the descriptors inheritable, and a backend would get them.
        data, ancillary, flags, _ = sock.recvmsg(MAX_BYTES, _ANCILLARY, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
    except ConnectionResetError:
        # The other side has ended with something unread. That is said once, and before what it had sent is handed out.
        return receive(sock)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    message = Message({}, list(fds))
    if flags & socket.MSG_CTRUNC:
        message.close()
        message.truncated = True
    if not data and not fds:
        raise EOFError
    try:
        # Of bytes it would take UTF-16 too, in which a request can be shorter than an answer that quotes it.
        body = json.loads(data.decode(errors="surrogatepass"))
    except (ValueError, RecursionError):  # a packet has room for enough brackets to exhaust the parser's stack
        body = None
    if not isinstance(body, dict) or flags & socket.MSG_TRUNC:
        message.close()
        raise Garbage(f"{len(data)} bytes that are no message: {data[:40]!r}")
    message.body = body
    return message
