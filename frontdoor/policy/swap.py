"""The way of a swap, as a table: ``step(phase, event)`` gives the next phase and what is to be done.

The old generation serves through everything in here until the one command ``SWITCH``, which is one assignment. Until
then a swap can fail or be aborted, and all that follows is that the candidate is stopped.
"""

import enum
from typing import NamedTuple


class Phase(enum.StrEnum):
    """Where a swap is."""

    ASKED = "asked"
    VETTING = "vetting"
    STARTING = "starting"
    PROBING = "probing"
    READY = "ready"
    SWITCHING = "switching"
    BAKING = "baking"
    DRAINING = "draining the old"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"
    VETOED = "vetoed"


class Event(enum.StrEnum):
    """What happens to it."""

    BEGIN = "begin"
    ALLOWED = "no veto"
    VETO = "before_swap says no"
    STARTED = "processes started"
    TAKEN = "one that runs is taken"
    PROVED_READY = "ready check holds"
    CANDIDATE_FAILED = "candidate exited or cannot start"
    DEADLINE = "ready.deadline passed"
    AGREED = "nobody else to wait for"
    ABORT = "Ctrl-C, or rollback"
    SWITCHED = "switched"
    BAKED = "probation over"
    DRAINED = "old one drained"


class Command(enum.StrEnum):
    """What is to be done next, by whoever does the I/O."""

    ASK = "ask before_swap"
    START = "start the candidate, or take one"
    PROBE = "probe it"
    AGREE = "wait for the reload's other doors"
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
    (Phase.ASKED, Event.BEGIN): Move(Phase.VETTING, (Command.ASK,)),
    (Phase.VETTING, Event.ALLOWED): Move(Phase.STARTING, (Command.START,)),
    (Phase.VETTING, Event.VETO): Move(Phase.VETOED, (Command.FINISH,)),
    (Phase.VETTING, Event.ABORT): Move(Phase.ABORTED, (Command.FINISH,)),
    (Phase.STARTING, Event.STARTED): Move(Phase.PROBING, (Command.PROBE,)),
    (Phase.STARTING, Event.TAKEN): Move(Phase.READY, (Command.AGREE,)),
    (Phase.STARTING, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.STARTING, Event.ABORT): _ABORT,
    (Phase.PROBING, Event.PROVED_READY): Move(Phase.READY, (Command.AGREE,)),
    (Phase.PROBING, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.PROBING, Event.DEADLINE): _FAIL,
    (Phase.PROBING, Event.ABORT): _ABORT,
    (Phase.READY, Event.AGREED): Move(Phase.SWITCHING, (Command.SWITCH,)),
    (Phase.READY, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.READY, Event.ABORT): _ABORT,
    (Phase.SWITCHING, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.SWITCHING, Event.ABORT): _ABORT,
    (Phase.SWITCHING, Event.SWITCHED): Move(Phase.BAKING, (Command.BAKE,)),
    (Phase.BAKING, Event.BAKED): Move(Phase.DRAINING, (Command.DRAIN,)),
    (Phase.DRAINING, Event.DRAINED): Move(Phase.DONE, (Command.FINISH,)),
}

ABORTABLE = frozenset({Phase.ASKED, Phase.VETTING, Phase.STARTING, Phase.PROBING, Phase.READY, Phase.SWITCHING})
"""Before the switch."""

UNDER_WAY = ABORTABLE | {Phase.BAKING}
"""While a swap is here, another one of the same door is refused (exit code 5). A drain holds nobody up."""


class OutOfPlace(Exception):  # noqa: N818 - it says what it is
    """An event that the table does not know in this phase."""


def step(phase: Phase, event: Event) -> Move:
    """What follows. Raises OutOfPlace."""
    try:
        return TABLE[phase, event]
    except KeyError:
        raise OutOfPlace(f"{event!r} while {phase}") from None
