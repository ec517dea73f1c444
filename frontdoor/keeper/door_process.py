"""One door process as the keeper sees it: its pid, its wire, what it is still to be told, what it says on stderr.

The keeper has one of them; during an upgrade two (:mod:`.upgrade`).
"""

import errno
import fcntl
import math
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from frontdoor.keeper import bytecode, stderr, wire
from frontdoor.keeper.identity import Identity
from frontdoor.keeper.preview import Preview
from frontdoor.keeper.pulse import Pulse
from frontdoor.keeper.spawn import Program, start

_FOR_THE_DOOR = ("FRONTDOOR_LOG_FORMAT",)
"""Variables that the door process is to see, and backends are not."""

_RETRY = 0.01
"""Seconds between two tries while the kernel takes no message (``wire.NO_ROOM``)."""

_EARFUL = 16
"""Reads of its stderr in a row: who prints without end must not hold up everything else."""


class DoorProcess:
    """A door process, from its start until nothing of it is left to care for."""

    def __init__(self, pid: int, sock: socket.socket | None, errors: int | None = None) -> None:
        """``errors``: the read end of its stderr, if that is not the keeper's own."""
        self.pid = pid
        self.running = True
        """Its end has not been seen yet: its number is its own."""
        self.greeted = False
        """It has asked for what is held: it may be told things."""
        self.standing = False
        """It has yielded: it asks nothing and is told nothing, but what it is to be told is kept for it."""
        self.stays = False
        """It has yielded, and has something to finish that cannot be handed over: it is not to be killed for that."""
        self.served = False
        """It has served."""
        self.served_at = 0.0
        """When it said so first, of the monotonic clock."""
        self.pulse = Pulse(time.monotonic())
        self.silent = 0.0
        """For so many seconds it had said nothing when it was killed for that; 0: it was not."""
        self.report: wire.Body | None = None
        """What it has said last of how things stand: it counts as soon as it is the one that serves."""
        self.preview: Preview | None = None
        """What it was shown before its turn."""
        self.flush_at: float | None = None
        """When to try again to send, if it is not for want of room in the wire."""
        self._wire = sock
        self._errors = errors
        self._said = b""
        self._heard = False
        self._outgoing: deque[tuple[bytes, Sequence[int]]] = deque()

    def __repr__(self) -> str:
        return f"<DoorProcess {self.pid}>"

    @classmethod
    def start(cls, config: str, *, identity: Identity | None = None, beside: bool = False) -> "DoorProcess":
        """Start one from the code on disk, as that user; None: as the keeper's own. Raises SpawnError, OSError.

        ``beside``: while another one serves. What it says on stderr is heard here then, and it gets the real one as a
        third argument, for its log and for the time when it serves.
        """
        ours, theirs = wire.pair()
        argv = [sys.executable, "-P", "-m", "frontdoor.door", str(theirs.fileno()), config]
        env = {name: os.environ[name] for name in _FOR_THE_DOOR if name in os.environ}
        keep, passed, read = [theirs.fileno()], list[int](), None
        if (memory := bytecode.memory()) is not None:
            keep.append(memory)
            env[bytecode.VARIABLE] = str(memory)
        try:
            if beside:
                read, write = os.pipe2(os.O_CLOEXEC)
                os.set_blocking(read, False)
                passed = [write, fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)]
                keep.append(passed[1])
                argv.append(str(passed[1]))
            # SIGTERM when the keeper dies, not SIGKILL: it has a last thing to do, to end the backends' groups.
            program = Program(
                argv,
                env,
                identity=identity,
                for_good=identity is not None,
                death_signal=signal.SIGTERM,
                keep=keep,
                errors=passed[0] if passed else None,
            )
            return cls(start(program), ours, read)
        except BaseException:
            ours.close()
            if read is not None:
                os.close(read)
            raise
        finally:
            theirs.close()
            for fd in passed:
                os.close(fd)

    # -- a renewal of the keeper ------------------------------------------------------------------------------------

    def remember(self) -> dict[str, Any]:
        """All of it, as JSON; descriptors by their numbers. It is not one of two: there is no upgrade."""
        return {
            "pid": self.pid,
            "running": self.running,
            "greeted": self.greeted,
            "served": self.served,
            "served_at": self.served_at,
            "silent": self.silent,
            "timeout": None if math.isinf(self.pulse.timeout) else self.pulse.timeout,
            "flush_at": self.flush_at,
            "wire": None if self._wire is None else self._wire.fileno(),
            "errors": self._errors,
            "heard": self._heard,
            "outgoing": [[data.decode(errors="surrogatepass"), fds] for data, fds in self._outgoing],
        }

    @classmethod
    def recall(cls, remembered: Mapping[str, Any]) -> "DoorProcess":
        """As it was; what it has not answered yet is asked anew. Raises KeyError, ValueError, TypeError, OSError."""
        number, timeout, now = remembered["wire"], remembered["timeout"], time.monotonic()
        sock = None if number is None else socket.socket(fileno=number)
        if sock is not None:
            sock.setblocking(False)
        it = cls(remembered["pid"], sock, remembered["errors"])
        it.running, it.greeted, it._heard = remembered["running"], remembered["greeted"], remembered["heard"]
        it.served, it.silent, it.flush_at = remembered["served"], remembered["silent"], remembered["flush_at"]
        it.pulse.set(math.inf if timeout is None else timeout, now)
        it.served_at = remembered.get("served_at", 0.0)
        it.pulse.resume(now)
        it._outgoing.extend((data.encode(errors="surrogatepass"), tuple(fds)) for data, fds in remembered["outgoing"])
        return it

    def descriptors(self) -> Iterator[int]:
        """Those that are its own."""
        if self._wire is not None:
            yield self._wire.fileno()
        if self._errors is not None:
            yield self._errors

    # -- its end ----------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL it, unless it has ended."""
        if self.running:
            # Root without CAP_KILL, in a container, may not signal another user: then it ends with its wire.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Close the wire: nothing goes there or comes from there any more."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None
        self.greeted = False
        self.silence()

    def let_go(self) -> None:
        """Close all that is here of it, when it has ended or nothing that it does counts any more."""
        self.hang_up()
        self.listen()  # its last words, if they go on to the keeper's own stderr
        if self._errors is not None:
            os.close(self._errors)
        self._errors = None

    def silence(self) -> None:
        """Forget what it was to be told."""
        self._outgoing.clear()
        self.flush_at = None

    # -- waiting for it ---------------------------------------------------------------------------------------------

    def register(self, poll: select.poll) -> None:
        """Wait for it, too."""
        if self._wire is not None:
            poll.register(self._wire, self._interest())
        if self._errors is not None:
            poll.register(self._errors, select.POLLIN)

    def _interest(self) -> int:
        if self.standing or self.flush_at is not None:
            return 0  # the end of the wire is reported all the same
        # No request is read while an answer waits to be sent: it may name descriptors that the request would close,
        # and a door process that asks and does not listen must not fill this memory.
        return select.POLLOUT if self._outgoing else select.POLLIN

    def is_in(self, ready: set[int]) -> bool:
        """Whether its wire is among the descriptors that are ready."""
        return self._wire is not None and self._wire.fileno() in ready

    # -- the wire ---------------------------------------------------------------------------------------------------

    def tell(self, body: wire.Body, fds: Sequence[int] = ()) -> None:
        """Say something unasked, if it has greeted."""
        if self.greeted:
            try:
                self._queue(body, fds)
            except ValueError as error:  # it quotes a request that was almost as long as a message may be
                stderr.say(f"the door process is not told {body.get('op')!r}: {error}")

    def answer(self, number: object, body: wire.Body, fds: Sequence[int] = ()) -> None:
        """Answer a request; one without a number wants none."""
        if isinstance(number, int):
            try:
                self._queue({"re": number, **body}, fds)
            except ValueError as error:
                self._queue({"re": number, "error": f"no room for the answer: {error}", "errno": errno.EMSGSIZE}, ())

    def offer(self, number: object, body: wire.Body, fds: Sequence[int]) -> bool:
        """Answer with descriptors that may be closed at any time: at once, or not at all; whether it was."""
        self.answer(number, body, fds)
        if not self._outgoing:
            return True
        self.silence()
        return False

    def _queue(self, body: wire.Body, fds: Sequence[int]) -> None:
        self._outgoing.append((wire.encode(body), fds))
        self.flush()

    def flush(self) -> None:
        """Send what waits to be sent, as far as there is room."""
        self.flush_at = None
        if self.standing:
            return
        while self._outgoing and self._wire is not None:
            data, fds = self._outgoing[0]
            try:
                wire.send(self._wire, data, fds)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in wire.NO_ROOM:
                    self.flush_at = time.monotonic() + _RETRY
                else:
                    self._outgoing.clear()  # it is dead or dying; the next one asks for everything anew
                return
            self._outgoing.popleft()

    def receive(self) -> wire.Message | None:
        """The next message; None: none is to be read now. Raises EOFError at the end of the wire, Garbage."""
        if self._wire is None or self.standing or self._outgoing:
            return None
        try:
            return wire.receive(self._wire)
        except BlockingIOError:
            return None

    # -- its stderr -------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take what it has said on a stderr that ends here."""
        try:
            for _ in range(_EARFUL):
                if self._errors is None:
                    return
                said = os.read(self._errors, 65536)
                if not said:
                    os.close(self._errors)
                    self._errors = None
                    return
                self._said = stderr.end_of(self._said + said)
                if self._heard:
                    self.pass_on()
        except BlockingIOError:
            pass

    def pass_on(self) -> None:
        """What it has said was no last word: it goes where the keeper's own goes, with all that comes."""
        self._heard = True
        said, self._said = self._said, b""
        stderr.write(said)

    def last_words(self) -> list[str]:
        """The last lines that it has said on a stderr that ends here, which nobody else has seen."""
        self.listen()
        return stderr.last_lines(self._said)
