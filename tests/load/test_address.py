import socket
from pathlib import Path

import pytest

from load.address import connect


@pytest.mark.parametrize("address", ["", "8080", "localhost", "localhost:", ":80", "localhost:http"])
async def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        await connect(address)


@pytest.mark.parametrize(
    ("family", "host", "shown"), [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")]
)
async def test_tcp(family: int, host: str, shown: str) -> None:
    with socket.socket(family) as listener:
        try:
            listener.bind((host, 0))
        except OSError:
            pytest.skip("no IPv6 on this machine")
        listener.listen()
        await (await connect(f"{shown}:{listener.getsockname()[1]}")).aclose()


async def test_unix(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        await (await connect(f"unix:{tmp_path}/s")).aclose()
