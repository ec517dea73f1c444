import socket
from pathlib import Path

import pytest

from benchmark.backends import raw
from benchmark.cases.bulk import Bulk, down, down_in_chunks, up
from benchmark.figure import SMOKE, MeasureError
from benchmark.target import Target

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_bodies_of_every_kind_one_after_the_other_on_one_connection(tmp_path: Path) -> None:
    with raw.serving(str(tmp_path)) as backend:
        direct = Target("direct", backend.port, backend.port, None)
        for transfer in (down, down_in_chunks, up):
            measured = Bulk("x", "", transfer, {}, {}, SMOKE.bulk // 4).measure(direct, SMOKE)
            assert measured.keys() == {"x.rate"}, "no proxy, no CPU time"
            assert measured["x.rate"] > 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed without an answer"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered with"),
        (HEAD + b"4\r\nabcd\r\n", "closed after 9 bytes"),
        (HEAD + b"4\r\nabcd\r\n0\r\n\r\n", "the last chunk came after"),
    ],
)
def test_a_body_in_chunks_that_is_not_whole_is_no_measure(answer: bytes, why: str) -> None:
    client, server = socket.socketpair()
    with client, server:
        server.sendall(answer)
        server.shutdown(socket.SHUT_WR)
        with pytest.raises(MeasureError, match=why):
            down_in_chunks(client, 100)
