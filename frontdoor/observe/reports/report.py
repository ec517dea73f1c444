"""The report of a swap: what is kept of it, so that somebody who asks the next morning can see what happened.

It is fed with the events of the swap, each with a look at the door in that instant, and with points of the curve in
between. It knows neither the clock nor a file: times are passed in, as seconds since the epoch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from frontdoor.control.feed import timestamp
from frontdoor.observe.reports.curve import Curve, Point
from frontdoor.observe.reports.look import Look

UNDER_WAY = "under way"
SWITCHED = "switched"
FAILED = "failed"
ABORTED = "aborted"
ROLLED_BACK = "rolled_back"
VETOED = "vetoed"
OUTCOMES = frozenset({UNDER_WAY, SWITCHED, FAILED, ABORTED, ROLLED_BACK, VETOED})

STARTED = "started"
SETTLED = "settled"
ENDED = "ended"
MILESTONES = (STARTED, SWITCHED, SETTLED, ENDED)
"""Of what there is a look at the door."""

FIRST_EVENTS = 60
LAST_EVENTS = 100
"""Events that are kept of a swap: its first ones, and its last ones."""

LONGEST_WORD = 300
"""Characters of one value of an event that are kept."""

_ENDS = {"swap.failed": FAILED, "swap.aborted": ABORTED, "swap.vetoed": VETOED, "swap.rolled_back": ROLLED_BACK}

TAKEN_BACK = frozenset({"swap.switched", "canary.share"})
"""Events of another swap that takes back what drains, if it leads there."""

_NOT_KEPT = frozenset({"seq", "door", "version", "output", "sockets"})
"""What an event says besides that the report has in another place, or need not have."""

_ITS_OWN = ("swap", True)
"""The number of the swap, in an event of that swap."""


@dataclass(slots=True)
class Report:
    """One swap of one door."""

    door: str
    number: int
    verb: str
    """What was asked for: "swap", "rollback", "restart", "reload"."""
    old: str | None
    """The generation that was active, by its id; None: nothing was."""
    new: str
    """The one that was to be."""
    started: float
    reused: bool = False
    """The new one ran before: nothing was started."""
    outcome: str = UNDER_WAY
    ready: float | None = None
    """When the new one had become ready."""
    switched: float | None = None
    settled: float | None = None
    """When it was certain that the switch stays, or that there is none."""
    drained: float | None = None
    """When the last stream of the generation that had to go had ended, or it was taken back."""
    ended: float | None = None
    """When nothing more was to come of it."""
    recalled: bool = False
    """That one was taken back, by another swap, before all its streams had ended."""
    closed: int = 0
    """Streams that the drain had to close."""
    exit_code: int | None = None
    """Of a ``frontdoor swap --wait drained``."""
    message: str = ""
    """What whoever asked was told."""
    reason: str = ""
    """Why it has not come to the switch, or was taken back."""
    output: list[str] = field(default_factory=list)
    """What the new generation printed last, if it has failed."""
    bake: float | None = None
    """Seconds of the probation; None: there was none."""
    shares: list[tuple[float, str]] = field(default_factory=list)
    """When a canary got which share of the new streams."""
    looks: dict[str, Look] = field(default_factory=dict)
    """Milestone → how the door was then."""
    curve: Curve = field(default_factory=Curve)
    events: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0
    """Events between the first and the last ones that there was no room for."""
    gaps: list[str] = field(default_factory=list)
    """What it does not know, in words."""

    @classmethod
    def begin(cls, event: Mapping[str, Any], *, reload: bool = False, reused: bool = False) -> "Report":
        """``event``: swap.started. ``reload``: a reload has asked for it. ``reused``: the new generation runs."""
        old, new = event.get("from"), str(event["to"])
        verb = "rollback" if event.get("rollback") else "reload" if reload else "swap"
        if verb == "swap" and old and version_of(old) == version_of(new):
            verb = "restart"
        return cls(event["door"], event["swap"], verb, old, new, moment(event), reused)

    @property
    def replaces(self) -> str:
        """From where to where, as people write it."""
        return f"{self.old or 'nothing'} → {self.new}"

    @property
    def leaves(self) -> str | None:
        """The generation whose streams are drained: the old one, or after a switch back the new one."""
        return self.new if self.outcome == ROLLED_BACK else self.old

    def summary(self) -> dict[str, Any]:
        """Its line in the list of reports."""
        return {
            "number": self.number,
            "verb": self.verb,
            "from": self.old,
            "to": self.new,
            "outcome": self.outcome,
            "started": timestamp(self.started),
            "switched": _stamp(self.switched),
            "ended": _stamp(self.ended),
            "cut": self.closed,
        }

    # -- what it is fed with ----------------------------------------------------------------------------------------

    def take(self, event: Mapping[str, Any], look: Look) -> None:
        """Something has happened, and the door was like that in this instant."""
        name, at = event["event"], moment(event)
        if event.get("swap", self.number) != self.number:
            if name in TAKEN_BACK and event.get("to") == self.leaves and self.drained is None:
                self.drained, self.recalled = at, True
        elif name == "backend.ready" and event.get("generation") == self.new and self.switched is None:
            self.ready = at
        elif name == "swap.switched":
            self.outcome, self.switched, self.bake = SWITCHED, at, event.get("bake_s")
            self.looks[SWITCHED] = look
        elif name == "swap.settled":
            self.settled = at
            self.looks[SETTLED] = look
        elif name == "canary.share":
            self._share(at, str(event.get("share", "")))
        elif name == "drain.finished" and event.get("generation") == self.leaves:
            self.drained, self.closed = at, int(event.get("closed", 0))
        elif name in _ENDS and not (name == "swap.rolled_back" and event.get("to") == self.new):
            self.outcome, self.settled = _ENDS[name], at  # the other one is a rollback that has come to its switch
            self.reason = str(event.get("reason") or "")
            self.output = [str(line)[:LONGEST_WORD] for line in event.get("output") or ()]
            self.looks[SETTLED] = look
        if name == "swap.started":
            self.looks[STARTED] = look
        self._keep(event)
        self.see(look)

    def see(self, look: Look) -> None:
        """How it is now: a point of the curve."""
        at = round(max(0.0, look.time - self.started), 3)
        self.curve.add(Point(at, look.old.open if look.old else 0, look.new.open if look.new else 0))

    def end(self, at: float, outcome: Mapping[str, Any], look: Look | None) -> None:
        """Nothing more will come of it. ``outcome``: what those who waited for the end were told."""
        self.ended, self.exit_code = at, outcome.get("exit_code")
        self.message = str(outcome.get("message", ""))
        if self.outcome == UNDER_WAY:
            said = outcome.get("result")
            self.outcome = said if said in OUTCOMES - {UNDER_WAY} else FAILED
        if look is not None:
            self.looks[ENDED] = look
            self.see(look)

    def resume(self, at: float, event: Mapping[str, Any]) -> None:
        """Another door process goes on with it, and has not seen what came in between. ``event``: door.restored."""
        last = self.started + self.curve.points[-1].at if self.curve.points else self.started
        self.gaps.append(f"another door process went on; between {timestamp(last)} and {timestamp(at)} nobody looked")
        del self.gaps[:-LAST_EVENTS]
        self._keep(event)

    def cut_off(self, why: str) -> None:
        """It was not followed to its end."""
        self.gaps.append(why)
        last = self.started + self.curve.points[-1].at if self.curve.points else self.started
        self.ended = last
        if self.outcome == UNDER_WAY:
            self.outcome, self.reason = FAILED, why

    def _share(self, at: float, share: str) -> None:
        self.shares.append((at, share))
        del self.shares[1 : -LAST_EVENTS + 1]

    def _keep(self, event: Mapping[str, Any]) -> None:
        own = event.get("swap") == self.number
        kept = {key: _short(value) for key, value in event.items() if key not in _NOT_KEPT and (key, own) != _ITS_OWN}
        if len(self.events) >= FIRST_EVENTS + LAST_EVENTS:
            del self.events[FIRST_EVENTS]
            self.left_out += 1
        self.events.append(kept)


def version_of(generation: str) -> str:
    """Of the id ``v1#7`` it is ``v1``."""
    return generation.rpartition("#")[0]


def moment(event: Mapping[str, Any]) -> float:
    """When an event was, in seconds since the epoch. Raises ValueError, KeyError."""
    return datetime.fromisoformat(event["time"]).timestamp()


def _stamp(at: float | None) -> str | None:
    return None if at is None else timestamp(at)


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST_WORD else text[:LONGEST_WORD] + "…"
