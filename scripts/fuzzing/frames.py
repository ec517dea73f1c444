"""What must hold for WebSocket frames: the same place is known, however the bytes are cut, or passed unseen."""

from frontdoor.http.websocket import Frames
from fuzzing.bodies import BYTEWISE, pieces, steps
from fuzzing.reference import Place, read_frames


def check(data: bytes) -> None:
    """The first byte says how the rest is cut. Raises AssertionError, or what frontdoor should not have raised."""
    step, data = steps(data)
    want = read_frames(data)
    several = [len(data) or 1, step] + [1] * (len(data) <= BYTEWISE)
    for one in several:
        for unseen in (False, True):
            got = place(data, one, unseen=unseen)
            assert got == want, f"in pieces of {one}: {got}"


def place(data: bytes, step: int, *, unseen: bool) -> Place:
    """Where Frames is behind them. ``unseen``: a payload is skipped, as the relay does."""
    frames = Frames()
    for piece in pieces(data, step):
        seen = 0
        if unseen and frames.left and not frames.broken:
            seen = min(frames.left, len(piece))
            frames.skip(seen)
        frames.feed(piece[seen:])
    left = 0 if frames.broken else frames.left
    return Place(frames.between, left, frames.closed, frames.broken)
