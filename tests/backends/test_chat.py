import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import ConnectionClosed, WebSocketConnection

from backends.running import ROOT, App, app
from load import Clients, Load
from load.http import HttpConnection


def chat(folder: Path, generation: int = 7, **env: str) -> contextlib.AbstractAsyncContextManager[App]:
    version = env.pop("version", "v1")
    environment = {"FRONTDOOR_GENERATION": str(generation)} | env
    history = str(folder / "history.sqlite3")
    return app("chat.py", str(folder / f"{generation}.sock"), "--version", version, "--history", history, **environment)


async def get(ws: WebSocketConnection, kind: str) -> dict[str, Any]:
    with trio.fail_after(10):
        message = json.loads(await ws.get_message())
    assert message["type"] == kind, message
    assert isinstance(message, dict)
    return message


async def say(ws: WebSocketConnection, text: str, *, name: str = "Ada", key: str | None = None) -> None:
    await ws.send_message(json.dumps({"name": name, "text": text, "key": key or text}))


async def test_every_route_says_who_answers(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1:
        whoami = await v1.get("/whoami")
        assert json.loads(whoami.body) == {"version": "v1", "generation": 7, "pid": v1.process.pid}
        assert whoami.generation == "v1#7"

        page = await v1.get("/")
        assert page.status == 200
        assert "this page came from v1" in page.body.decode()
        assert "http://" not in page.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in page.body.decode()

        assert (await v1.get("/healthz")).status == 200
        assert (await v1.get("/nothing")).status == 404
        assert (await v1.get("/whoami", method="POST", body=b"x")).status == 405
        assert (await v1.get("/ws")).status == 426
        head = await v1.get("/whoami", method="HEAD")
        assert (head.status, head.body) == (200, b"")


async def test_a_version_with_markup_in_its_name_is_only_text(tmp_path: Path) -> None:
    async with chat(tmp_path, version="<b>") as v1:
        assert "came from &lt;b&gt;" in (await v1.get("/")).body.decode()


async def test_a_kept_connection_serves_request_after_request(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1:
        http = await HttpConnection.open(f"unix:{v1.socket}")
        for _ in range(3):
            assert (await http.request("GET", "/healthz")).status == 200
        assert (await http.request("GET", "/whoami?close", last=True)).headers["connection"] == "close"
        await http.aclose()


async def test_what_one_says_all_read_and_a_newcomer_too(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1, v1.websocket("/ws") as ada, v1.websocket("/ws") as grace:
        assert (await get(ada, "hello"))["generation"] == 7
        await get(grace, "hello")
        await say(ada, "hello Grace")
        for reader in (ada, grace):
            message = await get(reader, "message")
            assert (message["name"], message["text"], message["via"]) == ("Ada", "hello Grace", "v1#7")
        await say(grace, "hello Ada", name="Grace")
        assert (await get(ada, "message"))["text"] == "hello Ada"

        async with v1.websocket("/ws") as newcomer:
            await get(newcomer, "hello")
            assert [(await get(newcomer, "message"))["text"] for _ in range(2)] == ["hello Grace", "hello Ada"]

        async with v1.websocket(f"/ws?since={message['id']}") as again:
            await get(again, "hello")
            assert (await get(again, "message"))["text"] == "hello Ada"


async def test_people_on_two_versions_share_one_room(tmp_path: Path) -> None:
    async with (
        chat(tmp_path) as v1,
        chat(tmp_path, 8, version="v2", GREETING="hello from v2") as v2,
        v1.websocket("/ws") as old,
        v2.websocket("/ws") as new,
    ):
        assert (await get(old, "hello"))["greeting"] == ""
        assert (await get(new, "hello"))["greeting"] == "hello from v2"
        await say(old, "I am on v1")
        await say(new, "I am on v2")
        ours = [(await get(old, "message")) for _ in range(2)]
        theirs = [(await get(new, "message")) for _ in range(2)]
        assert ours == theirs, "one order for all"
        assert {message["via"] for message in ours} == {"v1#7", "v2#8"}


async def test_a_message_that_is_sent_again_is_kept_once(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1, v1.websocket("/ws") as ada:
        await get(ada, "hello")
        await say(ada, "once", key="same")
        await say(ada, "once", key="same")
        await say(ada, "then this")
        assert [(await get(ada, "message"))["text"] for _ in range(2)] == ["once", "then this"]


async def test_a_history_that_was_removed_does_not_hide_what_is_said_now(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1, v1.websocket("/ws?since=123456") as ada:
        await get(ada, "hello")
        await say(ada, "still here")
        assert (await get(ada, "message"))["text"] == "still here"


@pytest.mark.parametrize(
    "nonsense",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"name": 1, "text": "x", "key": "k"}',
        '{"name": " ", "text": "x", "key": "k"}',
        b"\xff",
        "[" * 99_999,
    ],
)
async def test_nonsense_is_answered_and_the_room_goes_on(tmp_path: Path, nonsense: str | bytes) -> None:
    async with chat(tmp_path) as v1, v1.websocket("/ws") as ada:
        await get(ada, "hello")
        await ada.send_message(nonsense)
        assert "wanted a JSON object" in (await get(ada, "error"))["message"]
        await say(ada, "a lone surrogate: \ud800", key="k")
        assert (await get(ada, "message"))["text"] == "a lone surrogate: ?"


async def test_a_reader_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1, v1.websocket("/ws") as ada:
        await get(ada, "hello")
        stuck = await v1.connect()  # and never reads
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        await stuck.send_all(
            f"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n".encode()
        )
        for number in range(300):  # more than is kept for a reader that is behind, more than a socket's buffers take
            await say(ada, f"{number} " + "x" * 1900, key=str(number))
            assert (await get(ada, "message"))["text"].startswith(f"{number} ")
        await stuck.aclose()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01 not http\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 70_000,
        b"GET / HTTP/1.1\r\nX: " + b"x" * 99_999,
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ],
)
async def test_garbage_ends_its_own_connection_only(tmp_path: Path, garbage: bytes) -> None:
    async with chat(tmp_path) as v1, v1.websocket("/echo") as ws:
        await ws.get_message()
        stream = await v1.connect()
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(garbage)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 4")
        await stream.aclose()
        await ws.send_message("still there?")
        assert await ws.get_message() == "still there?"


async def test_a_message_behind_the_handshake_is_not_lost(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1:
        stream = await v1.connect()
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        frame = b"\x81\x85\0\0\0\0early"  # RFC 6455, 5.2: text, 5 bytes, masked with zeros
        head = b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        await stream.send_all(head + key + frame)
        came = b""
        with trio.fail_after(10):
            while not came.endswith(b"\x81\x05early"):
                came += await stream.receive_some()
        await stream.aclose()


@pytest.mark.parametrize("path", ["/ws", "/echo"])
async def test_sigterm_says_goodbye_and_exits_with_0(tmp_path: Path, path: str) -> None:
    async with chat(tmp_path) as v1, v1.websocket(path) as ws:
        await ws.get_message()
        began = trio.current_time()
        v1.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed, trio.fail_after(10):
            await ws.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == 1012
        assert await v1.process.wait() == 0
        assert trio.current_time() - began < 1.5, "two seconds are for clients that do not answer"


async def test_it_starts_over_the_socket_of_a_process_that_was_killed(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1:
        v1.process.kill()
        await v1.process.wait()
        async with chat(tmp_path) as again:
            assert (await again.get("/healthz")).status == 200


async def test_it_does_not_take_the_socket_of_a_process_that_lives(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1:
        command = [sys.executable, os.path.join(ROOT, "backends", "chat.py"), "--socket", v1.socket]
        second = await trio.run_process(command, capture_stderr=True, check=False, cwd=tmp_path)
        assert second.returncode == 1
        assert b"Address already in use" in second.stderr
        assert b"Traceback" not in second.stderr
        assert (await v1.get("/healthz")).status == 200


async def test_without_a_socket_it_says_what_to_do() -> None:
    command = [sys.executable, os.path.join(ROOT, "backends", "chat.py")]
    without = {key: value for key, value in os.environ.items() if key != "FRONTDOOR_SOCKET"}
    done = await trio.run_process(command, capture_stderr=True, check=False, env=without)
    assert done.returncode == 2
    assert b"Give --socket PATH" in done.stderr


async def test_it_says_when_it_is_ready(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(10)
        async with chat(tmp_path, NOTIFY_SOCKET=str(tmp_path / "notify")):
            assert await trio.to_thread.run_sync(notify.recv, 100) == b"READY=1"


async def test_the_load_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    async with chat(tmp_path) as v1:
        load = Load(f"unix:{v1.socket}", Clients(websockets=6, new=2, keep_alive=2), first="v1#7", pace=0.01)
        async with load.running():
            await load.progress(5)
        assert load.result().ok, load.result().failures
