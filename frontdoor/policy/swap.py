"""The way of a swap, as a table: ``step(phase, event)`` gives the next phase and what is to be done.

The old generation serves through everything in here until the one command ``SWITCH``, which is one assignment. Until
then a swap can fail or be aborted, and all that follows is that the candidate is stopped.
"""

import enum
from typing import NamedTuple


class Phase(enum.StrEnum):
    """Where a swap is."""

    ASKED = "asked"
    STARTING = "starting"
    PROBING = "probing"
    READY = "ready"
    BAKING = "baking"
    DRAINING = "draining the old"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"


class Event(enum.StrEnum):
    """What happens to it."""

    BEGIN = "begin"
    STARTED = "processes started"
    PROVED_READY = "ready check holds"
    CANDIDATE_FAILED = "candidate exited or cannot start"
    DEADLINE = "ready.deadline passed"
    ABORT = "Ctrl-C"
    SWITCHED = "switched"
    BAKED = "probation over"
    DRAINED = "old one drained"


class Command(enum.StrEnum):
    """What is to be done next, by whoever does the I/O."""

    START = "start the candidate"
    PROBE = "probe it"
    SWITCH = "switch"
    BAKE = "watch it"
    DRAIN = "drain the old"
    STOP_CANDIDATE = "stop the candidate"
    FINISH = "report"


class Move(NamedTuple):
    """A line of the table."""

    phase: Phase
    commands: tuple[Command, ...]


_FAIL = Move(Phase.FAILED, (Command.STOP_CANDIDATE, Command.FINISH))
_ABORT = Move(Phase.ABORTED, (Command.STOP_CANDIDATE, Command.FINISH))

TABLE: dict[tuple[Phase, Event], Move] = {
    (Phase.ASKED, Event.BEGIN): Move(Phase.STARTING, (Command.START,)),
    (Phase.STARTING, Event.STARTED): Move(Phase.PROBING, (Command.PROBE,)),
    (Phase.STARTING, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.STARTING, Event.ABORT): _ABORT,
    (Phase.PROBING, Event.PROVED_READY): Move(Phase.READY, (Command.SWITCH,)),
    (Phase.PROBING, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.PROBING, Event.DEADLINE): _FAIL,
    (Phase.PROBING, Event.ABORT): _ABORT,
    (Phase.READY, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.READY, Event.ABORT): _ABORT,
    (Phase.READY, Event.SWITCHED): Move(Phase.BAKING, (Command.BAKE,)),
    (Phase.BAKING, Event.BAKED): Move(Phase.DRAINING, (Command.DRAIN,)),
    (Phase.DRAINING, Event.DRAINED): Move(Phase.DONE, (Command.FINISH,)),
}

UNDER_WAY = frozenset({Phase.ASKED, Phase.STARTING, Phase.PROBING, Phase.READY, Phase.BAKING})
"""While a swap is here, another one of the same door is refused (exit code 5). A drain holds nobody up."""

ABORTABLE = frozenset({Phase.STARTING, Phase.PROBING, Phase.READY})


class OutOfPlace(Exception):  # noqa: N818 - it says what it is
    """An event that the table does not know in this phase."""


def step(phase: Phase, event: Event) -> Move:
    """What follows. Raises OutOfPlace."""
    try:
        return TABLE[phase, event]
    except KeyError:
        raise OutOfPlace(f"{event!r} while {phase}") from None
