"""Where a door listens: the addresses of `listen`."""

from __future__ import annotations

import ipaddress
import os
import re

from frontdoor.config.problem import show_value

LONGEST_SOCKET_PATH = 107
"""Bytes. unix(7): sun_path has 108, the last of which is the NUL."""

CONTROL_SOCKET = "control.sock"

# The longest path that a generation's socket can have below runtime_dir, with room for a million generations
# and for MOST_PROCESSES of them.
_LONGEST_BACKEND_SOCKET = "g999999/99.sock"
MOST_PROCESSES = 100

_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?\Z")
_LOOKS_LIKE_IPV6 = re.compile(r"[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*\Z")
_LOOKS_LIKE_IPV4 = re.compile(r"[0-9.]+\Z")
_SYSTEMD = "systemd:"
_SOCKET_NAME = re.compile(r"[ -9;-~]{1,255}\Z")  # systemd.socket(5), FileDescriptorName=
_FORMS = '"host:port", "[::1]:8080", "unix:path" or "systemd:NAME"'
_EVERY_INTERFACE = 'for every interface write "0.0.0.0:{port}" or "[::]:{port}"'


def parse_address(text: str, folder: str) -> str:
    """Bring an address of `listen` into its one form: "host:port", "[::1]:8080", "unix:/absolute/path", "systemd:NAME".

    A relative path is taken from `folder`. Raises ValueError, in the user's words.
    """
    if text.startswith("unix:"):
        return f"unix:{_socket_path(text, folder)}"
    if text.startswith(_SYSTEMD):
        return _systemd_socket(text)
    host, colon, port = text.rpartition(":")
    if not colon or (host.startswith("[") and not host.endswith("]")):
        if text.isascii() and text.isdigit():
            raise ValueError(f"{show_value(text)} has no host: {_EVERY_INTERFACE.format(port=text)}")
        raise ValueError(f"{show_value(text)} has no port: write {_FORMS}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{show_value(text)}: the port must be a number from 0 to 65535")
    return f"{_host(text, host, port)}:{int(port)}"


def is_host_name(text: str) -> bool:
    """Whether it could be a name of the DNS."""
    return bool(_HOST_NAME.match(text)) and len(text) <= 253


def check_socket_path(path: str) -> None:
    """Raise ValueError if the kernel would not take `path` as the address of a Unix socket."""
    size = len(os.fsencode(path))
    if size > LONGEST_SOCKET_PATH:
        shown = path if path.isprintable() else repr(path)
        raise ValueError(f"the socket path {shown} has {size} bytes, and the limit is {LONGEST_SOCKET_PATH}")


def check_runtime_dir(runtime_dir: str, door: str = "") -> None:
    """Raise ValueError if the sockets below `runtime_dir` would have too long a path.

    `door` is the name of the folder in between, "" for none: the door main has none of its own.
    """
    try:
        # The control socket's name is shorter than a backend's: one check is enough for both.
        check_socket_path(os.path.join(runtime_dir, door, _LONGEST_BACKEND_SOCKET))
    except ValueError as error:
        ask = f", or choose a shorter name than {door} for that door" if door else ""
        raise ValueError(f"{error}; set a shorter [frontdoor] runtime_dir{ask}") from None


def _socket_path(text: str, folder: str) -> str:
    path = text.removeprefix("unix:")
    if not path:
        raise ValueError(f'{show_value(text)} has no path: write "unix:run/app.sock"')
    if path.startswith("@"):
        raise ValueError(
            f"{show_value(text)}: abstract sockets are not offered; write a path "
            f'("unix:./{path}" for a file of that name)'
        )
    absolute = os.path.normpath(os.path.join(folder, path))
    try:
        check_socket_path(absolute)
    except ValueError as error:
        raise ValueError(
            f"{error}; write a shorter path (one in [frontdoor] runtime_dir is limited too: "
            f"set a shorter [frontdoor] runtime_dir)"
        ) from None
    return absolute


def _systemd_socket(text: str) -> str:
    """Whether systemd passes a socket of that name shows when frontdoor is started: a check may be done elsewhere."""
    name = text.removeprefix(_SYSTEMD)
    if not name:
        raise ValueError(f'{show_value(text)} has no name: write "systemd:web", for FileDescriptorName=web')
    if not _SOCKET_NAME.match(name):
        rule = "at most 255 printable ASCII characters, and no colon (systemd.socket(5), FileDescriptorName=)"
        raise ValueError(f"{show_value(text)}: the name of a socket of systemd has {rule}")
    return text


def _host(text: str, host: str, port: str) -> str:
    shown = show_value(text)
    if host in ("", "*"):
        raise ValueError(f"{shown} has no host: {_EVERY_INTERFACE.format(port=port)}")
    if host.startswith("["):
        try:
            return f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            raise ValueError(f"{shown}: {show_value(host[1:-1])} is not an IPv6 address") from None
    if _LOOKS_LIKE_IPV6.match(host):
        raise ValueError(f'{shown}: an IPv6 address stands in brackets: write "[{host}]:{port}"')
    if _LOOKS_LIKE_IPV4.match(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"{shown}: {show_value(host)} is not an IPv4 address") from None
    if not is_host_name(host):
        raise ValueError(f"{shown}: {show_value(host)} is not a host name")
    return host.lower()
