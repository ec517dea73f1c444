"""The HTTP clients: what each kind asks, and what must be right about the answer."""

import hashlib
import json
import random
from collections.abc import Awaitable, Callable

import trio

from load.http import Answer, HttpConnection
from load.record import Row
from load.session import FAILURES, Session, WrongError, generation_of, reason

UPLOAD = 1 << 20  # bytes
Ask = Callable[[HttpConnection, random.Random, bool], Awaitable[tuple[Answer, int]]]
"""Sends one request; `last` if the connection ends with it. Returns the answer and how many bytes went up."""


async def whoami(http: HttpConnection, rng: random.Random, last: bool) -> tuple[Answer, int]:
    """GET /whoami: head and body must name the same generation."""
    answer = _good(await http.request("GET", "/whoami", last=last))
    if generation_of(answer.body) != answer.generation:
        raise WrongError(f"the head says {answer.generation}, the body {generation_of(answer.body)}")
    return answer, 0


async def slow(http: HttpConnection, rng: random.Random, last: bool) -> tuple[Answer, int]:
    """GET /slow: an answer that comes late, when the version that gives it may have been replaced."""
    return _good(await http.request("GET", f"/slow?seconds={rng.uniform(0.5, 2):.2f}", last=last)), 0


async def stream(http: HttpConnection, rng: random.Random, last: bool) -> tuple[Answer, int]:
    """GET /stream: a body that comes piece by piece, with the SHA-256 of all of it at its end."""
    chunks, size = rng.randint(5, 20), rng.randint(1, 40_000)
    target = f"/stream?chunks={chunks}&interval={rng.uniform(0.01, 0.1):.3f}&size={size}"
    answer = _good(await http.request("GET", target, last=last))
    body, ending = answer.body[: chunks * size], answer.body[chunks * size :]
    wanted = f"\nsha256 {hashlib.sha256(body).hexdigest()}\n".encode()
    if len(body) != chunks * size or ending != wanted:
        raise WrongError(f"a streamed body of {len(answer.body)} bytes is not what was sent")
    return answer, 0


async def upload(http: HttpConnection, rng: random.Random, last: bool) -> tuple[Answer, int]:
    """POST /upload of 1 MiB: the server says what came."""
    body = rng.randbytes(UPLOAD)
    answer = _good(await http.request("POST", "/upload", body, last=last))
    came = json.loads(answer.body)
    if came != {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}:
        raise WrongError(f"uploaded {len(body)} bytes, and the server got something else: {came}")
    return answer, len(body)


async def http_client(session: Session, row: Row, rng: random.Random, *, ask: Ask, longest: int) -> None:
    """One connection after the other until the load stops, each for up to `longest` requests."""
    while not session.stopping.is_set():
        try:
            await _one_connection(session, row, rng, ask, rng.randint(1, longest))
        except* FAILURES as error:
            session.fail(row, reason(error))
        await session.rest(rng)


async def _one_connection(session: Session, row: Row, rng: random.Random, ask: Ask, requests: int) -> None:
    opened, generation = session.expectation.opened(), ""
    with trio.fail_after(session.timeout):
        http = await HttpConnection.open(session.address)
    try:
        for left in reversed(range(requests)):
            last = left == 0 or session.stopping.is_set()
            if session.per_request:
                opened = session.expectation.opened()
            with trio.fail_after(session.timeout):
                answer, up = await ask(http, rng, last)
            if not generation:
                generation = answer.generation
                session.answered(row, opened, generation)
            elif session.per_request:
                row.generations[answer.generation] += 1
                session.check(row, opened, answer.generation)
            elif answer.generation != generation:
                raise WrongError(f"one connection was answered by {generation}, then by {answer.generation}")
            row.rounds += 1
            row.moved += len(answer.body) + up
            if last:
                return
            await session.rest(rng)
    finally:
        with trio.move_on_after(1):
            await http.aclose()


def _good(answer: Answer) -> Answer:
    if answer.status != 200:
        raise WrongError(f"status {answer.status}: {answer.body[:60]!r}")
    return answer
