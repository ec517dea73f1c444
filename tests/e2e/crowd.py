"""A crowd: so many new clients a second, each of which waits for a greeting, stays for a moment and leaves."""

import errno
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Self

from e2e.harness import until

PATIENCE = 15.0
"""Seconds that a client waits for its greeting."""

STAY = 0.2
"""Seconds that it stays after that: so many are there at once that each process has some."""


@dataclass(slots=True)
class Visit:
    """One client."""

    began: float
    """When it connected, on the monotonic clock."""
    ended: float = 0.0
    generation: str = ""
    """Who has greeted it; empty: nobody, it was sent away without a word, or is still here."""

    @property
    def failed(self) -> bool:
        return bool(self.ended) and not self.generation


class Crowd:
    """Comes at an even pace, in a thread of its own."""

    def __init__(self, address: tuple[str, int], rate: float) -> None:
        """``rate``: clients a second."""
        self._address = address
        self._rate = rate
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=self._come)
        self._broken: BaseException | None = None
        self.visits: list[Visit] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaves.set()
        self._thread.join()
        if self._broken is not None:
            raise self._broken

    def greeted(self, generation: str = "") -> int:
        """How many were, by that generation or by any."""
        return sum(visit.generation == generation if generation else bool(visit.generation) for visit in self.visits)

    def since(self, moment: float) -> list[Visit]:
        """Those who came after that, on the monotonic clock."""
        return [visit for visit in self.visits if visit.began > moment]

    @property
    def failed(self) -> list[Visit]:
        return [visit for visit in self.visits if visit.failed]

    def goes_on(self, more: int = 20) -> None:
        """Wait until so many more have been greeted."""
        before = self.greeted()
        until(lambda: self.greeted() >= before + more, f"{more} more are greeted")

    def _come(self) -> None:
        try:
            self._come_and_go()
        except BaseException as error:  # the thread's own: it is raised where the crowd ends
            self._broken = error

    def _come_and_go(self) -> None:
        poll, here, stay = (
            select.epoll(),
            dict[int, tuple[socket.socket, Visit]](),
            deque[tuple[float, socket.socket]](),
        )
        began, number = time.monotonic(), 0
        try:
            while here or not self._leaves.is_set():
                now = time.monotonic()
                while not self._leaves.is_set() and began + number / self._rate <= now:
                    number += 1
                    self._arrive(poll, here)
                due = began + number / self._rate - now
                for fd, _ in poll.poll(max(0.0, due) if not self._leaves.is_set() else 0.05):
                    sock, visit = here.pop(fd)
                    poll.unregister(fd)
                    self._hear(sock, visit)
                    stay.append((visit.ended + STAY, sock))
                while stay and (stay[0][0] <= now or self._leaves.is_set()):
                    stay.popleft()[1].close()
                oldest = next(iter(here.values()), None)
                if oldest is not None and time.monotonic() - oldest[1].began > PATIENCE:
                    raise AssertionError(f"a client has waited for {PATIENCE} s: {oldest[1]}")
        finally:
            for sock in [*(sock for sock, _ in here.values()), *(sock for _, sock in stay)]:
                sock.close()
            poll.close()

    def _arrive(self, poll: select.epoll, here: dict[int, tuple[socket.socket, Visit]]) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        visit = Visit(time.monotonic())
        self.visits.append(visit)
        failed = sock.connect_ex(self._address)
        assert failed in (0, errno.EINPROGRESS), f"refused: {errno.errorcode[failed]}"
        here[sock.fileno()] = sock, visit
        poll.register(sock.fileno(), select.EPOLLIN)

    @staticmethod
    def _hear(sock: socket.socket, visit: Visit) -> None:
        try:
            said = sock.recv(100).split()
        except ConnectionResetError:
            said = []
        visit.generation = said[0].decode() if said else ""
        visit.ended = time.monotonic()
