"""The roster: which of a door's generations can be taken again, and which of them make room for a new one."""

from collections.abc import Iterable

from frontdoor.policy.generation import Generation, State
from frontdoor.policy.history import Past

RUNNING = frozenset({State.STARTING, State.READY, State.ACTIVE, State.DRAINING, State.WARM})
"""What ``swap.max_generations`` counts. One that is being stopped is on its way out, however long that takes it."""

STANDING_BY = frozenset({State.DRAINING, State.WARM})
"""Its processes run, and it is not the active one: a switch to it is instant."""


class Full(Exception):  # noqa: N818 - an answer, not an error
    """``swap.max_generations`` are running, and none of them can be sent away."""


def standing_by(generations: Iterable[Generation], name: str) -> Generation | None:
    """The newest generation of that version, or the one with that id, that a switch could go to at once."""
    found = [g for g in generations if name in (g.version, g.id) and g.state in STANDING_BY]
    return max(found, key=lambda generation: generation.number, default=None)


def to_send_away(generations: Iterable[Generation], most: int, back_to: Past | None) -> list[Generation]:
    """The warm generations that have to go so that one more can be started; the oldest first.

    The one that a rollback leads to goes last. Raises Full: those that are left serve somebody.
    """
    running = [generation for generation in generations if generation.state in RUNNING]
    number = back_to.number if back_to is not None else None
    warm = sorted(
        (generation for generation in running if generation.state is State.WARM),
        key=lambda generation: (generation.number == number, generation.number),
    )
    excess = max(0, len(running) + 1 - most)
    if excess > len(warm):
        raise Full
    return warm[:excess]
