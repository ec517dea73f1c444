"""The way of a swap, as a table: ``step(phase, event)`` gives the next phase and what is to be done.

The old generation serves through everything in here until the one command ``SWITCH``, which is one assignment. Until
then a swap can fail or be aborted, and all that follows is that the candidate is stopped; or withdrawn, if it was a
canary and has streams. After the switch it is watched, and as long as it is, there is a way back.
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
    CANARY = "canary"
    PROMOTING = "promoting"
    SWITCHING = "switching"
    BAKING = "baking"
    DRAINING = "draining the old"
    DONE = "done"
    FAILED = "failed"
    ABORTED = "aborted"
    VETOED = "vetoed"
    SWITCHED_BACK = "switched back"
    RESUMED = "resumed"


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
    TRIED = "begins as a canary"
    PROMOTED = "promoted"
    FOUND_WANTING = "found wanting"
    ABORT = "Ctrl-C, or rollback"
    SWITCHED = "switched"
    BAKED = "probation over"
    DRAINED = "old one drained"
    CANARY_GOES_ON = "the door process died during a canary"
    PROBATION_GOES_ON = "the door process died during the probation"


class Command(enum.StrEnum):
    """What is to be done next, by whoever does the I/O."""

    ASK = "ask before_swap"
    START = "start the candidate, or take one"
    PROBE = "probe it"
    AGREE = "ask before_switch, wait for the reload's other doors"
    SHARE = "give it its share"
    SWITCH = "switch"
    BAKE = "watch it"
    DRAIN = "drain the old"
    STOP_CANDIDATE = "stop the candidate"
    WITHDRAW = "withdraw the canary"
    SWITCH_BACK = "switch back to the old"
    FINISH = "report"


class Move(NamedTuple):
    """A line of the table."""

    phase: Phase
    commands: tuple[Command, ...]


_FAIL = Move(Phase.FAILED, (Command.STOP_CANDIDATE, Command.FINISH))
_ABORT = Move(Phase.ABORTED, (Command.STOP_CANDIDATE, Command.FINISH))
_TAKE_AWAY = Move(Phase.ABORTED, (Command.WITHDRAW, Command.FINISH))
_WITHDRAW = Move(Phase.SWITCHED_BACK, (Command.WITHDRAW, Command.FINISH))
_SWITCH_BACK = Move(Phase.SWITCHED_BACK, (Command.SWITCH_BACK, Command.FINISH))

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
    (Phase.READY, Event.TRIED): Move(Phase.CANARY, (Command.SHARE,)),
    (Phase.CANARY, Event.PROMOTED): Move(Phase.PROMOTING, (Command.SWITCH,)),
    (Phase.CANARY, Event.FOUND_WANTING): _WITHDRAW,
    (Phase.CANARY, Event.ABORT): _TAKE_AWAY,
    (Phase.PROMOTING, Event.CANDIDATE_FAILED): _WITHDRAW,
    (Phase.PROMOTING, Event.ABORT): _TAKE_AWAY,
    (Phase.PROMOTING, Event.SWITCHED): Move(Phase.BAKING, (Command.BAKE,)),
    (Phase.SWITCHING, Event.CANDIDATE_FAILED): _FAIL,
    (Phase.SWITCHING, Event.ABORT): _ABORT,
    (Phase.SWITCHING, Event.SWITCHED): Move(Phase.BAKING, (Command.BAKE,)),
    (Phase.BAKING, Event.BAKED): Move(Phase.DRAINING, (Command.DRAIN,)),
    (Phase.BAKING, Event.FOUND_WANTING): _SWITCH_BACK,
    (Phase.BAKING, Event.ABORT): _SWITCH_BACK,
    (Phase.DRAINING, Event.DRAINED): Move(Phase.DONE, (Command.FINISH,)),
    (Phase.RESUMED, Event.CANARY_GOES_ON): Move(Phase.CANARY, (Command.SHARE,)),
    (Phase.RESUMED, Event.PROBATION_GOES_ON): Move(Phase.BAKING, (Command.BAKE,)),
}

ABORTABLE = frozenset(
    {
        Phase.ASKED,
        Phase.VETTING,
        Phase.STARTING,
        Phase.PROBING,
        Phase.READY,
        Phase.CANARY,
        Phase.PROMOTING,
        Phase.SWITCHING,
    }
)
"""Before the switch."""

UNDER_WAY = ABORTABLE | {Phase.RESUMED, Phase.BAKING}
"""While a swap is here, another one of the same door is refused (exit code 5). A drain holds nobody up."""


class OutOfPlace(Exception):  # noqa: N818 - it says what it is
    """An event that the table does not know in this phase."""


def step(phase: Phase, event: Event) -> Move:
    """What follows. Raises OutOfPlace."""
    try:
        return TABLE[phase, event]
    except KeyError:
        raise OutOfPlace(f"{event!r} while {phase}") from None
