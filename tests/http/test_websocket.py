"""Where the frames of a WebSocket end, however they come: a Close is written between two of them, and nowhere else."""

from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdoor.http.websocket import LONGEST_REASON, Frames, close_frame

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@dataclass(frozen=True)
class Frame:
    """One, as it is sent. ``wide``: bytes of its length behind the first seven bits; 0, 2 or 8."""

    opcode: int
    payload: bytes = b""
    final: bool = True
    mask: bytes = b""
    wide: int = 0

    def __bytes__(self) -> bytes:
        size = len(self.payload)
        said = size if not self.wide else 126 if self.wide == 2 else 127
        head = bytes([self.final << 7 | self.opcode, bool(self.mask) << 7 | said])
        return head + (size.to_bytes(self.wide) if self.wide else b"") + self.mask + self.payload


MASKS = st.just(b"") | st.binary(min_size=4, max_size=4)
SHORT = st.builds(Frame, st.sampled_from([TEXT, BINARY, CONTINUATION]), st.binary(max_size=125), st.booleans(), MASKS)
LONG = st.builds(
    Frame,
    st.sampled_from([TEXT, BINARY, CONTINUATION]),
    st.integers(0, 400).map(bytes),
    st.booleans(),
    MASKS,
    st.sampled_from([2, 8]),
)
CONTROL = st.builds(Frame, st.sampled_from([PING, PONG]), st.binary(max_size=125), st.just(value=True), MASKS)
FRAMES = st.lists(SHORT | LONG | CONTROL, max_size=8)


def after(*pieces: bytes) -> Frames:
    frames = Frames()
    for piece in pieces:
        frames.feed(piece)
    return frames


