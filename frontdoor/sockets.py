"""Sockets as bare descriptor numbers. The relay holds thousands; a socket object each would be most of its memory."""

import ctypes
import errno
import fcntl
import os
import socket
import sys
import termios

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENOSPC})
"""There is no descriptor or no memory to be had just now: wait until somebody leaves (accept(2), socket(2)). ENOSPC is
what epoll_ctl(2) says when the user has nothing left to watch descriptors with."""


_libc = ctypes.CDLL(None)
_TO_NOBODY_ELSE = bytes(16)
"""A struct sockaddr of the family AF_UNSPEC, which Python has no way to say (connect(2))."""

_Socket = socket.SocketType
"""The socket without the Python around it, which is half of what a short connection costs."""

_UNIX = int(socket.AF_UNIX)
_STREAM = int(socket.SOCK_STREAM)
_STREAM_AT_ONCE = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK)


def accept(listening: socket.socket) -> tuple[int, object]:
    """Accept a client now; the descriptor, which does not block and is not inherited, and his address.

    Raises BlockingIOError when there is none, and OSError as accept(2).
    """
    # What socket.accept calls before it wraps the descriptor: the wrapping is two system calls and an object.
    fd, address = listening._accept()  # type: ignore[attr-defined]  # typeshed leaves it out
    os.set_blocking(fd, False)
    return fd, address


def dial(address: str) -> int | None:
    """Connect to a Unix socket now; the descriptor, or None when the backlog there is full.

    A Unix socket connects at once or not at all: with a full backlog ``connect`` says EAGAIN and nothing is under way
    (connect(2)); ``trio.open_unix_socket`` takes that for a connection in progress and for a success.

    Raises OSError: ConnectionRefusedError and FileNotFoundError mean that nobody listens.
    """
    sock = _Socket(_UNIX, _STREAM_AT_ONCE)
    try:
        sock.connect(address)
        return sock.detach()
    except BlockingIOError:
        return None
    finally:
        sock.close()  # nothing, when it was detached


def shut(fd: int, how: int = socket.SHUT_WR) -> None:
    """Send FIN. It is harmless on a socket that is not connected any more."""
    # The family does not matter to shutdown(2), and naming one saves the three system calls that find it out.
    sock = _Socket(_UNIX, _STREAM, 0, fd)
    try:
        sock.shutdown(how)
    except OSError:
        pass  # ENOTCONN: the other side has reset it, and its read has said so or will
    finally:
        sock.detach()


def unsent(fd: int) -> int:
    """Bytes that were written, and that the other side's kernel has not taken; of a Unix socket, that nobody has read.

    0 where that is not known (tcp(7), unix(7): SIOCOUTQ).
    """
    try:
        return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def reset(fd: int) -> None:
    """Send RST, and forget what has not been sent yet. It is harmless on a socket that is not connected any more.

    Closing with SO_LINGER at 0 does the same, but only where nobody else holds the socket. This needs nobody's help
    (connect(2): a connection is dissolved by connecting to AF_UNSPEC).
    """
    _libc.connect(fd, _TO_NOBODY_ELSE, len(_TO_NOBODY_ELSE))


def to_nobody() -> int:
    """A connected Unix socket whose other end is closed: who reads gets the end, who writes EPIPE. Raises OSError."""
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours.detach()


def receive(fd: int, count: int) -> bytes:
    """Read at most ``count`` bytes now. Raises BlockingIOError and OSError as recv(2)."""
    return os.read(fd, count)


def peek(fd: int, count: int) -> bytes:
    """See at most ``count`` bytes that can be read now, and leave them where they are. b"" is the end.

    Raises BlockingIOError and OSError as recv(2).
    """
    sock = _Socket(_UNIX, _STREAM, 0, fd)  # the family does not matter, as in ``shut``
    try:
        return sock.recv(count, socket.MSG_PEEK)
    finally:
        sock.detach()


def show(address: object) -> str:
    """A client's address for people: ``203.0.113.7:51234``, ``[2001:db8::1]:443``, ``unix``."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return "unix"
