import collections
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from frontdoor.control.client import Client
from load.mix import BAD, KINDS, VERSIONS, Mix, MixError, in_random_order


class Door(Client):
    """What a door would say; `fault` is one thing that it does not do as it says."""

    def __init__(self, fault: str = "") -> None:
        super().__init__("")
        self.fault = fault
        self.generations = ["v1#1"]  # the active one is the last one
        self.newest = 1

    def ask(self, target: str) -> dict[str, Any]:
        previous = self.generations[-2] if len(self.generations) > 1 else None
        door = {"active": self.generations[-1], "previous": previous, "swap": None}
        return {"pid": 0, "doors": [door]}

    @contextmanager
    def stream(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> Iterator[Iterator[Any]]:  # type: ignore[override]  # the lines are all that is used of it
        body = body or {}
        verb = target.rpartition("/")[2]
        version = body.get("version") or self.generations[-1].partition("#")[0]
        same = [g for g in self.generations if g.partition("#")[0] == version]
        code = 4 if version == BAD else 0
        if self.fault == "says 0 of a bad release":
            code = 0
        elif self.fault == "does nothing" or code:
            pass
        elif verb == "rollback":
            self.generations.append(self.generations[-2])
        elif body.get("reuse") and same and self.fault != "starts another version":
            if same[-1] != self.generations[-1]:
                self.generations.append(same[-1])
        else:
            self.newest += self.fault != "gives a number again"
            version = "v9" if self.fault == "starts another version" else version
            self.generations.append(f"{version}#{self.newest}")
        yield iter([{"event": "swap.started"}, {"event": "result", "exit_code": code, "message": "so it is"}])


def mixed(door: Door) -> Mix:
    return Mix(door, random.Random(1))


def test_a_door_that_does_as_it_says() -> None:
    door = Door()
    mix = mixed(door)
    for kind in in_random_order(60, random.Random(1)):
        if kind != "SIGHUP":
            assert mix.change(kind) == door.generations[-1]
    assert set(mix.done) == set(KINDS) - {"SIGHUP"}


@pytest.mark.parametrize(
    ("kind", "fault", "said"),
    [
        ("swap", "does nothing", "v1#1 is active then"),
        ("swap", "gives a number again", "#1 is active then"),
        ("swap", "starts another version", "v9#2 is active then"),
        ("reuse", "starts another version", "v9#2 is active then"),
        ("restart", "does nothing", "v1#1 is active then"),
        ("restart", "starts another version", "v9#2 is active then"),
        ("bad release", "says 0 of a bad release", "exit code 0, wanted 4: so it is"),
    ],
)
def test_a_door_that_does_otherwise_is_found_out(kind: str, fault: str, said: str) -> None:
    with pytest.raises(MixError, match=rf"^{kind}.* \(while v1#1 was active\): .*{said}$"):
        mixed(Door(fault)).change(kind)


def test_a_rollback_that_does_nothing_is_found_out() -> None:
    door = Door()
    mix = mixed(door)
    mix.change("swap")
    door.fault = "does nothing"
    with pytest.raises(MixError, match=r"^rollback "):
        mix.change("rollback")


@pytest.mark.parametrize("count", [0, 1, 26, 100, 1000])
def test_each_kind_has_its_share_and_the_first_is_a_swap(count: int) -> None:
    kinds = in_random_order(count, random.Random(count))
    assert len(kinds) == count
    assert kinds[:1] == ["swap"][:count]
    whole = sum(KINDS.values())
    for kind, times in collections.Counter(kinds).items():
        assert abs(times - count * KINDS[kind] / whole) < len(KINDS)
    assert BAD not in VERSIONS


def test_the_same_seed_is_the_same_order() -> None:
    assert in_random_order(100, random.Random(7)) == in_random_order(100, random.Random(7))
    assert in_random_order(100, random.Random(7)) != in_random_order(100, random.Random(8))
