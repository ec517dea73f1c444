"""Opening listening sockets. It is the keeper that does it: it alone may be privileged, and it alone never dies."""

import errno
import os
import socket
import stat

from frontdoor.keeper.identity import Identity, acting_as

BACKLOG = 65_535
"""As long as the kernel allows (it cuts it to net.core.somaxconn): a full backlog is a client that is turned away."""


_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""``localhost`` is ::1 too where there is no IPv6: an address that this machine does not have is no loss if there is
another one of the same name."""


def open_listeners(
    address: str, *, mode: int | None = None, group: int | None = None, rights: Identity | None = None
) -> list[socket.socket]:
    """Bind and listen at ``"host:port"``, ``"[::1]:8080"`` or ``"unix:/path"``; all addresses of a host name.

    ``mode`` is the rights of a Unix socket's file, ``group`` the group that it is given to, and ``rights`` whose rights
    on its folder are used: he is its owner then. Raises OSError with the reason.
    """
    if address.startswith("unix:"):
        with acting_as(rights):
            return [_open_unix(address.removeprefix("unix:"), mode, group)]
    host, _, number = address.rpartition(":")
    port = int(number)
    if not 0 <= port <= 65535:
        raise ValueError(f"{port} is no port")  # the resolver would take it modulo 65536
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = list(dict.fromkeys((family, place) for family, _, _, _, place in found))
    opened: list[socket.socket] = []
    missing: OSError | None = None
    for family, place in places:
        try:
            opened.append(_open_tcp(family, place))
        except OSError as error:
            if error.errno in _NOT_HERE:
                missing = error
                continue
            for sock in opened:
                sock.close()
            raise
        if port == 0:
            break  # the kernel picks the port: a second address of the same name would get another one
    if missing is not None and not opened:
        raise missing
    return opened


def _open_tcp(family: int, place: object) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # A restart of frontdoor must not wait for the TIME_WAIT of connections that it closed (socket(7)).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Else "[::]:80" takes the IPv4 port as well, and "0.0.0.0:80" beside it fails (ipv6(7)).
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        prepare_tcp(sock)
        sock.bind(place)  # type: ignore[arg-type]  # getaddrinfo's own answer, a tuple whose shape follows the family
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def prepare_tcp(sock: socket.socket) -> None:
    """Set what accepted sockets inherit, which saves two system calls on every stream.

    That is no delay for small messages, and probes that notice within about two minutes a client whose machine has
    vanished (tcp(7)).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4)


def _open_unix(path: str, mode: int | None, group: int | None) -> socket.socket:
    _clear_stale(path)
    mask = 0o111 if mode is None else 0o777 & ~mode
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    # The rights must hold from the first instant on: a chmod after the bind leaves a gap. The keeper has one thread.
    before = os.umask(mask)
    try:
        sock.bind(path)
        if group is not None:  # before anybody can connect: up to then its mode lets in a group that was not meant
            os.chown(path, -1, group, follow_symlinks=False)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _clear_stale(path: str) -> None:
    """Remove the socket file of a server that is gone; leave one that answers, and whatever is not a socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "there is a file of that name, and it is not a socket", path)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError:
            pass  # EAGAIN: somebody listens there and is busy
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), path)
