"""A backend that prints as much as a client asks for: "LINES RATE LENGTH", each line with its number, from 0 on.

It answers each such line, when all of it is printed, with the seconds that this took. RATE is lines a second, 0 for as
fast as its output is read. Standard library only, one client at a time.
"""

import os
import socket
import sys
import time

TICK = 0.01
"""Seconds between two bursts: a busy program prints several lines at once."""


def say(first: int, lines: int, length: int) -> None:
    sys.stdout.write("".join(f"{number} ".ljust(length, "x") + "\n" for number in range(first, first + lines)))
    sys.stdout.flush()


def shout(first: int, lines: int, rate: int, length: int) -> float:
    """Print so many lines, and no faster than that; how long it took."""
    began, said = time.monotonic(), 0
    while said < lines:
        due = lines if not rate else min(lines, int((time.monotonic() - began) * rate))
        while said < due:
            some = min(10, due - said)
            say(first + said, some, length)
            said += some
        time.sleep(TICK if rate else 0)
    return time.monotonic() - began


def main() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.environ["FRONTDOOR_SOCKET"])
    listener.listen(16)
    said = 0
    while True:
        client, _ = listener.accept()
        with client, client.makefile("rb") as asked:
            for line in asked:
                lines, rate, length = map(int, line.split())
                took = shout(said, lines, rate, length)
                said += lines
                client.sendall(b"%.3f\n" % took)


if __name__ == "__main__":
    main()
