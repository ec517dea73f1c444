"""The curve of a swap: how many streams were open on each side of it, over time.

It has room for a fixed number of points. When it is full, every second one between its ends is left out: so a drain of
a minute and one of a week both fit, and both are drawn with about as many points.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

MOST = 240
"""Points that a curve has room for: more than a picture has columns to show them in."""

CLOSEST = 0.1
"""Seconds between two points that nothing but the time has brought."""

FINENESS = 100
"""How long ago the last news is, over the time until the next point."""

LONGEST = 3600.0
"""Seconds between two points, at the most: of a drain that lasts for months, too."""


def wait(quiet: float) -> float:
    """Seconds until the next point, after so many ``quiet`` ones since something has happened.

    The longer nothing happens, the more seldom: an hour of that has some 700 points, a week of it 1,300.
    """
    return min(LONGEST, max(CLOSEST, quiet / FINENESS))


@dataclass(frozen=True, slots=True)
class Point:
    """How it was at one instant."""

    at: float
    """Seconds since the swap was asked for."""
    old: int
    """Streams open on the generation that is replaced."""
    new: int
    """Streams open on the one that replaces it."""


@dataclass(slots=True)
class Curve:
    """Points in the order of their time, at most MOST of them."""

    points: list[Point] = field(default_factory=list)

    def add(self, point: Point) -> None:
        """How it is now. Of a stretch in which nothing changes the first and the last point are kept.

        A clock that was set back does not bend the curve: such a point takes the time of the one before it.
        """
        points = self.points
        if points and point.at < points[-1].at:
            point = Point(points[-1].at, point.old, point.new)
        if len(points) > 1 and _same(points[-2], points[-1]) and _same(points[-1], point):
            points[-1] = point
            return
        if len(points) >= MOST:
            points[1:-1] = points[2:-1:2]
        points.append(point)

    @property
    def highest(self) -> int:
        """The most streams that either side had; 0 when there is no point."""
        return max((max(point.old, point.new) for point in self.points), default=0)

    def encode(self) -> list[list[float]]:
        """As JSON's values: time, old, new."""
        return [[round(point.at, 3), point.old, point.new] for point in self.points]

    @classmethod
    def decode(cls, rows: Iterable[Sequence[float]]) -> "Curve":
        """From JSON's values. Raises TypeError or ValueError when they are something else."""
        points = [Point(float(at), int(old), int(new)) for at, old, new in rows]
        if any(one.at > following.at for one, following in pairwise(points)):
            raise ValueError("the points of a curve are not in the order of their time")
        if len(points) > MOST or any(min(point.old, point.new) < 0 for point in points):
            raise ValueError("no curve has so many points, or fewer streams than none")
        return cls(points)

    def columns(self, count: int) -> list[Point]:
        """The curve in so many columns: how it was at the end of each, every value held until the next point."""
        if not self.points or count < 1:
            return []
        first, last = self.points[0].at, self.points[-1].at
        shown, there = [], 0
        for column in range(1, count + 1):
            end = last if column == count else first + (last - first) * column / count
            while there + 1 < len(self.points) and self.points[there + 1].at <= end:
                there += 1
            shown.append(Point(end, self.points[there].old, self.points[there].new))
        return shown


def _same(one: Point, other: Point) -> bool:
    return (one.old, one.new) == (other.old, other.new)
