"""Clients and backends that misbehave in every way at once, under swaps: nobody gets another one's answer."""

import contextlib
import random
import threading
import time
from collections.abc import Callable

from e2e.harness import Frontdoor, until
from e2e.test_http_bad_backends import KEPT, descriptors, ticks
from e2e.wire import OK, Wire, chunked, drip, get, http_door, post, request, say, sized

Serve = Callable[..., Frontdoor]

CLIENTS, SWAPS, SEED = 12, 8, 7
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: echo\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


class Visitor:
    """One client at a time, of one thread: what it asks, and what is wrong with what it gets."""

    def __init__(self, address: tuple[str, int], number: int) -> None:
        self._address = address
        self._rng = random.Random(SEED * 1000 + number)
        self._number = number
        self._count = 0
        self.whole = 0
        """Answers that were right."""
        self.wrong: list[str] = []

    def tag(self) -> bytes:
        """What only one answer has in it; of any length."""
        self._count += 1
        return b"<%d.%d>" % (self._number, self._count) * self._rng.choice((1, 3, 1000))

    def visit(self) -> None:
        """Connect, ask some things, and leave in one way or another."""
        ways = (self.asks, self.asks, self.asks_at_once, self.leaves, self.provokes, self.upgrades, self.talks_nonsense)
        with Wire(self._address) as wire:
            for _ in range(self._rng.randrange(1, 6)):
                if not self._rng.choice(ways)(wire):
                    return

    def check(self, came: bytes, wanted: bytes, what: str) -> bool:
        if came == wanted:
            self.whole += 1
        else:
            self.wrong.append(f"{what}: wanted {wanted[:40]!r}, got {came[:200]!r}")
        return came == wanted

    # -- ways to behave; each says whether the connection goes on -----------------------------------------------------

    def asks(self, wire: Wire) -> bool:
        tag = self.tag()
        wait = f"sleep={self._rng.choice((0, 0, 0.01, 0.05))}"
        asked = self._rng.choice(
            (
                get(wait, say(sized(tag))),
                get(wait, say(CHUNKED + chunked(tag))),
                post("body", wait, say(sized(tag)), body=b"b" * self._rng.randrange(100_000)),
                request("POST", "body", say(sized(tag)), fields=b"Transfer-Encoding: chunked\r\n")
                + chunked(b"b", b"c"),
                request("PUT", "later", "close", say(sized(tag))) if len(tag) < 1000 else get(say(sized(tag))),
            )
        )
        answer = wire.ask(asked)
        if b"/later/" in asked:
            return self.check(answer.body[:1], b"v", "a request that may meet a dead connection")
        return self.check(answer.body, tag, "an answer")

    def asks_at_once(self, wire: Wire) -> bool:
        tags = [self.tag()[:100] for _ in range(5)]
        wire.say(b"".join(get(f"sleep={self._rng.choice((0, 0.01))}", say(sized(tag))) for tag in tags))
        right = [self.check(wire.answer().body, tag, "one of some answers") for tag in tags]
        return all(right)

    def leaves(self, wire: Wire) -> bool:
        """In the middle of something."""
        asked = self._rng.choice(
            (
                get("sleep=0.05", "who"),
                get(say(OK + b"Content-Length: 3000000\r\n\r\n"), "fill=3000000"),
                get(drip(CHUNKED + chunked(b"x" * 20))),
                post("body", "who", body=b"b" * 300_000)[:-1000],
                get()[:-2],
            )
        )
        wire.say(asked)
        time.sleep(self._rng.choice((0, 0.01)))
        self._rng.choice((wire.reset, wire.close))()
        return False

    def provokes(self, wire: Wire) -> bool:
        """A backend to misbehave."""
        steps = self._rng.choice(
            (
                ("close",),
                (say(b"garbage\r\n\r\n"),),
                (say(OK), "close"),
                (say(sized(b"more") + sized(b"than one")), "close"),
                (say(OK + b"Content-Length: 100\r\n\r\nhalf"), "close"),
                (say(CHUNKED + b"5\r\nhel"), "close"),
                (say(CHUNKED + b"5\r\nhello\r\n"), "sleep=0.01", say(b"x\r\n")),
            )
        )
        wire.say(get("bad", *steps, fields=b"Connection: close\r\n"))
        came, _ = wire.rest()
        if b"v1#" in came or b"v2#" in came or b"<" in came:
            self.wrong.append(f"a bad backend's answer is {came[:200]!r}")
        return False

    def upgrades(self, wire: Wire) -> bool:
        tag = self.tag()
        wire.say(get(say(SWITCH), "tunnel", fields=UPGRADE) + tag)
        head = wire.head()
        if head != SWITCH:
            self.wrong.append(f"an upgrade was answered by {head!r}")
            return False
        self.check(wire.some(len(tag)), tag, "what was sent ahead of an upgrade")
        return False

    def talks_nonsense(self, wire: Wire) -> bool:
        wire.say(
            self._rng.choice((b"\x16\x03\x01", b"GET  / HTTP/1.1", b"GET / HTTP/1.1\r\nX : y", b"\0" * 9)) + b"\r\n\r\n"
        )
        came, _ = wire.rest()
        if not came.startswith(b"HTTP/1.1 400 "):
            self.wrong.append(f"nonsense was answered by {came[:60]!r}")
        return False


def test_everybody_gets_his_own_answer(anew: Serve) -> None:
    door = anew(**http_door(drain={"timeout": "never"}, swap={"max_generations": SWAPS + 1}))
    door.excused.add("answer.broken")
    pid = door.status()["door_pid"]
    before = descriptors(pid)
    visitors = [Visitor(door.address, number) for number in range(CLIENTS)]
    enough = threading.Event()

    def come_again(visitor: Visitor) -> None:
        while not enough.is_set():
            try:
                visitor.visit()
            except (OSError, AssertionError) as error:
                visitor.wrong.append(repr(error))

    threads = [threading.Thread(target=come_again, args=(visitor,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        for number in range(SWAPS):
            done = [visitor.whole for visitor in visitors]
            door.swap(f"v{2 - number % 2}")
            until(lambda: sum(v.whole for v in visitors) > sum(done) + 20, "they go on", 30)  # noqa: B023
    finally:
        enough.set()
        for thread in threads:
            thread.join()
    assert [wrong for visitor in visitors for wrong in visitor.wrong] == []
    ledger = until(lambda: (found := door.status()["streams"])["open"] == 0 and found, "nothing is under way")
    assert ledger["accepted"] == sum(ledger["ended"].values())
    print(f"{sum(visitor.whole for visitor in visitors)} answers were right; {ledger}")
    until(lambda: len(door.logged("generation.stopped")) == SWAPS, "every generation but the last is stopped", 30)
    until(lambda: descriptors(pid) <= before + KEPT, "nothing is left open")
    worked = ticks(pid)
    time.sleep(0.5)
    assert ticks(pid) - worked <= 5, "nobody is busy any more"
    with contextlib.closing(Wire(door.address)) as wire:
        assert wire.ask(get()).status == 200
