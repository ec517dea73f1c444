"""A report in words: what its text and its picture both say."""

from collections.abc import Iterator
from datetime import datetime, tzinfo

from frontdoor.control.wording import count
from frontdoor.observe.reports.look import Figures, Look, since
from frontdoor.observe.reports.report import (
    ABORTED,
    ENDED,
    FAILED,
    ROLLED_BACK,
    STARTED,
    SWITCHED,
    UNDER_WAY,
    VETOED,
    Report,
)

OUTCOMES = {
    UNDER_WAY: "under way",
    SWITCHED: "switched",
    FAILED: "failed",
    ABORTED: "aborted",
    ROLLED_BACK: "rolled back",
    VETOED: "vetoed by a hook",
}

REASONS = {
    "client_closed": "the client closed it",
    "backend_closed": "the backend closed it",
    "client_reset": "the client reset it",
    "backend_reset": "the backend reset it",
    "idle_timeout": "idle for too long",
    "half_close_timeout": "one side was silent after the other had finished",
    "no_backend": "no backend took it",
    "drain_closed": "the drain closed it",
    "backend_gone": "the backend's process died",
    "shutdown": "frontdoor was stopped",
    "lost": "lost, as the door process died",
    "answered": "answered",
}
"""How a stream ends, for people. Any other reason is shown by its name."""

ELSEWHERE = "not known: another door process has seen it"


def duration(seconds: float) -> str:
    """Return ``0.3 ms``, ``12 ms``, ``0.8 s``, ``12 s``, ``3 m 20 s``, ``1 h 5 m`` or ``2 d 3 h``."""
    if seconds < 0.01:
        return f"{max(seconds, 0) * 1000:.1f} ms" if seconds > 0 else "0 s"
    if seconds < 0.0995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, smaller, size, small in (("d", "h", 86400, 3600), ("h", "m", 3600, 60), ("m", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def day(at: float, zone: tzinfo | None) -> str:
    """``2026-11-23 08:12:03 UTC``. ``zone``: None is that of this machine."""
    return datetime.fromtimestamp(at, zone).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def headline(report: Report) -> str:
    """In one line: which swap, and its outcome."""
    return f"{report.verb.capitalize()} {report.number} of the door {report.door}: {report.replaces}, {outcome(report)}"


def outcome(report: Report) -> str:
    """Its outcome in a few words."""
    words = OUTCOMES[report.outcome]
    if report.outcome == SWITCHED and report.ended is None:
        return f"{words}, not over yet"
    if report.outcome == SWITCHED and report.closed:
        return f"{words}, {count(report.closed, 'stream')} cut"
    return words


def story(report: Report) -> str:
    """What happened, in one sentence: what whoever asked was told, or how it stands."""
    if report.message:
        return report.message
    if report.switched is None:
        return f"{report.old or 'nothing'} serves, and {report.new} is not switched to yet"
    if report.ended is None and report.old is not None:
        look = last_look(report)
        left = look[0] if look else 0
        return f"new streams go to {report.new}; {report.old} still has {count(left, 'stream')}"
    return f"new streams go to {report.new}"


def last_look(report: Report) -> tuple[int, int] | None:
    """Streams open on the old and on the new generation when somebody looked last."""
    points = report.curve.points
    return (points[-1].old, points[-1].new) if points else None


def steps(report: Report) -> Iterator[tuple[float, str]]:
    """When, in seconds since it was asked for, and what: the way of the swap."""
    began, found = report.started, []
    there = streams_at(report, STARTED)
    asked = "a frontdoor with nothing active" if report.old is None else f"{report.old} had {count(there, 'stream')}"
    found.append((began, f"asked for: {report.verb}; {asked}"))
    if report.reused:
        found.append((began, f"{report.new} ran already: nothing was started"))
    if report.ready is not None:
        found.append((report.ready, f"{report.new} was ready"))
    found += [(at, f"canary: {report.new} got {share} of the new streams") for at, share in report.shares]
    if report.switched is not None:
        left = f"; {report.old} had {count(streams_at(report, SWITCHED), 'stream')}" if report.old else ""
        found.append((report.switched, f"switched: new streams went to {report.new} from here on{left}"))
    if report.settled is not None:
        found += [(report.settled, text) for text in _settled(report)]
    if report.drained is not None:
        found.append((report.drained, _drained(report)))
    return ((max(0.0, at - began), text) for at, text in sorted(found, key=lambda step: step[0]))


def _settled(report: Report) -> Iterator[str]:
    why = f": {report.reason}" if report.reason else ""
    if report.outcome == SWITCHED and report.bake:
        yield f"its probation of {duration(report.bake)} was over: the switch stays"
    elif report.outcome == ROLLED_BACK:
        what = "taken back" if report.switched is None else "switched back"
        yield f"{what} to {report.old or 'nothing'}{why}"
    elif report.outcome != SWITCHED:
        yield f"{OUTCOMES[report.outcome]}{why}; nothing was switched"


def _drained(report: Report) -> str:
    gone, since_when = report.leaves, report.switched if report.outcome == SWITCHED else report.settled
    took = "" if since_when is None or report.drained is None else f" after {duration(report.drained - since_when)}"
    if report.recalled:
        return f"{gone} was made active again{took}, before all its streams had ended"
    if report.closed:
        return f"{gone} was drained{took}: {count(report.closed, 'stream')} had to be closed"
    return f"{gone} was drained{took}: every stream had ended by itself"


def streams_at(report: Report, milestone: str) -> int:
    """Streams open on the old generation then; 0 if nobody looked."""
    look = report.looks.get(milestone)
    return look.old.open if look is not None and look.old is not None else 0


def figures(report: Report, side: str) -> tuple[Figures | None, Figures | None]:
    """One of the two, "old" or "new", at the first and at the last look that there is of it."""
    seen = [figure for look in report.looks.values() if (figure := getattr(look, side)) is not None]
    return (seen[0], seen[-1]) if seen else (None, None)


def failed_dials(report: Report) -> int:
    """Of both sides, from the beginning to the end of the swap."""
    total = 0
    for side in ("old", "new"):
        first, last = figures(report, side)
        if first is not None and last is not None:
            total += last.failed_dials - (first.failed_dials if side == "old" or report.reused else 0)
    return total


def endings(report: Report) -> tuple[str | None, dict[str, int]]:
    """The generation that was left, and how its streams have ended from then on, by reason.

    Where another door process has seen the end of some, that is a reason of its own.
    """
    back = report.outcome == ROLLED_BACK
    side, begins = ("new", "settled") if back else ("old", SWITCHED)
    then, now = report.looks.get(begins), report.looks.get(ENDED)
    first = getattr(then, side, None)
    last = getattr(now, side, None) if now is not None else figures(report, side)[1]
    if first is None or last is None:
        return None, {}
    found = since(first.ended, last.ended)
    missing = first.open - last.open - sum(found.values()) + last.total - first.total
    if missing > 0 and now is not None:
        found[ELSEWHERE] = missing
    return report.leaves, found


def sums(look: Look) -> str:
    """The ledger's sum, which always adds up."""
    return f"{look.accepted} accepted = {look.open} open + {sum(look.ended.values())} ended"


def reason(name: str) -> str:
    """How a stream ended, for people."""
    return REASONS.get(name, name)
