"""The door process's end of the wire to the keeper. It alone of this room runs on trio, and not in the keeper."""

import errno
import itertools
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import trio

from frontdoor.keeper import wire


class KeeperGone(Exception):  # noqa: N818 - it is an event to leave upon, not an error of anybody's making
    """The wire is closed: the keeper is dead, and this process must not outlive it."""


class Refused(OSError):  # noqa: N818 - the keeper's answer, said as such
    """The keeper could not do what it was asked; the text says why, ``errno`` too where the kernel gave one."""


@dataclass(slots=True)
class Reply:
    """The answer to a request. Its descriptors belong to the receiver."""

    body: wire.Body
    fds: list[int]


@dataclass(frozen=True, slots=True)
class ChildReport:
    """A child of the keeper: how it stands, or how it ended."""

    key: str
    pid: int
    note: Any
    status: int | None
    """As ``os.waitstatus_to_exitcode``: a signal is negative. None while it runs."""
    gone: bool
    """Nothing of its process group is left."""


@dataclass(slots=True)
class Held:
    """What the keeper held when this door process started."""

    entries: dict[str, tuple[Any, list[int]]] = field(default_factory=dict)
    """Key → note and descriptors, which are this process's now."""
    children: list[ChildReport] = field(default_factory=list)
    truncated: bool = False
    """Some descriptors found no room in this process."""
    keeper: int = 0
    """The keeper's pid: that of ``frontdoor serve``."""
    since: float = 0.0
    """When the keeper was started, of the monotonic clock, which is one for the whole machine."""

    def take(self, key: str) -> tuple[Any, list[int]] | None:
        """Hand out an entry, once."""
        return self.entries.pop(key, None)


class Link:
    """Requests to the keeper, and what it reports unasked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[trio.Event, list[Reply]]] = {}
        # Descriptors under way count against a limit (ETOOMANYREFS): few unanswered requests at a time.
        self._window = trio.Semaphore(4)
        self._sending = trio.Lock()
        self._held = Held()
        self._pids: dict[str, int] = {}
        """Of the children, by key."""
        self.on_exit: Callable[[ChildReport], None] = lambda report: None
        self.on_signal: Callable[[int], None] = lambda number: None

    async def run(self) -> None:
        """Read for ever. Raises KeeperGone at the end of the wire."""
        while True:
            try:
                message = wire.receive(self._sock)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._sock)
                continue
            except EOFError:
                raise KeeperGone from None
            self._dispatch(message)

    async def hello(self) -> Held:
        """Everything that the keeper holds. ``run`` must be running; asked once, before anything else."""
        reply = await self.request("hello", protocol=wire.PROTOCOL)
        if self._held.truncated:
            # To go on without them would be to listen nowhere, or to take a running backend for none.
            raise Refused(errno.EMFILE, "this process may not open as many files as the keeper holds")
        self._held.keeper = int(reply.body["pid"])
        self._held.since = float(reply.body["since"])
        return self._held

    async def request(self, op: str, fds: Sequence[int] = (), **fields: Any) -> Reply:
        """Ask for something and wait for the answer.

        A request that was sent is carried out even if the wait for it is cancelled. Raises Refused; with EMFILE it may
        have been carried out all the same, and the descriptors of its answer found no room here.
        """
        number = next(self._numbers)
        try:
            data = wire.encode({"op": op, "id": number, **fields}, wire.REQUEST_BYTES)
        except ValueError as error:
            raise Refused(errno.EMSGSIZE, f"{op}: {error}") from None
        answered, slot = trio.Event(), list[Reply]()
        async with self._window:
            self._waiting[number] = (answered, slot)
            try:
                await self._send(data, fds)
                await answered.wait()
            except BaseException:
                # Cancelled, mostly. The answer may bring descriptors: _dispatch closes those that nobody waits for.
                self._waiting.pop(number, None)
                if slot:
                    _close(slot[0].fds)
                raise
        reply = slot[0]
        if "error" in reply.body:
            raise Refused(reply.body.get("errno"), reply.body["error"])
        return reply

    def _note_pids(self, report: ChildReport) -> ChildReport:
        if report.gone:
            self._pids.pop(report.key, None)
        else:
            self._pids[report.key] = report.pid
        return report

    def kill_groups(self) -> None:
        """SIGKILL every backend's group. The keeper is dead; the kernel ends its children, but not theirs."""
        for pid in self._pids.values():
            with suppress(OSError):
                os.killpg(pid, signal.SIGKILL)

    def _dispatch(self, message: wire.Message) -> None:
        body = message.body
        if "re" in body:
            if "pid" in body and "key" in body:
                self._pids[body["key"]] = body["pid"]  # even if nobody waits any more: it runs
            waiting = self._waiting.pop(body["re"], None)
            if waiting is None:
                message.close()
                return
            if message.truncated:
                body |= {"error": "this process is at its limit of open files", "errno": errno.EMFILE}
            waiting[1].append(Reply(body, message.fds))
            waiting[0].set()
        elif body["op"] == "held":
            self._held.truncated |= message.truncated
            _, fds = self._held.entries.setdefault(body["key"], (body["note"], []))
            fds.extend(message.fds)
        elif body["op"] == "child":
            self._held.children.append(self._note_pids(_report(body)))
        elif body["op"] == "exited":
            self.on_exit(self._note_pids(_report(body)))
        elif body["op"] == "signal":
            self.on_signal(int(body["number"]))

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        async with self._sending:
            while True:
                try:
                    wire.send(self._sock, data, fds)
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._sock)
                except (BrokenPipeError, ConnectionResetError):
                    await trio.sleep_forever()  # the reader raises KeeperGone, and that ends this task too
                except OSError as error:
                    if error.errno != errno.ETOOMANYREFS:
                        raise
                    await trio.sleep(0.01)  # until the keeper has taken some; no event tells of that
                else:
                    return


def _report(body: wire.Body) -> ChildReport:
    return ChildReport(body["key"], body["pid"], body["note"], body["status"], body["gone"])


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
