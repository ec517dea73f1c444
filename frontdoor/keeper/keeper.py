"""The keeper's loop: one poll over the wire to the door process and the signals; each request is answered at once.

What must hold: whatever the door process does, and however it ends, the descriptors in the vault stay open and the
backends stay up; and when the keeper itself ends, on purpose or by SIGKILL, no child of its is left.
"""

import errno
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

from frontdoor.keeper import wire
from frontdoor.keeper.custody import Custody
from frontdoor.keeper.spawn import Program, SpawnError, become_subreaper, start

_PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_STOPS = (signal.SIGINT, signal.SIGTERM)

_FOR_THE_DOOR = ("FRONTDOOR_LOG_FORMAT",)
"""Variables that the door process is to see, and backends are not."""

_RESTART_DELAYS = (0.0, 0.1, 0.5, 2.0)
"""Seconds until the door process is started again, by how often it died in the last ten seconds."""
_DEATHS_COUNT_FOR = 10.0

_PIPE_BUF = 4096
"""Bytes that a pipe takes in one piece or not at all (pipe(7))."""

_REFS_RETRY = 0.01
"""Seconds between two tries while too many descriptors are under way (unix(7), ETOOMANYREFS)."""

_FORCED_AFTER = 15.0
"""Seconds from a second stop signal until everything is ended: a door process that still answers needs at most six,
five of them for the backends' own stop."""


