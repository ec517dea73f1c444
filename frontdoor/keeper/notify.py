"""What systemd is told (sd_notify(3)): that frontdoor serves, reloads, stops, how it stands, and that it is alive.

The keeper tells it, whose pid is the service's. It is told by how things stand, not by what happens: at each turn of
the keeper's loop the phase is worked out anew, and said if it is another one than was said last. So whatever ends a
reload, the death of the door process too, READY=1 comes after it.

::

    STARTING ──▶ READY ◀──▶ RELOADING
        └──────────┴────────────┴──▶ STOPPING
"""

import errno
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from enum import Enum
from typing import Any

RATE = 1.0
"""Seconds between two STATUS= at the least: each of them wakes whoever watches systemd's bus."""

PATS = 4
"""How often WATCHDOG=1 is said in the time within which systemd wants one."""

RETRY = 0.25
"""Seconds until something is said again that found no room in systemd's socket."""

_LONGEST = 1500
"""Bytes of a STATUS=. systemd takes 4,096 bytes in all, and cuts nothing: what is longer is not read."""


class Phase(Enum):
    """What a service is for systemd; the value is how that is said."""

    STARTING = ""
    READY = "READY=1"
    RELOADING = "RELOADING=1"
    STOPPING = "STOPPING=1"


@dataclass(frozen=True, slots=True)
class Standing:
    """How frontdoor stands, as the keeper sees it."""

    door: int | None
    """The pid of the door process that serves or is to; None: there is none just now."""
    served: bool
    """It has served."""
    heard_at: float
    """When it said something last, which it does when it is asked; -inf: nobody who has served is there to be heard."""
    upgrading: bool
    hung_up: bool
    """A SIGHUP has come that no door process was told of."""
    stopping: bool


@dataclass(slots=True)
class News:
    """What is known of one door process, and from it."""

    pid: int
    hang_ups: int = 0
    """SIGHUPs that it was told of."""
    answered: int = 0
    """Of those, how many it has dealt with."""
    reloading: bool = False
    stopping: bool = False
    line: str = ""

    @property
    def busy(self) -> bool:
        """It reloads, or was told to."""
        return self.reloading or self.hang_ups > self.answered


