"""The door process's end of the wire to the keeper. It alone of this room runs on trio, and not in the keeper."""

import errno
import itertools
import math
import os
import select
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import trio

from frontdoor.keeper import dialect, wire
from frontdoor.keeper.deaths import Death, Quarantine


class KeeperGone(Exception):  # noqa: N818 - it is an event to leave upon, not an error of anybody's making
    """The wire is closed: the keeper is dead, and this process must not outlive it."""


class Refused(OSError):  # noqa: N818 - the keeper's answer, said as such
    """The keeper could not do what it was asked; the text says why, ``errno`` too where the kernel gave one."""

    output: Sequence[str] = ()
    """The last lines of who has failed at it, if that was a process."""


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


Kept = dict[str, tuple[Any, list[int]]]
"""Key → note and descriptors."""


@dataclass(slots=True)
class Held:
    """What the keeper held when this door process started."""

    entries: Kept = field(default_factory=dict)
    """Key → note and descriptors, which are this process's now."""
    gone: list[str] = field(default_factory=list)
    """Keys that a preview had, and that are no more, or are something else now: those are among the entries."""
    children: list[ChildReport] = field(default_factory=list)
    truncated: bool = False
    """Some descriptors found no room in this process."""
    keeper: int = 0
    """The keeper's pid: that of ``frontdoor serve``."""
    since: float = 0.0
    """When the keeper was started, of the monotonic clock, which is one for the whole machine."""
    version: str = ""
    """Of the code that the keeper runs."""
    notified: bool = False
    """Somebody is told how things stand: systemd."""

    deaths: list[Death] = field(default_factory=list)
    """How the door processes before this one have ended, the oldest first."""
    limit: int = 0
    """How many descriptors the keeper keeps at the most; 0: it has not said."""
    quarantine: Quarantine = field(default_factory=list)
    """Streams that are not to be restored: they may be what this process would die of, too."""

    def take(self, key: str) -> tuple[Any, list[int]] | None:
        """Hand out an entry, once."""
        return self.entries.pop(key, None)