class Keeper:
    """The parent of the door process and of every backend."""

    def __init__(self, config: str) -> None:
        self._config = config
        self._custody = Custody(self._tell, resource.getrlimit(resource.RLIMIT_NOFILE))
        self._door: int | None = None
        self._wire: socket.socket | None = None
        self._greeted = False
        """The door process that runs now has asked for what is held: it may be told things."""
        self._outgoing: deque[tuple[bytes, Sequence[int]]] = deque()
        self._untold: list[int] = []
        """Signals that came while there was no door process to tell."""
        self._stops = 0
        self._deaths: deque[float] = deque(maxlen=len(_RESTART_DELAYS))
        self._restart_at: float | None = None
        self._force_at: float | None = None
        self._flush_at: float | None = None
        """When to try again to send, if it is not for want of room in the wire."""

    def run(self) -> int:
        """Serve until the door process says that all is done; the exit code of ``frontdoor serve``."""
        signals = self._catch_signals()
        become_subreaper()
        # A stream is two descriptors here and two in the door process. Backends get back what was here before.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._start_door()
        code: int | None = None
        while code is None:
            ready = self._poll(signals)
            if self._wire is not None and self._wire.fileno() in ready:
                self._flush()
                self._read()
            if signals in ready:
                code = self._on_signals(signals)
            if code is None:
                code = self._on_time(time.monotonic())
        self._custody.children.kill_all()
        return code

    @staticmethod
    def _catch_signals() -> int:
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        caught = (*_PASSED_ON, signal.SIGCHLD)
        for number in caught:
            signal.signal(number, lambda *_: None)  # its number arrives through the pipe
        signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)  # whoever started serve may have blocked them
        return woken

    def _poll(self, signals: int) -> set[int]:
        poll = select.poll()
        poll.register(signals, select.POLLIN)
        if self._wire is not None:
            poll.register(self._wire, self._interest())
        deadlines = [at for at in (self._restart_at, self._force_at, self._flush_at) if at is not None]
        # poll's timeout is in whole milliseconds, cut off: one more, so as not to wake just before the time.
        timeout = max(0.0, min(deadlines) - time.monotonic()) * 1000 + 1 if deadlines else None
        return {fd for fd, _ in poll.poll(timeout)}

    def _interest(self) -> int:
        if self._flush_at is not None:
            return 0  # the end of the wire is reported all the same
        # No request is read while an answer waits to be sent: it may name descriptors that the request would close,
        # and a door process that asks and does not listen must not fill this memory.
        return select.POLLOUT if self._outgoing else select.POLLIN

    def _on_time(self, now: float) -> int | None:
        if self._force_at is not None and now >= self._force_at:
            _say("it did not stop when it was asked a second time: everything is ended now")
            return self._kill_door()
        if self._restart_at is not None and now >= self._restart_at:
            self._restart_at = None
            self._start_door()
        if self._flush_at is not None and now >= self._flush_at:
            self._flush()
        return None

    # -- signals ------------------------------------------------------------------------------------------------

    def _on_signals(self, signals: int) -> int | None:
        numbers = os.read(signals, 4096)
        # Always: a full pipe may have lost a SIGCHLD. And first: what came with it is for the next door process.
        ended = self._custody.children.reap(self._door)
        code = self._door_ended(ended) if ended is not None else None
        for number in numbers:
            if code is None and number in _PASSED_ON and not self._pass_on(number):
                code = self._kill_door()
        return code

    def _pass_on(self, number: int) -> bool:
        """Tell the door process of a signal. False: it was the third stop."""
        if number in _STOPS:
            self._stops += 1
            if self._stops == 2:
                self._force_at = time.monotonic() + _FORCED_AFTER
            if self._stops > 2:
                _say("stopped three times: everything is ended now")
                return False
        if self._greeted:
            self._tell({"op": "signal", "number": number})
        else:
            self._untold.append(number)
        return True

    # -- the door process ---------------------------------------------------------------------------------------

    def _start_door(self) -> None:
        try:
            ours, theirs = wire.pair()
            with theirs:
                argv = [sys.executable, "-P", "-m", "frontdoor.door", str(theirs.fileno()), self._config]
                # SIGTERM when the keeper dies, not SIGKILL: it has a last thing to do, to end the backends' groups.
                env = {name: os.environ[name] for name in _FOR_THE_DOOR if name in os.environ}
                program = Program(argv, env, death_signal=signal.SIGTERM, keep=(theirs.fileno(),))
                self._wire = ours
                self._door = start(program)
        except (SpawnError, OSError) as error:
            self._hang_up()
            self._restart_at = time.monotonic() + _RESTART_DELAYS[-1]
            _say(f"the door process could not be started ({error}); trying again in {_RESTART_DELAYS[-1]:.0f} s")

    def _door_ended(self, status: int) -> int | None:
        """What follows from the end of the door process: the exit code of everything; None: a new start."""
        self._door = None
        self._outgoing.clear()
        self._read()  # its last words: ``bye`` may be among them
        self._hang_up()
        if self._custody.leave_with is not None:
            return self._custody.leave_with
        if not self._custody.serving:
            if status < 0:
                _say(f"the door process was ended by signal {-status} before it served")
            return status if status > 0 else 1  # it never served, and it has said why
        # Whoever was told to stop is dead: the next one must know.
        self._untold += [signal.SIGTERM] * (min(self._stops, 2) - sum(number in _STOPS for number in self._untold))
        now = time.monotonic()
        self._deaths.append(now)
        lately = sum(now - at < _DEATHS_COUNT_FOR for at in self._deaths)
        self._restart_at = now + _RESTART_DELAYS[min(lately, len(_RESTART_DELAYS)) - 1]
        how = f"signal {-status}" if status < 0 else f"exit code {status}"
        _say(f"the door process ended ({how}) and is started again; listeners and backends are kept")
        return None

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None
        self._greeted = False
        self._outgoing.clear()
        self._flush_at = None

    def _kill_door(self) -> int:
        if self._door is not None:
            os.kill(self._door, signal.SIGKILL)
        return 1

    # -- the wire -----------------------------------------------------------------------------------------------

    def _tell(self, body: wire.Body, fds: Sequence[int] = ()) -> None:
        if self._greeted:
            self._outgoing.append((wire.encode(body), fds))
            self._flush()

    def _flush(self) -> None:
        self._flush_at = None
        while self._outgoing and self._wire is not None:
            data, fds = self._outgoing[0]
            try:
                wire.send(self._wire, data, fds)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno == errno.ETOOMANYREFS:  # until the door process has taken some; no event tells of that
                    self._flush_at = time.monotonic() + _REFS_RETRY
                else:
                    self._outgoing.clear()  # it is dead or dying; the next one asks for everything anew
                return
            self._outgoing.popleft()

    def _read(self) -> None:
        while self._wire is not None and not self._outgoing:
            try:
                message = wire.receive(self._wire)
            except BlockingIOError:
                return
            except EOFError:
                self._hang_up()
                if self._door is not None and self._custody.leave_with is None:
                    os.kill(self._door, signal.SIGKILL)  # without the wire it can do nothing; mostly it is dead
                return
            except wire.Garbage as error:
                _say(f"the door process sent {error}; ignored")
                continue
            self._on_request(message)

    def _on_request(self, message: wire.Message) -> None:
        number, hello = message.body.get("id"), message.body.get("op") == "hello"
        answer, fds = self._custody.answer(message)
        if hello and "error" not in answer:
            self._greeted = True
            for held, held_fds in self._custody.inventory():
                self._tell(held, held_fds)
        if isinstance(number, int):
            self._outgoing.append((wire.encode({"re": number, **answer}), fds))
            self._flush()
        if hello and self._greeted:
            untold, self._untold = self._untold, []
            for number in untold:
                self._tell({"op": "signal", "number": number})


def _say(text: str) -> None:
    line = f"frontdoor: {text}\n".encode(errors="replace")[:_PIPE_BUF]
    try:
        # A reader that has stopped to read must not stop the keeper: a pipe that has room takes so much at once.
        if select.select([], [2], [], 0)[1]:
            os.write(2, line)
    except OSError:
        pass  # nobody reads it any more; that is no reason to stop
