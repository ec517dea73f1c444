"""Renewal: the keeper goes on with the code that is on disk now, by ``exec`` in place.

The process stays, and so do its pid, its children (with the signal that they get when it dies), its descriptors and
what waits in them; only what is in its memory goes. So that travels as one JSON document in a memfd, from the code that
runs to the code that comes: see :data:`FORMAT`.

What must hold: a keeper that ends takes everything with it. So the code that comes is tried first, in a child, which
loads a copy of that very document; and no signal may reach a process that has no handlers yet, so all of them are
blocked over the ``exec``. The kernel keeps those that come meanwhile. Those that had come before are in the wake-up
pipe, which goes along.
"""

import errno
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from frontdoor import __version__
from frontdoor.keeper.door_process import DoorProcess
from frontdoor.keeper.leaving import wires
from frontdoor.keeper.spawn import Program, SpawnError, start
from frontdoor.keeper.stderr import last_lines

FORMAT = 1
"""Of the document. Code that writes the next number must still be able to read this one.

In a document of a known number, what is not known is passed over, and what is missing has a default: so a new field
needs no new number.
"""

TRIED_WITHIN = 15.0
"""Seconds that a trial may take. It takes a fraction of one."""

TRIAL = "--try"
RESUME = "--resume"
"""Before the number of the descriptor with the document, and that before the config: the keeper's arguments."""

_UNWRITABLE = (ValueError, TypeError, RecursionError)
"""Of a document: what a note raises that goes to the limit of what JSON can be."""

Document = dict[str, Any]


class Unreadable(Exception):  # noqa: N818 - it says what the document is
    """A document that this code cannot go on from; the text says why."""


class Trial:
    """The code that is on disk now, tried in a child: it has to load what the keeper knows, and to exit with 0.

    What it prints is read when it has ended. Who prints more than a pipe holds stands still, and is late.
    """

    def __init__(self, config: str, document: Document) -> None:
        """Raises SpawnError, OSError."""
        self.deadline: float | None = time.monotonic() + TRIED_WITHIN
        """When it is late; None: it is, or it has ended."""
        self.passed = False
        self.why: str | None = None
        """Why it has failed."""
        self.output: list[str] = []
        """The last lines that it has printed, if it has failed."""
        self.running = True
        """Its end has not been seen yet: its number is its own."""
        self._late = False
        memory = _written(document)
        try:
            self._said, write = os.pipe2(os.O_CLOEXEC)
            try:
                os.set_blocking(self._said, False)
                self.pid = start(Program(_argv(TRIAL, memory, config), {}, keep=[memory], output=write))
            except BaseException:
                os.close(self._said)
                raise
            finally:
                os.close(write)
        finally:
            os.close(memory)

    def __repr__(self) -> str:
        return f"<Trial {self.pid}{' passed' * self.passed}>"

    def is_late(self) -> None:
        """SIGKILL it: its end is seen as any other."""
        self._late, self.deadline = True, None
        self._kill()

    def has_ended(self, status: int) -> None:
        """It was reaped; ``status``: as ``os.waitstatus_to_exitcode``."""
        self.running, self.deadline = False, None
        if self._late:
            self.why = f"the keeper's new code did not pass its trial within {TRIED_WITHIN:g} s"
        elif status != 0:
            how = f"signal {-status}" if status < 0 else f"exit code {status}"
            self.why = f"the keeper's new code did not pass its trial ({how})"
        else:
            self.passed = True
        if self.why is not None:
            with suppress(BlockingIOError):  # it has said nothing, and somebody else has that pipe
                self.output = last_lines(os.read(self._said, 1 << 20))
        self.let_go()

    def let_go(self) -> None:
        """End it: nobody wants to know any more."""
        self.deadline = None
        self._kill()
        if self._said >= 0:
            os.close(self._said)
        self._said = -1

    def _kill(self) -> None:
        if self.running:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Renewal:
    """A renewal that was asked for: a trial right before it, however long ago another one was, and then the exec."""

    def __init__(self, door: DoorProcess, request: object, trial: Trial) -> None:
        """``door``: the door process that has asked for it; ``request``: the number of that request."""
        self.trial = trial
        self._door = door
        self._request = request

    def __repr__(self) -> str:
        return f"<Renewal for {self._door}, {self.trial}>"

    def fail(self, why: str, output: Sequence[str] = ()) -> None:
        """Say so. All is as it was."""
        self._door.answer(self._request, {"error": why, "errno": None, "output": output})

    def carry_out(self, config: str, document: Document) -> None:
        """Become the new code, which gives the answer. It returns only when that cannot be started."""
        try:
            memory = _written({**document, "renewed": self._request})
            try:
                with _no_signals(), _handed_on([memory, *document["descriptors"]]):
                    os.execv(sys.executable, _argv(RESUME, memory, config))  # noqa: S606 - no shell
            finally:
                os.close(memory)
        except (OSError, *_UNWRITABLE) as error:
            self.fail(f"the keeper's new code could not be started: {error}"[:2000])


