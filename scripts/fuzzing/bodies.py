"""What must hold for a body: it ends at the same byte, and holds the same, for whoever reads it, however it is cut."""

from collections.abc import Iterator

from frontdoor.http.framing import LONGEST_LINE, BadBody, Chunked, Sized
from fuzzing.reference import DONE, MORE, REFUSED, Reading, h11_chunks, read_chunks

OWN_LIMITS = ("too long", "cannot be a trailer", "does not end where its size says")
"""Why frontdoor refuses what the grammar allows, or sooner than a reader of whole lines does."""

BYTEWISE = 64
"""So long an input is cut into single bytes, too."""

MOST = 256
"""Pieces of an input, or so."""


def check(data: bytes) -> None:
    """The first byte says how the rest is cut. Raises AssertionError, or what frontdoor should not have raised."""
    step, data = steps(data)
    whole, why = reading([data])
    assert reading(pieces(data, step))[0] == whole, f"cut into pieces of {step} it is another"
    if len(data) <= BYTEWISE:
        assert reading(pieces(data, 1))[0] == whole, "cut into bytes it is another"
    check_reference(data, whole, why)
    check_sized(data, step)


def steps(data: bytes) -> tuple[int, bytes]:
    """How long the pieces are, and what is cut into them: never too many, for it should be quick."""
    return (data[0] if data else 0) + 1 + len(data) // MOST, data[1:]


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    """The bytes in pieces; the first is shorter, so that the step is not the phase, too."""
    yield data[: step // 2]
    for at in range(step // 2, len(data), step):
        yield data[at : at + step]


def reading(parts: Iterator[bytes] | list[bytes]) -> tuple[Reading, str]:
    """What Chunked makes of them; if it refuses, why."""
    body, plain, taken = Chunked(decode=True), Chunked(), 0
    for part in parts:
        count = attempt(body, part)
        assert attempt(plain, part) == count, "decoding it makes a difference"
        if isinstance(count, str):
            return Reading(REFUSED), count
        assert 0 <= count <= len(part), f"{count} of {len(part)} bytes taken"
        assert count == len(part) or body.done, "bytes are left, and it is not done"
        assert len(body.payload) <= body.size
        taken += count
        if body.done:
            assert len(body.payload) == body.size
            break
    return Reading(DONE if body.done else MORE, taken, bytes(body.payload)), ""


def attempt(body: Chunked, part: bytes) -> int | str:
    """What it takes, or why it does not."""
    try:
        return body.take(part)
    except BadBody as error:
        return str(error)


def check_reference(data: bytes, whole: Reading, why: str) -> None:
    """A simple reader reads the same, and so does h11 if it takes it."""
    plain = read_chunks(data)
    if whole.state == REFUSED:
        limit = why.endswith(OWN_LIMITS)
        assert plain.state == REFUSED or limit, f"refused, and should not be: {why}"
        assert "too long" not in why or len(data) > LONGEST_LINE, why
        return
    if plain.state == REFUSED:
        raise AssertionError("taken, and should be refused")
    assert whole == plain, f"{plain}"
    other = h11_chunks(data)
    assert other is None or other == whole, f"h11: {other}"


def check_sized(data: bytes, length: int) -> None:
    """As many bytes as it says."""
    body, taken = Sized(length), 0
    for part in pieces(data, 7):
        taken += body.take(part)
        assert body.done == (taken == length)
        assert body.left == length - taken
    assert taken == min(length, len(data))
