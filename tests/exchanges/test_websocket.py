import pytest

from frontdoor.exchanges.websocket import farewell, is_websocket
from frontdoor.http.head import parse_answer


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (b"Upgrade: websocket\r\n", True),
        (b"upgrade: WebSocket\r\n", True),
        (b"Upgrade: h2c\r\n", False),
        (b"Upgrade: websocket\r\nUpgrade: h2c\r\n", False),
        (b"", False),
    ],
)
def test_what_a_backend_speaks_is_what_it_says(fields: bytes, expected: bool) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + fields + b"\r\n"
    assert is_websocket(parse_answer(head, b"GET")) is expected


def test_the_last_frame_has_the_code_and_what_it_is_called() -> None:
    assert farewell(1012) == b"\x88\x11\x03\xf4service restart"
    assert farewell(4000) == b"\x88\x02\x0f\xa0"