class Link:
    """Requests to the keeper, and what it reports unasked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.protocol = wire.PROTOCOL
        """What the keeper speaks; known since ``hello``."""
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[trio.Event, list[Reply]]] = {}
        # Descriptors under way count against a limit (ETOOMANYREFS): few unanswered requests at a time.
        self._window = trio.Semaphore(4)
        self._sending = trio.Lock()
        self._unsent: set[int] = set()
        """Requests that wait for room in the wire, or for their turn."""
        self._held = Held()
        self._pids: dict[str, int] = {}
        """Of the children, by key."""
        self.on_exit: Callable[[ChildReport], None] = lambda report: None
        self.on_signal: Callable[[int], None] = lambda number: None
        self.on_unkept: Callable[[Sequence[str], str], object] = lambda keys, why: None
        """Told of what was posted to be kept, and is not, and why."""
        self.on_order: Callable[[str, wire.Body], None] = lambda op, body: None
        """Told of ``yield``: to make room for another door process; and of ``resume``, with ``why``: that failed."""

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

    async def ready(self, version: str) -> None:
        """Say, before anything else, that all of this code is loaded. A keeper of protocol 1 does not care."""
        with suppress(Refused):
            await self.request("ready", version=version)

    async def preview(self, prefixes: Sequence[str]) -> Kept:
        """A look at what the keeper holds, while another process serves: the next of the entries whose keys begin so.

        None: that was all. They may change, or be dropped, until it is the turn of this process: ``hello`` says which
        have. Raises Refused, also by a keeper of older code.
        """
        reply = await self.request("preview", keys=list(prefixes))
        fds = iter(reply.fds)
        return {key: (note, list(itertools.islice(fds, count))) for key, note, count in reply.body["entries"]}

    async def hello(self, *, shown: bool = False) -> Held:
        """Everything that the keeper holds. ``run`` must be running; asked once, and only ``preview`` before it.

        ``shown``: but for what ``preview`` has given, and is not among those that have ``gone`` since.

        Raises Refused, with EPROTONOSUPPORT by a keeper that speaks neither this protocol nor the previous one.
        """
        try:
            reply = await self.request("hello", protocol=wire.PROTOCOL, shown=shown)
        except Refused as error:
            if error.errno not in (errno.EPROTONOSUPPORT, None):
                raise
            try:
                reply = await self.request("hello", protocol=wire.PREVIOUS)
            except Refused:
                raise error from None
            self.protocol = wire.PREVIOUS
        if self._held.truncated:
            # To go on without them would be to listen nowhere, or to take a running backend for none.
            raise Refused(errno.EMFILE, "this process may not open as many files as the keeper holds")
        self._held.keeper = int(reply.body["pid"])
        self._held.since = float(reply.body["since"])
        self._held.version = str(reply.body.get("version", ""))
        self._held.notified = bool(reply.body.get("notified"))
        self._held.deaths = [Death.decode(death) for death in reply.body.get("deaths", ())]
        self._held.limit = reply.body.get("limit", 0)
        self._held.quarantine = reply.body.get("quarantine", [])
        return self._held

    async def request(self, op: str, fds: Sequence[int] = (), **fields: Any) -> Reply:
        """Ask for something and wait for the answer.

        A request that was sent is carried out even if the wait for it is cancelled. Raises Refused; with EMFILE it may
        have been carried out all the same, and the descriptors of its answer found no room here; with ENOSYS the keeper
        runs code of a time when nobody could ask that.
        """
        if self.protocol == wire.PREVIOUS and not dialect.knows(op):
            raise Refused(errno.ENOSYS, f"the keeper runs the code of an earlier version, which knows no {op!r}")
        number = next(self._numbers)
        try:
            data = wire.encode({"op": op, "id": number, **fields}, wire.REQUEST_BYTES)
        except ValueError as error:
            raise Refused(errno.EMSGSIZE, f"{op}: {error}") from None
        await trio.lowlevel.checkpoint_if_cancelled()  # the next one may come after it was sent
        answered, slot = trio.Event(), list[Reply]()
        self._unsent.add(number)
        try:
            async with _turn(self._window):
                self._waiting[number] = (answered, slot)
                try:
                    await self._send(data, fds)
                    self._unsent.discard(number)
                    await answered.wait()
                except BaseException:
                    # Cancelled, mostly. The answer may bring descriptors: _dispatch closes those that nobody waits for.
                    self._waiting.pop(number, None)
                    if slot:
                        _close(slot[0].fds)
                    raise
        finally:
            self._unsent.discard(number)
        reply = slot[0]
        if "error" in reply.body:
            refused = Refused(reply.body.get("errno"), reply.body["error"])
            refused.output = reply.body.get("output", ())
            raise refused
        return reply

    async def put(self, entries: Sequence[tuple[str, Any, Sequence[int]]]) -> None:
        """Have descriptors kept, each entry's under its key with its note: all of them, or none.

        They are at most wire.MAX_DESCRIPTORS, for they go in one message. The caller may close its own at any time:
        what is kept is what they were at the call. Raises Refused, with EMFILE when the keeper, or this process, is at
        its limit of open files; then nothing was kept.
        """
        copies = _copies(fd for _, _, fds in entries for fd in fds)
        counted = [(key, note, len(fds)) for key, note, fds in entries]
        try:
            if self.protocol == wire.PREVIOUS:
                await self._put_apart(counted, copies)
            else:
                await self.request("put", copies, entries=counted)
        finally:
            _close(copies)

    async def _put_apart(self, entries: Sequence[tuple[str, Any, int]], fds: Sequence[int]) -> None:
        done: list[str] = []
        try:
            for fields, share in dialect.apart(entries, fds):
                await self.request("put", share, **fields)
                done.append(fields["key"])
        except Refused:
            await self.request("drop", keys=done)
            raise

    def post(self, op: str, fds: Sequence[int] = (), **fields: Any) -> bool:
        """Tell the keeper to do something, at once and without an answer. False: there is no room, nothing was sent.

        What was posted is carried out even if this process is killed right after: the keeper reads the wire to its end.
        It does not overtake a request that still waits to be sent, a ``drop`` not the ``put`` before it: that is False,
        too. When the keeper is gone it is True, and ``run`` says so; nor is a word sent that its code does not know.
        Raises ValueError when it is too large.
        """
        if self.protocol == wire.PREVIOUS:
            if op == "put":
                return all(self._post(op, share, one) for one, share in dialect.apart(fields["entries"], fds))
            if not dialect.knows(op):
                return True
        return self._post(op, fds, fields)

    def _post(self, op: str, fds: Sequence[int], fields: wire.Body) -> bool:
        data = wire.encode({"op": op, **fields}, wire.REQUEST_BYTES)
        if self._unsent:
            return False
        try:
            wire.send(self._sock, data, fds)
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            return True
        except OSError as error:
            if error.errno not in wire.NO_ROOM:
                raise
            return False
        return True

    def set_pulse(self, timeout: float) -> None:
        """For how many seconds this process may leave the keeper without an answer; ``math.inf``: for ever.

        Then it is killed, and another one goes on. If there is no room to say so, what holds so far stays.
        """
        self.post("pulse", timeout=None if math.isinf(timeout) else timeout)

    def stand_still(self) -> str:
        """Let nothing happen in this process until it is told how it goes on: ``resume``, or ``leave``.

        It has yielded: another process goes on with all that is open, and mostly the end of this is SIGKILL. So this
        does not wait as a task does, but holds up the thread. What comes meanwhile is passed on as ever. Empty when the
        keeper is gone, which ``run`` says.
        """
        readable = select.poll()
        readable.register(self._sock, select.POLLIN)
        order: object = ""
        while order not in ("resume", "leave"):
            readable.poll()
            try:
                message = wire.receive(self._sock)
            except BlockingIOError:
                continue
            except EOFError:
                return ""
            self._dispatch(message)
            order = message.body.get("op")
        return str(order)

    def fileno(self) -> int:
        """Of the wire, for who waits for it by himself."""
        return self._sock.fileno()

    def disown(self) -> None:
        """Another process sees to the backends: ``kill_groups`` kills nobody. Their numbers may be others' some day."""
        self._pids.clear()

    def attend(self) -> bool:
        """Take what has come, where nothing is asked any more: it is only told that this lives. False: it is gone."""
        while True:
            try:
                message = wire.receive(self._sock)
            except BlockingIOError:
                return True
            except EOFError:
                return False
            if message.body.get("op") == "ping":
                self._pong()
            message.close()

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
            self._answered(message)
        elif body["op"] == "held":
            self._collect(message)
        elif body["op"] == "gone":
            self._held.gone += body["keys"]
        elif body["op"] == "child":
            self._held.children.append(self._note_pids(_report(body)))
        elif body["op"] == "exited":
            self.on_exit(self._note_pids(_report(body)))
        elif body["op"] == "signal":
            self.on_signal(int(body["number"]))
        elif body["op"] == "ping":
            self._pong()
        elif body["op"] == "unkept":
            self.on_unkept(body["keys"], body["why"])
        elif body["op"] in ("yield", "resume"):
            self.on_order(body["op"], body)

    def _answered(self, message: wire.Message) -> None:
        body = message.body
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

    def _pong(self) -> None:
        """Tell the keeper that this process does not hang. It may overtake what waits to be sent."""
        with suppress(OSError):  # no room: then the keeper has other words of this process to read
            wire.send(self._sock, wire.encode({"op": "pong"}))

    def _collect(self, message: wire.Message) -> None:
        """Take up what is held. An entry of many descriptors comes in parts."""
        self._held.truncated |= message.truncated
        fds = iter(message.fds)
        for key, note, count in dialect.entries_of(message.body, len(message.fds)):
            _, kept = self._held.entries.setdefault(key, (note, []))
            kept.extend(itertools.islice(fds, count))

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        async with _turn(self._sending):
            while True:
                try:
                    wire.send(self._sock, data, fds)
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self._sock)
                except (BrokenPipeError, ConnectionResetError):
                    await trio.sleep_forever()  # the reader raises KeeperGone, and that ends this task too
                except OSError as error:
                    if error.errno not in wire.NO_ROOM:
                        raise
                    await trio.sleep(0.01)  # until there is room; no event tells of that
                else:
                    return


def _report(body: wire.Body) -> ChildReport:
    return ChildReport(body["key"], body["pid"], body["note"], body["status"], body["gone"])


@asynccontextmanager
async def _turn(lock: trio.Lock | trio.Semaphore) -> AsyncIterator[None]:
    """Hold it, in the order of the calls. There is no checkpoint if it is free: what is sent at once is in no way."""
    try:
        lock.acquire_nowait()
    except trio.WouldBlock:
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _copies(fds: Iterable[int]) -> list[int]:
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))  # noqa: PERF401 - those that were made before one fails are to be closed
    except OSError as error:
        _close(copies)
        if error.errno != errno.EMFILE:
            raise
        raise Refused(error.errno, "this process is at its limit of open files") from None
    return copies


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