class Renewals:
    """Of one keeper, one at a time."""

    def __init__(self, config: str, remember: Callable[[], Document]) -> None:
        """``remember``: what the keeper knows."""
        self.current: Renewal | None = None
        """While its code is tried."""
        self._config = config
        self._remember = remember

    def __repr__(self) -> str:
        return f"<Renewals {self.current or 'none'}>"

    def try_out(self) -> Trial:
        """Begin a trial of the code on disk. Raises OSError, SpawnError."""
        try:
            return Trial(self._config, self._remember())
        except _UNWRITABLE as error:
            raise OSError(errno.EINVAL, f"what the keeper knows cannot be written down: {error}"[:2000]) from None

    def begin(self, door: DoorProcess, request: object, *, busy: bool) -> None:
        """Asked for by a door process. It is answered here if that fails, else by the new code.

        ``busy``: an upgrade is under way, and there are two of them.
        """
        try:
            if busy or self.current is not None:
                raise OSError(errno.EBUSY, f"{'an upgrade' if busy else 'a renewal of the keeper'} is under way")
            self.current = Renewal(door, request, self.try_out())
        except OSError as error:
            door.answer(request, {"error": error.strerror or str(error), "errno": error.errno})
        except SpawnError as error:
            door.answer(request, {"error": str(error), "errno": None})

    def proceed(self) -> None:
        """When the trial has ended. It returns, unless the new code goes on."""
        renewal = self.current
        if renewal is None or renewal.trial.running:
            return
        self.current = None
        if renewal.trial.why is not None:
            renewal.fail(renewal.trial.why, renewal.trial.output)
        else:
            renewal.carry_out(self._config, self._remember())

    def forget(self) -> None:
        """The door process that has asked is dead: the next one may ask again."""
        if self.current is not None:
            self.current.trial.let_go()
        self.current = None


def read(fd: int) -> Document:
    """The document in that memfd, which is closed. Raises Unreadable."""
    with open(fd, "rb") as file:
        file.seek(0)
        try:
            document = json.load(file)
        except ValueError as error:
            raise Unreadable(f"it is no JSON: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else None
        raise Unreadable(f"it has the format {found!r}; {__version__} reads {FORMAT}")
    fds = document["descriptors"]
    if len(set(fds)) != len(fds) or any(fd <= 2 for fd in fds):
        raise Unreadable("a descriptor stands there twice, or is one of the standard ones")
    return document


def tried(fd: int, load: Callable[[Document], Document]) -> int:
    """The exit code of a trial. ``load``: the keeper from the document, and what it would leave in its turn."""
    try:
        document = read(fd)
        for number in wires([document["door"] or {"wire": None}, *document.get("leaving", ())]):
            # A stand-in: the wire itself is no trial's. Neither end is closed: its number may be that of a wire.
            ours, _ = (one.detach() for one in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
            os.dup2(ours, number)
        again = load(document)
        for part in ("vault", "children"):
            before, after = len(document["custody"][part]), len(again["custody"][part])
            if after != before:
                raise Unreadable(f"of {before} entries of {part} {after} would be left")
        missing = set(document["descriptors"]) - set(again["descriptors"])
        if missing:
            raise Unreadable(f"nobody would have the descriptors {sorted(missing)}")
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def hold(document: Document) -> None:
    """The first thing that the new code does: what it was left is no child's from here on."""
    for fd in document["descriptors"]:
        os.set_inheritable(fd, False)


def _argv(word: str, memory: int, config: str) -> list[str]:
    return [sys.executable, "-P", "-m", "frontdoor.keeper", word, str(memory), config]


def _written(document: Document) -> int:
    memory = os.memfd_create("frontdoor-keeper", os.MFD_CLOEXEC)
    try:
        # ASCII: a path that is not UTF-8 has lone surrogates, and comes back with them.
        text = json.dumps({"format": FORMAT, "version": __version__, **document}, separators=(",", ":"))
        with open(memory, "w", encoding="ascii", closefd=False) as file:
            file.write(text)
    except BaseException:
        os.close(memory)
        raise
    return memory


@contextmanager
def _no_signals() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handed_on(fds: Iterable[int]) -> Iterator[None]:
    done: list[int] = []
    try:
        for fd in fds:
            os.set_inheritable(fd, True)
            done.append(fd)
        yield
    finally:
        for fd in done:
            os.set_inheritable(fd, False)
