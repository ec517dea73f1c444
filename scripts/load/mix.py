"""A mix of all that changes what a door serves, in random order, each held against what it promises."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from frontdoor.control.client import Client
from frontdoor.control.dial import ControlError, Refused

VERSIONS = ("v1", "v2", "v3")
BAD = "bad"  # of this version every start fails
NOT_READY = 4  # the exit code of a swap to it

KINDS = {"swap": 10, "reuse": 4, "rollback": 4, "restart": 3, "SIGHUP": 2, "bad release": 3}
"""What is done, and how often compared with the others."""


def in_random_order(count: int, rng: random.Random) -> list[str]:
    """So many kinds, each with its share of them. The first is a swap: there must be something to go back to."""
    whole = sum(KINDS.values())
    kinds = [kind for kind, share in KINDS.items() for _ in range(count * share // whole)]
    kinds += ["swap"] * (count - len(kinds))
    rng.shuffle(kinds)
    if kinds:
        first = kinds.index("swap")
        kinds[0], kinds[first] = kinds[first], kinds[0]
    return kinds


PATIENCE = 60  # seconds for one change
POLL = 0.03  # seconds between two looks: each is a connection, and the control socket takes 256 at a time


class MixError(Exception):
    """A change came out otherwise than was promised."""


class Mix:
    """One change after the other, of a door that nobody else changes. Each call blocks until its outcome is certain."""

    def __init__(self, control: Client, rng: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self._control = control
        self._rng = rng
        self._newest = 0  # the highest number of a generation that has been seen active

    def status(self) -> dict[str, Any]:
        """The state of the only door. Raises MixError."""
        try:
            whole = self._control.ask("/v1/status")
        except ControlError as error:
            raise MixError(f"no status: {error}") from None
        door: dict[str, Any] = whole["doors"][0]
        return {**whole, **door}

    def change(self, kind: str) -> str:
        """Do something of that kind; the id of the generation that is active then. Raises MixError."""
        before = self.status()
        words = f"{kind} {self._rng.choice(VERSIONS)}" if kind in ("swap", "reuse") else kind
        try:
            self._do(words, before)
            after = self._wait(lambda now: not now["swap"], "the swap has not ended")
            self._check(words, before, after)
        except (ControlError, MixError) as error:
            raise MixError(f"{words} (while {before['active']} was active): {error}") from None
        self.done[kind] += 1
        self._newest = max(self._newest, _number(after["active"]))
        active: str = after["active"]
        return active

    @staticmethod
    def unrest(status: Mapping[str, Any]) -> list[str]:
        """What still goes on: streams, a swap, generations that drain, are warm or are being stopped."""
        streams = status["streams"]["open"]
        found = [f"{streams} streams are open"] if streams else []
        if status["swap"]:
            found.append("a swap is under way")
        others = (g for g in status["generations"] if g["processes"] and g["state"] != "active")
        return found + [f"{g['id']} is {g['state']}" for g in others]

    def rest(self) -> None:
        """Wait until nothing goes on any more. Raises MixError."""
        self._wait(lambda now: not self.unrest(now), "it has not come to rest")

    # -- doing it ---------------------------------------------------------------------------------------------------

    def _do(self, words: str, before: Mapping[str, Any]) -> None:
        wait = self._rng.choice(("switched", "baked"))
        match words.split(" "):
            case "swap", version:
                self._ask("swap", {"version": version, "wait": wait})
            case "reuse", version:
                self._ask("swap", {"version": version, "wait": wait, "reuse": True})
            case "bad", "release":
                self._ask("swap", {"version": BAD, "wait": wait}, NOT_READY)
            case (verb,) if verb != "SIGHUP":
                self._ask(verb, {"wait": wait})
            case _:
                os.kill(before["pid"], signal.SIGHUP)
                # A signal has no answer: what it has done is seen.
                self._wait(lambda now: now["active"] != before["active"], "nothing has come of it")

    def _ask(self, verb: str, body: Mapping[str, Any], wanted: int = 0) -> None:
        outcome: Mapping[str, Any] = {}
        try:
            with self._control.stream("POST", f"/v1/doors/-/{verb}", body) as lines:
                for line in lines:
                    outcome = line
        except Refused as refused:
            raise MixError(f"refused with exit code {refused.exit_code}: {refused}") from None
        if outcome.get("exit_code") != wanted:
            raise MixError(f"exit code {outcome.get('exit_code')}, wanted {wanted}: {outcome.get('message')}")

    def _wait(self, seen: Callable[[dict[str, Any]], bool], otherwise: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while not seen(now := self.status()):
            if time.monotonic() > deadline:
                raise MixError(f"{otherwise} within {PATIENCE} s")
            time.sleep(POLL)
        return now

    # -- what must have come of it ----------------------------------------------------------------------------------

    def _check(self, words: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        was, now = before["active"], after["active"]
        is_new = _number(now) > max(self._newest, _number(was))
        match words.split(" "):
            case "swap", version:
                right = is_new and _version(now) == version
            case "reuse", version:
                right = _version(now) == version and (now == was or _version(was) != version)
            case "bad", "release":
                right = now == was
            case ("rollback",):
                # To the previous generation; where it has ended, to its version; and where that is the one which is
                # active, being another start of it, to the version that served before both.
                previous = before["previous"]
                right = previous == now or (is_new and (_same_version(now, previous) or _same_version(was, previous)))
            case _:
                right = is_new and _same_version(now, was)
        if not right:
            raise MixError(f"{now} is active then")


def _number(generation: str) -> int:
    return int(generation.partition("#")[2])


def _version(generation: str) -> str:
    return generation.partition("#")[0]


def _same_version(one: str, other: str) -> bool:
    return _version(one) == _version(other)
