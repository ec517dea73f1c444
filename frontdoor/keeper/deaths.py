"""How door processes have ended lately, and what follows from it: how soon the next one starts, and whom it leaves out.

Who is killed from outside is replaced at once, as often as that happens. A delay is for those that died before they
served, and for those whose end was their own doing: a loop of such ends would take all of the processor.

The words that live streams are relayed by (``traffic.words``) say which stream was in hand when a process died. Three
deaths by own doing in ten seconds, and the streams are looked at:

====================================  ================================================================================
in hand at the last three             is not restored
====================================  ================================================================================
the same stream                       that one
other ones, for the first time        these: what is handled when a process dies is what it dies of, most likely
nobody known at one of them, or       none of all that are open: one of them may be what kills it. Listeners and
that has not helped                   backends go on
====================================  ================================================================================
"""

import signal
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import takewhile
from typing import Any, Literal

WINDOW = 10.0
"""Seconds of service for which a death counts. To start takes time, on a busy machine seconds, and to hang takes more:
both are no life, or neither three crashes there nor three hangs anywhere would ever come within ten seconds."""

DELAYS = (0.0, 0.1, 0.5, 2.0)
"""Seconds until the next start, by how many of the last ten seconds' deaths call for one."""

TOO_MANY = 3
"""Deaths by own doing that a stream may cause."""

KEPT = 20
"""Deaths that are remembered."""

_OWN = {
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGPIPE,
    signal.SIGSEGV,
    signal.SIGSYS,
    signal.SIGTRAP,
    signal.SIGXCPU,
    signal.SIGXFSZ,
}
"""Signals that the kernel, or libc, sends to a process for what it has done (signal(7)). The others are sent by others:
SIGKILL by an operator or the kernel that is out of memory."""

Quarantine = list[int] | Literal["all"]
"""The numbers of streams that are not to be restored."""


@dataclass(frozen=True, slots=True)
class Death:
    """The end of one door process."""

    at: float
    """Seconds of the monotonic clock, which is one for the whole machine."""
    status: int
    """As ``os.waitstatus_to_exitcode``: a signal is negative."""
    served: bool
    """It had served."""
    lived: float = 0.0
    """Seconds from then until it died, or until it was heard last."""
    silent: float = 0.0
    """For so many seconds it had not answered, when it was killed for that; 0: it was not."""
    suspect: int = 0
    """The number of the stream that was in hand; 0: none, or nobody knows."""

    @classmethod
    def decode(cls, said: Mapping[str, Any]) -> "Death":
        """From JSON, of this code or of a later one. Raises TypeError."""
        return cls(**{field.name: said[field.name] for field in fields(cls) if field.name in said})

    @property
    def own_doing(self) -> bool:
        """Nobody else has ended it."""
        return self.silent > 0 or self.status >= 0 or -self.status in _OWN

    @property
    def how(self) -> str:
        """In words."""
        if self.silent > 0:
            return f"killed, for it had not answered for {self.silent:.1f} s"
        return f"signal {-self.status}" if self.status < 0 else f"exit code {self.status}"


class Deaths:
    """The chronicle of them."""

    def __init__(self) -> None:
        self._chronicle: deque[Death] = deque(maxlen=KEPT)
        self.quarantine: Quarantine = []
        """Who is not to be restored by the next one."""

    def __repr__(self) -> str:
        return f"<Deaths: {len(self._chronicle)}, in quarantine: {self.quarantine or 'nobody'}>"

    def __iter__(self) -> Iterator[Death]:
        """The oldest first."""
        return iter(self._chronicle)

    @property
    def hung_starts(self) -> int:
        """How many in a row have hung before they served, up to now."""
        return sum(1 for _ in takewhile(lambda death: death.silent > 0 and not death.served, reversed(self._chronicle)))

    def remember(self) -> dict[str, Any]:
        """All of it, as JSON."""
        return {"deaths": [asdict(death) for death in self._chronicle], "quarantine": self.quarantine}

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """As it was. Raises KeyError, TypeError."""
        self._chronicle.extend(map(Death.decode, remembered["deaths"]))
        self.quarantine = remembered["quarantine"]

    def add(self, death: Death) -> float:
        """One more; the seconds until the next start."""
        self._chronicle.append(death)
        self._choose()
        if death.served and not death.own_doing:
            return 0.0
        called_for = sum(each.own_doing or not each.served for each in self._lately())
        return DELAYS[min(called_for, len(DELAYS)) - 1]

    def served(self) -> None:
        """The next one has served: whoever was in quarantine is closed."""
        self.quarantine = []

    def _lately(self) -> Iterator[Death]:
        """The last one, and those of the ten seconds of service before it; the last one first."""
        lived = 0.0
        for death in reversed(self._chronicle):
            if lived >= WINDOW:
                return
            yield death
            lived += death.lived

    def _choose(self) -> None:
        """Who is in quarantine now. Nobody comes out of it before it was obeyed."""
        last = self._chronicle[-1]
        often = Counter(death.suspect for death in self._chronicle if death.own_doing and death.suspect)
        # What one stream has been left out for says nothing of another one.
        counts = [death for death in self._lately() if death.suspect == last.suspect or often[death.suspect] < TOO_MANY]
        own = [death for death in counts if death.own_doing]
        if len(own) < TOO_MANY or not last.own_doing or self.quarantine == "all":
            return
        suspects = {death.suspect for death in own[:TOO_MANY]}
        if 0 in suspects or (len(suspects) > 1 and len(own) > TOO_MANY):
            self.quarantine = "all"
        else:
            self.quarantine = sorted({*self.quarantine, *suspects})
