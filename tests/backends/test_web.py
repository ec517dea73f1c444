import contextlib
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionClosed

from backends.running import ROOT, App, app, listening
from load import Clients, Load

EVERYTHING = Clients(websockets=4, new=2, keep_alive=2, slow=1, stream=2, upload=2)


def web(folder: Path, **env: str) -> contextlib.AbstractAsyncContextManager[App]:
    return app("web.py", str(folder / "web.sock"), **env)


async def test_every_route(tmp_path: Path) -> None:
    async with web(tmp_path) as v1:
        me = {"version": "v1", "generation": 7, "pid": v1.process.pid}
        assert (await v1.get("/")).body.decode() == f"v1#7, pid {v1.process.pid}\n"
        assert json.loads((await v1.get("/whoami")).body) == me
        assert (await v1.get("/whoami")).generation == "v1#7"
        assert (await v1.get("/healthz")).status == 200
        assert (await v1.get("/nothing")).status == 404
        assert (await v1.get("/upload")).status == 404

        began = trio.current_time()
        assert json.loads((await v1.get("/slow?seconds=0.2")).body) == me
        assert trio.current_time() - began >= 0.2

        streamed = await v1.get("/stream?chunks=3&interval=0&size=100")
        digest = hashlib.sha256(streamed.body[:300]).hexdigest()
        assert streamed.body[300:] == f"\nsha256 {digest}\n".encode()

        body = os.urandom(300_000)
        wanted = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
        assert json.loads((await v1.get("/upload", method="POST", body=body)).body) == wanted


@pytest.mark.parametrize("query", ["chunks=x&interval=0", "chunks=-5&interval=nan&size=0", "chunks=inf&interval=0"])
async def test_nonsense_in_the_query_is_no_error(tmp_path: Path, query: str) -> None:
    async with web(tmp_path) as v1:
        assert (await v1.get(f"/stream?{query}")).status == 200


@pytest.mark.parametrize("path", ["/ws", "/echo"])
async def test_a_websocket_says_who_it_is_then_echoes(tmp_path: Path, path: str) -> None:
    async with web(tmp_path) as v1, v1.websocket(path) as ws:
        assert json.loads(await ws.get_message()) == {"version": "v1", "generation": 7, "pid": v1.process.pid}
        for message in ("text", "", b"bytes", b""):
            await ws.send_message(message)
            assert await ws.get_message() == message


async def test_told_that_it_drains_it_asks_its_clients_to_come_back(tmp_path: Path) -> None:
    async with web(tmp_path, DRAIN_KEY="3f1d8a") as v1, v1.websocket("/ws") as ws, v1.websocket("/echo") as other:
        for wrong in ("/drain", "/drain?key=", "/drain?key=3f1d8b"):
            assert (await v1.get(wrong, method="POST")).status == 404
        assert (await v1.get("/drain?key=3f1d8a")).status == 404, "a browser that prefetches asks nobody to leave"

        for client in (ws, other):
            await client.get_message()
            await client.send_message("before")
            assert await client.get_message() == "before"
        told = await v1.get("/drain?key=3f1d8a", method="POST", body=b"more than a socket's buffer takes: " * 30_000)
        assert (told.status, json.loads(told.body)) == (200, {"asked": 2})
        for client in (ws, other):
            with pytest.raises(ConnectionClosed), trio.fail_after(10):
                await client.get_message()
            assert client.closed is not None
            assert client.closed.code == 1012
        assert (await v1.get("/healthz")).status == 200, "it goes on serving"
        async with v1.websocket("/ws") as ws:
            assert json.loads(await ws.get_message())["pid"] == v1.process.pid
        assert json.loads((await v1.get("/drain?key=3f1d8a", method="POST")).body) == {"asked": 0}


async def test_without_a_key_in_its_environment_nobody_can_send_its_clients_away(tmp_path: Path) -> None:
    async with web(tmp_path) as v1:
        assert (await v1.get("/drain?key=", method="POST")).status == 404


async def test_sigterm_ends_it(tmp_path: Path) -> None:
    async with web(tmp_path) as v1:
        assert await v1.stop() in (0, -15)  # uvicorn raises the signal again when it has finished


async def test_without_a_socket_it_says_what_to_do() -> None:
    without = {key: value for key, value in os.environ.items() if key != "FRONTDOOR_SOCKET"}
    command = [sys.executable, os.path.join(ROOT, "backends", "web.py")]
    done = await trio.run_process(command, capture_stderr=True, check=False, env=without)
    assert done.returncode == 1
    assert b"set FRONTDOOR_SOCKET" in done.stderr


SERVERS = {
    "uvicorn": ["uvicorn", "--app-dir", "backends", "--uds", "{socket}", "--timeout-keep-alive", "75", "web:app"],
    "gunicorn": [
        "gunicorn",
        "--chdir",
        "backends",
        "-k",
        "asgi",
        "--keep-alive",
        "75",
        "-b",
        "unix:{socket}",
        "web:app",
    ],
    "hypercorn": ["hypercorn", "-b", "unix:{socket}", "--keep-alive", "75", "backends/web.py:app"],
}


@pytest.mark.parametrize("server", SERVERS)
async def test_the_load_finds_nothing_wrong_with_it_on(tmp_path: Path, server: str) -> None:
    name, *arguments = (argument.replace("{socket}", str(tmp_path / "s")) for argument in SERVERS[server])
    process = await trio.lowlevel.open_process(
        [os.path.join(os.path.dirname(sys.executable), name), *arguments],
        cwd=ROOT,
        env=os.environ | {"FRONTDOOR_VERSION": "v1", "FRONTDOOR_GENERATION": "7"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with trio.fail_after(20):
            await listening(process, str(tmp_path / "s"))
        load = Load(f"unix:{tmp_path / 's'}", EVERYTHING, first="v1#7", pace=0.01)
        async with load.running():
            await load.progress()
        assert load.result().ok, load.result().failures
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()