class Notifier:
    """Decides what is said, and when. ``send`` says it, and is False when it could not be said just now."""

    def __init__(self, send: Callable[[str], bool] | None, watchdog: float | None = None) -> None:
        """``send`` None: nobody listens. ``watchdog``: seconds without a WATCHDOG=1 that systemd puts up with."""
        self._send = send
        self.watchdog = watchdog if send is not None else None
        self.phase = Phase.STARTING
        """What was said last."""
        self.due: float | None = None
        """When to come back, because something waits to be said."""
        self._news = News(0)
        self._asked = self._asked_said = 0
        """Reloads that were asked for by a signal: each must see a RELOADING=1 that is later than the signal."""
        self._line = ""
        self._line_at = -math.inf
        self._watch_at = -math.inf
        """When the next WATCHDOG=1 is due, if the door process was heard since"""
        self._heard_at = -math.inf
        """this time; and"""
        self._asking = False
        """it was asked to say something."""

    def __repr__(self) -> str:
        return f"<Notifier {self.phase.name}>" if self.listened else "<Notifier of nobody>"

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Notifier":
        """As systemd has set it up: NOTIFY_SOCKET, and sd_watchdog_enabled(3)."""
        address = env.get("NOTIFY_SOCKET", "")
        send = NotifySocket(address).send if address[:1] in ("/", "@") and len(address) > 1 else None
        return cls(send, watchdog(env))

    @property
    def listened(self) -> bool:
        """Whether anybody listens."""
        return self._send is not None

    # -- what has happened ------------------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """A SIGHUP has come."""
        self._asked += 1

    def passed_on(self, door: int) -> None:
        """A door process was told of a SIGHUP."""
        self._of(door).hang_ups += 1

    def reported(self, door: int, body: Mapping[str, Any]) -> None:
        """A door process has said how things stand. What is not as it should be is left out."""
        news = self._of(door)
        line, answered = body.get("line"), body.get("answered")
        news.line = line if isinstance(line, str) else ""
        news.answered = answered if isinstance(answered, int) else 0
        news.reloading = body.get("reloading") is True
        news.stopping |= body.get("stopping") is True

    def _of(self, door: int) -> News:
        if self._news.pid != door:
            self._news = News(door, stopping=self._news.stopping)
        return self._news

    # -- saying it --------------------------------------------------------------------------------------------------

    def tell(self, standing: Standing, now: float) -> bool:
        """Say what there is to say; sets ``due``. True: the door process is to be asked whether it is alive."""
        if self._send is None:
            return False
        self.due = self._tell_phase(self._send, standing, now)
        if self.watchdog is None:
            return False
        asks = self._tell_alive(self._send, self.watchdog, standing.heard_at, now)
        if math.isfinite(standing.heard_at) and self._watch_at > now:  # else it is its answer that is waited for
            self.due = self._watch_at if self.due is None else min(self._watch_at, self.due)
        return asks

    def _tell_alive(self, send: Callable[[str], bool], watchdog: float, heard_at: float, now: float) -> bool:
        """WATCHDOG=1, if the door process was heard since the last one. True: it is to be asked."""
        if now < self._watch_at or math.isinf(heard_at):
            return False
        if heard_at > self._heard_at:
            send("WATCHDOG=1")  # one that is lost is no matter: three more come within that time
            self._watch_at, self._heard_at, self._asking = now + watchdog / PATS, heard_at, False
            return False
        asks, self._asking = not self._asking, True
        return asks

    def _tell_phase(self, send: Callable[[str], bool], standing: Standing, now: float) -> float | None:
        """The phase and how it stands, if that has changed; when to come back for it."""
        phase, line = self._phase(standing), self._line_of(standing)
        again = phase is Phase.RELOADING and self._asked != self._asked_said
        said = []
        if phase is not self.phase or again:
            said.append(phase.value)
            if phase is Phase.RELOADING:
                # Type=notify-reload: by this systemd knows that it is the answer to its own SIGHUP.
                said.append(f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        if line != self._line:
            if not said and now < self._line_at + RATE:
                return self._line_at + RATE
            said.append(f"STATUS={line}")
        if not said:
            return None
        if not send("\n".join(said)):
            return now + RETRY
        due = now if phase is not self.phase else None  # what follows from a change may be due at once
        if phase is not Phase.READY:
            self._asked_said = self._asked
        self.phase = phase
        if line != self._line:
            self._line, self._line_at = line, now
        return due

    def _phase(self, standing: Standing) -> Phase:
        news = self._known(standing)
        if standing.stopping or news.stopping or self.phase is Phase.STOPPING:
            return Phase.STOPPING
        if self.phase is Phase.STARTING:
            return Phase.READY if standing.served else Phase.STARTING  # READY=1 is what a start waits for
        if standing.upgrading or standing.hung_up or news.busy:
            return Phase.RELOADING
        # One that has begun has not ended before somebody serves: its door process may have died in it.
        return self.phase if self.phase is Phase.RELOADING and not standing.served else Phase.READY

    def _line_of(self, standing: Standing) -> str:
        news = self._known(standing)
        if news.line:
            line = " ".join(news.line.split()).encode(errors="replace")[:_LONGEST].decode(errors="ignore")
            return f"{line}; an upgrade is under way" if standing.upgrading else line
        if self._phase(standing) is Phase.STOPPING:
            return "stopping"
        if standing.served or self.phase is Phase.STARTING:
            return "serving" if standing.served else "starting"
        return "the door process is started again: new clients wait, nobody is refused"

    def _known(self, standing: Standing) -> News:
        return self._news if standing.door == self._news.pid else News(0, stopping=self._news.stopping)

    # -- a new image of this process --------------------------------------------------------------------------------

    def remember(self) -> dict[str, Any]:
        """All that it knows, as JSON, for a renewal of the keeper."""
        return {
            "phase": self.phase.name,
            "news": asdict(self._news),
            "asked": [self._asked, self._asked_said],
            "line": self._line,
        }

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """Go on where another one has stopped. Raises KeyError, ValueError, TypeError."""
        if "phase" not in remembered:
            return  # by code that had no such thing
        self.phase = Phase[remembered["phase"]]
        known = {each.name for each in fields(News)}
        self._news = News(**{name: value for name, value in remembered["news"].items() if name in known})
        self._asked, self._asked_said = remembered["asked"]
        self._line = remembered["line"]


class NotifySocket:
    """The other end of $NOTIFY_SOCKET. Whatever becomes of it, nobody waits for it and nothing is raised."""

    def __init__(self, address: str) -> None:
        """A path, or ``@`` and the name of an abstract socket."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)

    def close(self) -> None:
        """Close this end."""
        self._sock.close()

    def send(self, message: str) -> bool:
        """Send it. False: there is no room just now; what cannot be sent at all is taken for sent."""
        try:
            self._sock.sendto(message.encode(errors="replace"), socket.MSG_NOSIGNAL, self._address)
        except OSError as error:
            return error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)
        return True


def watchdog(env: Mapping[str, str]) -> float | None:
    """Seconds without a WATCHDOG=1 after which systemd acts; None: it never does (sd_watchdog_enabled(3))."""
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # it is meant for another process
    usec = env.get("WATCHDOG_USEC", "")
    if not (usec.isascii() and usec.isdigit()) or not 0 < int(usec) < 1 << 63:
        return None
    return int(usec) / 1_000_000
