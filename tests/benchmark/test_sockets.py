import base64
import hashlib

import pytest

from benchmark import frames
from benchmark.sockets import Trips


def head(key: bytes = frames.KEY, status: bytes = b"101 Switching Protocols") -> bytes:
    proof = base64.b64encode(hashlib.sha1(key + frames.GUID).digest())
    return (
        b"HTTP/1.1 " + status + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"sec-websocket-accept: " + proof + b"\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("size", "length"),
    [
        (0, b"\x00"),
        (125, b"\x7d"),
        (126, b"\x7e\x00\x7e"),
        (16384, b"\x7e\x40\x00"),
        (65535, b"\x7e\xff\xff"),
        (65536, b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_question_differs_from_its_answer_by_the_mask_alone(size: int, length: bytes) -> None:
    answer, question = frames.answer(size), frames.question(size)
    payload = answer[-size:] if size else b""
    assert len(payload) == size
    assert answer == b"\x82" + length + payload
    assert question == b"\x82" + bytes((length[0] | 0x80,)) + length[1:] + bytes(4) + payload


def test_the_right_proof_and_nothing_behind_it_is_an_upgrade() -> None:
    assert frames.accepts(head())
    assert not frames.accepts(head(key=b"another"))
    assert not frames.accepts(head(status=b"200 OK"))
    assert not frames.accepts(head() + b"\x82\x00")
    assert not frames.accepts(head()[:-2])


def test_a_quantile_is_the_time_that_so_many_took_at_most() -> None:
    trips = Trips(2.0, [n * 1000 for n in range(100, 0, -1)])
    assert trips.rate == 50
    assert trips.quantile(0.5) == 50
    assert trips.quantile(0.99) == 99
    assert trips.quantile(1) == 100
    assert Trips(1.0, [7000]).quantile(0.01) == 7
