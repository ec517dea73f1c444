"""A crowd: connections that last, of each kind that there is, and clients that notice every byte that is wrong.

It is for what happens to frontdoor itself, while `load.harness` is for swaps. Each member keeps one connection from the
first moment to the last, however often frontdoor's processes change; only visitors come and go. `load.endless` must be
behind the door. A member knows each byte that must come, so one that is lost, doubled, changed or in the wrong place is
noticed, in its place.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import trio

from load.endless import CHUNK, CLOSE, PERIOD, message, noise
from load.session import FAILURES, WrongError, reason
from load.talk import CutError, Talk

PROTECTED_FROM = 1.0
"""Seconds that a stream must have lived to live through a crash."""
SLACK = 0.5
"""Seconds more until one has it from frontdoor: streams are protected in batches."""

SMALL_BUFFER = 16_384  # bytes in the kernel for whoever is slow: what is on its way fills the door's pipes
SLOW = 200_000  # bytes a second at the most that a slow reader takes
SLOW_APP = 1_000_000  # and that a slow app does: what it has not taken when the crowd leaves is all waited for
LONGEST_STAY = 3.0  # seconds, of a visitor
PATIENCE = 60.0  # seconds until all have left
ALIVE_WITHIN = 30.0  # seconds in which everybody must have done something more
WRITTEN_WITHIN = 10.0  # seconds from the end of an upload until the app has written what it got
PIECE = 512  # bytes at once of who has time


@dataclasses.dataclass(frozen=True)
class Party:
    """How many of each kind."""

    websockets: int = 0
    """Numbered messages there and back, small ones in bursts, and large ones."""
    kept: int = 0
    """Requests on one connection; half of a body comes later than the other half."""
    downloads: int = 0
    uploads: int = 0
    """The app says length and hash, when its client has finished."""
    slow_readers: int = 0
    """They read less than comes: what is on its way to them fills every buffer."""
    slow_apps: int = 0
    """The same in the other direction."""
    finished_clients: int = 0
    """Half-closed: they only read, numbered lines."""
    finished_apps: int = 0
    """Half-closed: they only write. What the app has got it writes into a file."""
    visitors: int = 0
    """One connection after the other, for some moments or some seconds each."""


@dataclasses.dataclass(frozen=True)
class Pace:
    """How much of it."""

    rest: float = 0.25
    """Seconds between two rounds of one client, on average."""
    size: int = 1 << 20
    """Bytes that a download, or an upload, moves at least."""
    rate: float = 10e6
    """Bytes a second of it, until the crowd is to leave."""


@dataclasses.dataclass
class Member:
    """One client, and what it has seen."""

    name: str
    kind: str
    rounds: int = 0
    moved: int = 0  # bytes that were found right
    has_left: bool = False


class Crowd:
    """All of them, at one door."""

    def __init__(self, address: tuple[str, int], party: Party, pace: Pace, *, results: str, seed: int) -> None:
        """`results`: the folder that the app was told to write its results into."""
        self.failures: list[str] = []
        self.visits = 0
        """Connections of visitors that were taken."""
        self.cut = 0
        """Those of them that ended too early, and were young."""
        self._address = address
        self._pace = pace
        self._results = results
        self._seed = seed
        self._leaving = trio.Event()
        self._stays: set[trio.CancelScope] = set()
        """Of visitors who just stay."""
        self._kinds: dict[str, Callable[[Member, random.Random], Awaitable[None]]] = {
            "websockets": self._websocket,
            "kept": self._keep,
            "downloads": self._download,
            "uploads": self._upload,
            "slow_readers": self._read_slowly,
            "slow_apps": self._feed_slowly,
            "finished_clients": self._only_read,
            "finished_apps": self._only_write,
            "visitors": self._visit,
        }
        self.members = [
            Member(f"{kind} {number}", kind)
            for kind, count in dataclasses.asdict(party).items()
            for number in range(1, count + 1)
        ]

    def __len__(self) -> int:
        """How many streams it keeps open."""
        return sum(member.kind != "visitors" for member in self.members)

    @property
    def moved(self) -> dict[str, int]:
        """Bytes that were found right, by kind."""
        sums: dict[str, int] = {}
        for member in self.members:
            sums[member.kind] = sums.get(member.kind, 0) + member.moved
        return sums

    @contextlib.asynccontextmanager
    async def present(self) -> AsyncIterator[None]:
        """They come; when this begins each has been served. When it ends they finish what they began, and leave."""
        async with trio.open_nursery() as nursery:
            for member in self.members:
                nursery.start_soon(self._attend, member)
            await self.all_go_on()
            yield
            self._leaving.set()
            for stay in self._stays:
                stay.cancel()
            await _until(lambda: all(member.has_left for member in self.members), PATIENCE)
            self.failures += [f"{member.name}: has not ended" for member in self.members if not member.has_left]
            nursery.cancel_scope.cancel()

    async def all_go_on(self) -> None:
        """Wait until each that lasts has done something more; who has not is a failure. Who has failed has left."""
        before = {member.name: member.rounds for member in self.members}
        await _until(lambda: not self._stand_still(before), ALIVE_WITHIN)
        self.failures += [f"{name}: nothing for {ALIVE_WITHIN:g} s" for name in self._stand_still(before)]

    def _stand_still(self, before: dict[str, int]) -> list[str]:
        staying = (one for one in self.members if one.kind != "visitors" and not one.has_left)
        return [one.name for one in staying if one.rounds == before[one.name]]

    async def _attend(self, member: Member) -> None:
        try:
            await self._kinds[member.kind](member, random.Random(f"{self._seed} {member.name}"))
        except* FAILURES as error:
            self._fail(member, error)
        member.has_left = True

    def _fail(self, member: Member, error: BaseException) -> None:
        moved = f" after {member.rounds} rounds, {member.moved} bytes"
        self.failures.append(f"{time.monotonic():.3f} {member.name}: {reason(error)}{moved}")

    async def _rest(self, rng: random.Random) -> None:
        with trio.move_on_after(rng.uniform(0.5, 1.5) * self._pace.rest):
            await self._leaving.wait()
        await trio.lowlevel.checkpoint()

    async def _connect(self, buffer: int | None = None) -> Talk:
        return await Talk.to(*self._address, buffer=buffer)

    # -- questions and answers --------------------------------------------------------------------------------------

    async def _websocket(self, member: Member, rng: random.Random) -> None:
        with await self._connect() as talk:
            await talk.upgrade()
            number = 0
            while not self._leaving.is_set():
                # A large one alone: who sends more than fits into all buffers must read meanwhile.
                sizes = [rng.randint(60_000, 200_000)] if rng.random() < 0.05 else rng.choices(range(500), k=3)
                texts = [_text(member.name, number + place, size) for place, size in enumerate(sizes, 1)]
                await talk.ask(*texts)
                for text in texts:
                    number += 1
                    first, heard = await talk.hear()
                    if heard != number.to_bytes(8, "big") + text:
                        raise WrongError(f"message {number}: first byte {first:#x}, {_difference(heard[8:], text)}")
                    member.moved += len(text)
                member.rounds += 1
                await self._rest(rng)
            await talk.say(message(CLOSE, b"\x03\xe8", masked=True))
            if await talk.hear() != (CLOSE, b"\x03\xe8"):
                raise WrongError("its goodbye was not answered")
            await talk.is_over()

    async def _keep(self, member: Member, rng: random.Random) -> None:
        with await self._connect() as talk:
            generation = await talk.who()
            while not self._leaving.is_set():
                body = noise(rng.randrange(PERIOD), rng.randint(1, CHUNK))
                half = rng.randrange(len(body))
                head = f"POST /mirror HTTP/1.1\r\nHost: crowd\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                await talk.say(head + body[:half])
                await self._rest(rng)
                await talk.say(body[half:])
                if (answer := await talk.answer()) != body:
                    raise WrongError(f"request {member.rounds + 1}: {_difference(answer, body)}")
                if (now := await talk.who()) != generation:
                    raise WrongError(f"moved from {generation} to {now}")
                member.moved += len(body)
                member.rounds += 1
            talk.finish()
            await talk.is_over()

    # -- bulk -------------------------------------------------------------------------------------------------------

    async def _download(self, member: Member, rng: random.Random) -> None:
        with await self._connect() as talk:
            await self._take(member, talk, self._pace.rate, self._pace.size, CHUNK // 2)

    async def _read_slowly(self, member: Member, rng: random.Random) -> None:
        with await self._connect(SMALL_BUFFER) as talk:
            await self._take(member, talk, SLOW * rng.uniform(0.2, 1), 0, SMALL_BUFFER)

    async def _take(self, member: Member, talk: Talk, rate: float, size: int, most: int) -> None:
        await talk.say(b"GET /pour HTTP/1.1\r\nHost: crowd\r\n\r\n")
        await talk.head()
        began, tail, has_finished = trio.current_time(), b"", False
        while data := await talk.some(most):
            data = tail + data
            data, tail = data[:-8], data[-8:]  # the last eight bytes of all are no noise
            if data != noise(member.moved, len(data)):
                raise WrongError(_difference(data, noise(member.moved, len(data)), member.moved))
            member.moved += len(data)
            member.rounds += 1
            if not self._leaving.is_set():
                await self._rest_until(began + member.moved / rate)
            elif not has_finished and member.moved >= size:
                talk.finish()
                has_finished = True
        if not has_finished:
            raise CutError("closed by the other side")
        if int.from_bytes(tail, "big") != member.moved:
            raise WrongError(f"{member.moved} bytes came, {int.from_bytes(tail, 'big')} were sent")

    async def _upload(self, member: Member, rng: random.Random) -> None:
        with await self._connect() as talk:
            await self._give(member, talk, "/drink", self._pace.rate, self._pace.size)

    async def _feed_slowly(self, member: Member, rng: random.Random) -> None:
        with await self._connect(SMALL_BUFFER) as talk:
            await self._give(member, talk, f"/drink?rate={SLOW_APP}", float("inf"), 0, SMALL_BUFFER)

    async def _give(
        self, member: Member, talk: Talk, path: str, rate: float, size: int, piece: int = CHUNK // 2
    ) -> None:
        await talk.say(f"POST {path} HTTP/1.1\r\nHost: crowd\r\n\r\n".encode())
        began, digest = trio.current_time(), hashlib.sha256()
        while member.moved < size or not self._leaving.is_set():
            data = noise(member.moved, piece)
            digest.update(data)
            await talk.say(data)
            member.moved += len(data)
            member.rounds += 1
            if not self._leaving.is_set():
                await self._rest_until(began + member.moved / rate)
        talk.finish()
        _compare(await talk.rest(), member.moved, digest.hexdigest())

    async def _rest_until(self, when: float) -> None:
        with trio.move_on_at(when):
            await self._leaving.wait()

    # -- half-closed ------------------------------------------------------------------------------------------------

    async def _only_read(self, member: Member, rng: random.Random) -> None:
        with await self._connect() as talk:
            await talk.say(b"GET /drip HTTP/1.1\r\nHost: crowd\r\n\r\n")
            talk.finish()
            await talk.head()
            while not self._leaving.is_set():
                line = await talk.until(b"\n")
                if line != b"%d\n" % (member.rounds + 1):
                    raise WrongError(f"line {member.rounds + 1} is {line!r}")
                member.rounds += 1
                member.moved += len(line)

    async def _only_write(self, member: Member, rng: random.Random) -> None:
        name, digest = member.name.replace(" ", "-"), hashlib.sha256()
        with await self._connect() as talk:
            await talk.say(f"POST /swallow?id={name} HTTP/1.1\r\nHost: crowd\r\n\r\n".encode())
            await talk.head()
            await talk.is_over()
            while not self._leaving.is_set():
                data = noise(member.moved, PIECE)
                digest.update(data)
                await talk.say(data)
                member.moved += len(data)
                member.rounds += 1
                await self._rest(rng)
        path = os.path.join(self._results, name)
        await _until(lambda: os.path.exists(path), WRITTEN_WITHIN)
        _compare(_taken(path), member.moved, digest.hexdigest())

    # -- who comes and goes -----------------------------------------------------------------------------------------

    async def _visit(self, member: Member, rng: random.Random) -> None:
        while not self._leaving.is_set():
            try:
                talk = await self._connect()
            except OSError as error:
                raise WrongError(f"refused: {error}") from None
            self.visits += 1
            with talk:
                greeted = trio.current_time()
                try:
                    await talk.who()
                    greeted = trio.current_time()  # it was taken before that: it is older than it is said to be
                    await self._stay(talk, rng)
                except CutError as cut:
                    age = trio.current_time() - greeted
                    if age > PROTECTED_FROM + SLACK:
                        raise WrongError(f"{cut}, {age:.2f} s old") from None
                    self.cut += 1
            member.rounds += 1
            await self._rest(rng)

    async def _stay(self, talk: Talk, rng: random.Random) -> None:
        stay = rng.uniform(0, LONGEST_STAY) if rng.random() < 0.5 else 0
        with trio.move_on_after(stay) as staying:
            self._stays.add(staying)
            if data := await talk.some():
                raise WrongError(f"{data[:60]!r} came, and nobody had asked")
            raise CutError("closed by the other side")
        self._stays.discard(staying)
        await talk.who()
        if rng.random() < 0.5:
            talk.finish()
            await talk.is_over()


async def _until(true: Callable[[], bool], within: float) -> None:
    """Look again and again; no longer than `within` seconds."""
    with trio.move_on_after(within):
        while not true():  # noqa: ASYNC110 - some of it is another process's doing
            await trio.sleep(0.01)


def _taken(path: str) -> bytes:
    """What is in the file, which is gone then. Raises WrongError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise WrongError("the app does not know that it has ended") from None
    os.unlink(path)
    return data


def _text(name: str, number: int, size: int) -> bytes:
    filling = b"".join(noise(start) for start in range(0, size, CHUNK))[:size]
    return f"{name}, {number}: ".encode() + filling


def _difference(came: bytes, wanted: bytes, start: int = 0) -> str:
    """Where it begins, and whether what came belongs elsewhere."""
    at = next((at for at, (one, other) in enumerate(zip(came, wanted, strict=False)) if one != other), len(wanted))
    return f"{len(came)} bytes, wanted {len(wanted)}; byte {start + at} is wrong: {came[at : at + 20]!r}"


def _compare(answer: bytes, length: int, sha256: str) -> None:
    if not answer.strip():
        raise CutError("closed before the app had said what it got")
    said = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    if said != {"length": length, "sha256": sha256}:
        raise WrongError(f"sent {length} bytes, {sha256}; the app got {said}")
