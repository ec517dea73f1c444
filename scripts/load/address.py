"""Where to connect: "127.0.0.1:8080", "[::1]:8080" or "unix:/path"."""

import trio


async def connect(address: str) -> trio.SocketStream:
    """Open one connection. Raises OSError where nobody listens, ValueError for what is not an address."""
    if address.startswith("unix:"):
        return await trio.open_unix_socket(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f'"{address}" is not an address: wanted "host:port", "[ipv6]:port" or "unix:/path"')
    return await trio.open_tcp_stream(host.strip("[]"), int(port))
