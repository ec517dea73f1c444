"""The pause that clients see: a few connections of which each sends a message as soon as the one before is back.

In a process of its own, so that what else a script does is not in the figures: `python -m load.meter HOST PORT COUNT`.
It says "ready", measures until its stdin ends, and then prints JSON: how many echoes there were, and when between two
of them more than LONG passed. The times are of the monotonic clock, which all processes share.
"""

import json
import select
import socket
import sys
import time
from dataclasses import dataclass

from load.endless import message
from load.talk import BINARY, UPGRADE

LONG = 0.005  # seconds
REST = 0.002  # seconds between an echo and the next message
TIMEOUT = 30.0  # seconds: an echo that takes longer is none


@dataclass(frozen=True)
class Gap:
    """Between two echoes on one connection."""

    ended: float
    """When the second one came, on the monotonic clock."""
    seconds: float


@dataclass(frozen=True)
class Measured:
    """What a meter has seen."""

    echoes: int
    gaps: tuple[Gap, ...]
    """The long ones."""

    def longest(self, since: float, until: float) -> float:
        """Seconds of the longest gap that ended in that time; LONG if none was longer."""
        return max((gap.seconds for gap in self.gaps if since <= gap.ended <= until), default=LONG)

    @classmethod
    def decode(cls, printed: str) -> "Measured":
        """From what a meter has printed. Raises ValueError."""
        said = json.loads(printed)
        return cls(said["echoes"], tuple(Gap(*gap) for gap in said["gaps"]))


def connect(host: str, port: int) -> socket.socket:
    """One WebSocket."""
    sock = socket.create_connection((host, port), TIMEOUT)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(UPGRADE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _received(sock, 4096)
    return sock


def measure(socks: list[socket.socket]) -> Measured:
    """Echo on all of them until stdin ends. Raises OSError, RuntimeError when an echo is not as it must be."""
    last = [time.monotonic()] * len(socks)
    gaps: list[Gap] = []
    count = 0
    while not select.select([sys.stdin], [], [], REST)[0]:
        count += 1
        text = count.to_bytes(8, "big")
        for sock in socks:
            sock.sendall(message(BINARY, text, masked=True))
        for place, sock in enumerate(socks):
            echo = b""
            while len(echo) < 18:
                echo += _received(sock, 18 - len(echo))
            if echo[2:] != text + text:
                raise RuntimeError(f"echo {count} is {echo!r}")
            now = time.monotonic()
            if now - last[place] > LONG:
                gaps.append(Gap(now, now - last[place]))
            last[place] = now
    return Measured(count * len(socks), tuple(gaps))


def _received(sock: socket.socket, count: int) -> bytes:
    if data := sock.recv(count):
        return data
    raise RuntimeError("the connection was cut")


def main() -> None:
    """Connect, say so, measure, print."""
    host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    socks = [connect(host, port) for _ in range(count)]
    print("ready", flush=True)
    measured = measure(socks)
    print(json.dumps({"echoes": measured.echoes, "gaps": [[gap.ended, gap.seconds] for gap in measured.gaps]}))


if __name__ == "__main__":
    main()
