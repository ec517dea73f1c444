"""A canary's way: which share of the new streams it gets, and when it gets the next."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from frontdoor.policy.share import WHOLE, parse_share, show_share

WAYS_TO_SHARE = ("stream", "address")


@dataclass(frozen=True)
class Plan:
    """How a canary is to go, as whoever began it has said."""

    steps: tuple[int, ...]
    """Its shares, in parts of ``share.WHOLE``, one after the other."""
    every: float | None = None
    """Seconds on each step; None: there is one step."""
    by: str = "stream"
    """What is shared out: each "stream" by itself, or all those of an "address"."""

    @classmethod
    def parse(cls, steps: Sequence[str], every: float | None = None, by: str = "stream") -> Self:
        """As it is written: "5%", "25%", "100%". Raises ValueError, with a message for whoever wrote it."""
        shares = tuple(parse_share(step) for step in steps)
        if not shares:
            raise ValueError("a canary needs a share of the new streams, such as 5%")
        for one, other in itertools.pairwise(shares):
            if other <= one:
                raise ValueError(f"the steps must rise: {show_share(other)} does not come after {show_share(one)}")
        if len(shares) > 1 and every is None:
            raise ValueError("several steps need the time that each of them lasts, such as --every 5m")
        if len(shares) == 1 and every is not None:
            raise ValueError("a time for each step needs several of them, such as 5%,25%,100%")
        if every is not None and not 0 < every < math.inf:
            raise ValueError("the time of each step, --every, must be more than 0s, and must have an end")
        if by not in WAYS_TO_SHARE:
            raise ValueError(f'new streams can be shared out by "stream" or by "address", not by "{by}"')
        return cls(shares, every, by)

    @property
    def complete(self) -> bool:
        """It goes up to all streams by itself."""
        return self.steps[-1] == WHOLE


class Walk:
    """A canary on its way up. All times of one clock, in seconds."""

    def __init__(self, plan: Plan, now: float) -> None:
        """It has the first share from now on."""
        self.plan = plan
        self.share = plan.steps[0]
        """What it has, in parts of ``share.WHOLE``."""
        self._taken = 1
        """Steps of the plan that it has taken."""
        self.next_at = math.inf
        """When the next step comes; infinity: it waits for somebody."""
        self._wait(now)

    @classmethod
    def resumed(cls, note: dict[str, Any]) -> Self:
        """One that a process which has died was in the middle of; times as those of the note."""
        walk = cls(Plan(tuple(note["steps"]), note["every"], note["by"]), 0.0)
        walk.share, walk._taken = note["share"], note["taken"]
        walk.next_at = math.inf if note["next_at"] is None else note["next_at"]
        return walk

    def __repr__(self) -> str:
        return f"<Walk at {show_share(self.share)}, {len(self.plan.steps) - self._taken} steps to go>"

    def note(self) -> dict[str, Any]:
        """What ``resumed`` needs."""
        return {
            "steps": list(self.plan.steps),
            "every": self.plan.every,
            "by": self.plan.by,
            "share": self.share,
            "taken": self._taken,
            "next_at": None if math.isinf(self.next_at) else self.next_at,
        }

    def look(self, now: float) -> int | None:
        """The share from now on, if it is another one; WHOLE: it is to be promoted. Ask again at ``next_at``.

        One step at a time, however late it is: on each the canary is watched for as long as the plan says.
        """
        if self.share == WHOLE:
            return WHOLE
        if now < self.next_at:
            return None
        self.share = self.plan.steps[self._taken]
        self._taken += 1
        self._wait(now)
        return self.share

    def set(self, share: int, now: float) -> None:
        """Somebody has given it that share, at ``now``: it goes no further by itself."""
        self.share = share
        self._taken = len(self.plan.steps)
        self._wait(now)

    def _wait(self, now: float) -> None:
        more = self.plan.every is not None and self._taken < len(self.plan.steps)
        self.next_at = now + self.plan.every if more and self.plan.every is not None else math.inf
