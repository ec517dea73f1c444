"""A look at a door at one instant of a swap: its ledger, and the two generations that the swap is about."""

from dataclasses import asdict, dataclass
from typing import Any

from frontdoor.policy.generation import Generation


@dataclass(frozen=True, slots=True)
class Figures:
    """One generation at one instant, counted since it was started."""

    id: str
    state: str
    open: int
    total: int
    """Streams that it was given."""
    ended: dict[str, int]
    """Reason → how many of them have ended for it. What a door process before this one has ended may be missing."""
    up_bytes: int
    """Of streams that have ended."""
    down_bytes: int
    failed_dials: int
    early_closes: int
    crashes: int
    dials: int
    dial_time: float
    """Seconds that all of these took."""
    slowest: float
    """Seconds that the slowest of them took."""

    @classmethod
    def of(cls, generation: Generation) -> "Figures":
        """As it is now."""
        conduct = generation.conduct
        return cls(
            id=generation.id,
            state=str(generation.state),
            open=generation.open,
            total=generation.total,
            ended=conduct.reasons,
            up_bytes=generation.up_bytes,
            down_bytes=generation.down_bytes,
            failed_dials=conduct.failed_dials,
            early_closes=conduct.early_closes,
            crashes=conduct.crashes,
            dials=conduct.dials,
            dial_time=round(conduct.dial_time, 6),
            slowest=round(conduct.slowest, 6),
        )


@dataclass(frozen=True, slots=True)
class Look:
    """One instant. The ledger always adds up: ``accepted == open + sum(ended)``."""

    time: float
    """Seconds since the epoch."""
    accepted: int
    open: int
    ended: dict[str, int]
    """Streams of the whole door, by the reason for which they ended."""
    old: Figures | None
    """The generation that is replaced; None: nothing was active."""
    new: Figures | None

    def encode(self) -> dict[str, Any]:
        """As JSON's values."""
        return asdict(self)

    @classmethod
    def decode(cls, data: dict[str, Any]) -> "Look":
        """From JSON's values. Raises TypeError, ValueError or KeyError when they are something else."""
        old, new = (None if data[side] is None else _figures(data[side]) for side in ("old", "new"))
        accepted, open_ = int(data["accepted"]), int(data["open"])
        return cls(float(data["time"]), accepted, open_, _counts(data["ended"]), old, new)


def since(then: dict[str, int] | None, now: dict[str, int]) -> dict[str, int]:
    """What has ended between two looks, by reason; ``then`` None: from the beginning. The most frequent comes first."""
    grown = {reason: count - (then or {}).get(reason, 0) for reason, count in now.items()}
    return dict(sorted(((reason, count) for reason, count in grown.items() if count > 0), key=lambda pair: -pair[1]))


def _figures(data: dict[str, Any]) -> Figures:
    values: dict[str, Any] = {key: str(data[key]) for key in ("id", "state")}
    values |= {key: float(data[key]) for key in ("dial_time", "slowest")}
    values |= {key: int(data[key]) for key in _COUNTS}
    return Figures(**values, ended=_counts(data["ended"]))


_COUNTS = ("open", "total", "up_bytes", "down_bytes", "failed_dials", "early_closes", "crashes", "dials")


def _counts(data: dict[str, Any]) -> dict[str, int]:
    return {str(reason): int(count) for reason, count in data.items()}