@given(FRAMES, st.data())
def test_a_frame_has_ended_only_where_one_has(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(map(bytes, sent))
    ends = {sum(len(bytes(frame)) for frame in sent[:count]) for count in range(len(sent) + 1)}
    frames, at = Frames(), 0
    while at < len(stream):
        piece = stream[at : at + data.draw(st.integers(1, 150))]
        frames.feed(piece)
        at += len(piece)
        assert frames.between == (at in ends)
        assert not frames.left or at + frames.left in ends, "so many bytes more, and it has"
    assert frames.between
    assert not frames.broken
    assert not frames.closed


@given(FRAMES.filter(bool))
def test_byte_for_byte_it_is_the_same(sent: list[Frame]) -> None:
    stream = b"".join(map(bytes, sent)) + b"\x82"
    one, other = after(stream), after(*(bytes([byte]) for byte in stream))
    assert (one.between, one.left, one.broken) == (other.between, other.left, other.broken) == (False, 0, False)


@given(FRAMES, st.integers(1, 60))
def test_a_payload_may_pass_unseen(sent: list[Frame], step: int) -> None:
    """The relay moves it inside the kernel (splice(2)), and says only how much."""
    stream = b"".join(map(bytes, sent))
    frames, at = Frames(), 0
    while at < len(stream):
        count = min(step, len(stream) - at)
        if frames.left:
            count = min(count, frames.left)
            frames.skip(count)
        else:
            frames.feed(stream[at : at + count])
        at += count
    assert frames.between
    assert not frames.broken


@pytest.mark.parametrize("mask", [b"", b"\x01\x02\x03\x04"])
@pytest.mark.parametrize(
    ("size", "wide"), [(0, 0), (1, 0), (125, 0), (126, 2), (127, 2), (65535, 2), (65536, 8), (5, 2), (5, 8)]
)
def test_lengths(size: int, wide: int, mask: bytes) -> None:
    whole = bytes(Frame(BINARY, bytes(size), mask=mask, wide=wide))
    head = whole[: len(whole) - size]
    assert len(head) == 2 + wide + len(mask)
    assert not after(head[:-1]).between
    assert after(head).left == size
    assert after(whole).between
    assert not after(whole, b"\x82").between


def test_a_length_that_could_be_shorter_is_clear_all_the_same() -> None:
    frames = after(bytes(Frame(PONG, b"hi", wide=8)))
    assert (frames.between, frames.broken) == (True, False)


def test_a_payload_that_would_take_a_century() -> None:
    head = b"\x82\x7f" + (2**63 - 1).to_bytes(8)
    frames = after(head, b"a" * 1000)
    assert (frames.left, frames.between, frames.broken) == (2**63 - 1001, False, False)


def test_control_frames_between_the_fragments_of_a_message() -> None:
    frames = Frames()
    for frame in (
        Frame(TEXT, b"hel", final=False),
        Frame(PING, b"?"),
        Frame(CONTINUATION, b"", final=False),
        Frame(PONG),
        Frame(CONTINUATION, b"lo"),
    ):
        frames.feed(bytes(frame))
        assert frames.between, "a Close may stand here (RFC 6455 §5.4)"
    assert not frames.closed


@pytest.mark.parametrize("mask", [b"", b"mask"])
@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8going away"])
def test_a_close_is_noticed(payload: bytes, mask: bytes) -> None:
    before = bytes(Frame(TEXT, b"hi"))
    frames = after(before)
    assert (frames.closed, frames.between) == (False, True)
    close = bytes(Frame(CLOSE, payload, mask=mask))
    frames.feed(close[: len(close) - len(payload)])
    assert frames.closed, "as soon as it has begun"
    frames.feed(payload)
    assert (frames.closed, frames.between, frames.broken) == (True, True, False)


def test_the_first_byte_of_a_close_is_none_yet() -> None:
    frames = after(b"\x88")
    assert (frames.closed, frames.between) == (False, False)


@pytest.mark.parametrize(
    "broken",
    [
        bytes(Frame(PING, bytes(126), wide=2)),
        bytes(Frame(CLOSE, bytes(200), mask=b"mask", wide=2)),
        bytes(Frame(PING, b"a", final=False)),
        bytes(Frame(CLOSE, final=False)),
        b"\x82\x7f" + (2**63).to_bytes(8),
        b"\x82\xff" + b"\xff" * 8 + b"mask",
    ],
)
def test_what_is_no_frame(broken: bytes) -> None:
    for pieces in ([broken], [bytes([byte]) for byte in broken]):
        frames = after(bytes(Frame(TEXT, b"hi")), *pieces)
        assert frames.broken
        assert not frames.between
        frames.feed(bytes(Frame(TEXT, b"hi")))
        assert frames.broken, "nobody knows any more where a frame begins"
        assert not frames.between


@given(st.binary(max_size=60), st.integers(1, 9))
@example(b"\x88\x7e\x00\x7e", 1)
def test_garbage_is_the_same_however_it_is_cut(data: bytes, step: int) -> None:
    one, other = after(data), after(*(data[at : at + step] for at in range(0, len(data), step)))
    assert (one.between, one.closed, one.broken) == (other.between, other.closed, other.broken)
    assert one.broken or one.left == other.left


# -- a Close of frontdoor's own ---------------------------------------------------------------------------------------


@given(st.integers(1000, 4999), st.text(max_size=LONGEST_REASON // 4))
def test_a_close_frame_is_one(code: int, reason: str) -> None:
    raw = close_frame(code, reason)
    assert raw == bytes(Frame(CLOSE, code.to_bytes(2) + reason.encode()))
    frames = after(raw)
    assert (frames.closed, frames.between, frames.broken) == (True, True, False)


def test_the_longest_reason() -> None:
    assert len(close_frame(1012, "a" * LONGEST_REASON)) == 2 + 125, "the most that a control frame has (RFC 6455 §5.5)"
    with pytest.raises(ValueError, match="123 bytes at most"):
        close_frame(1012, "a" * (LONGEST_REASON + 1))
    with pytest.raises(ValueError, match="123 bytes at most"):
        close_frame(1012, "\N{EURO SIGN}" * 42)


def test_how_it_looks() -> None:
    frames = after(b"\x82\x05he")
    assert repr(frames) == "<Frames 3 left>"
    frames.feed(b"llo")
    assert repr(frames) == "<Frames between frames>"
    assert repr(after(b"\x88\x00")) == "<Frames between frames, closed>"
    assert repr(after(b"\x09\x00")) == "<Frames broken>"
