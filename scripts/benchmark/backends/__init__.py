"""What the targets stand in front of: `web`, an nginx for requests, and `raw`, for all else. Each on a Unix socket."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backend:
    """One that runs: its Unix socket is for the proxies, and its port on 127.0.0.1 is the target "direct"."""

    socket: str
    port: int
