"""A real browser, headless, driven over the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",  # its sandbox does not work as root, and the only page it sees is ours
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
]
PATIENCE = 60.0  # seconds: two cores may have more to do than to show a page


class BrowserError(Exception):
    """The browser did not do what it was asked for; says what."""


class Browser:
    """One browser process, and the WebSocket on which it is told what to do."""

    def __init__(self, ws: WebSocketConnection) -> None:
        self._ws = ws
        self._numbers = itertools.count(1)
        self._answers: dict[int, trio.MemorySendChannel[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    async def listen(self) -> None:
        """Hand out what the browser says, until it is gone."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                message = json.loads(await self._ws.get_message())
                if "id" in message:
                    self._answers.pop(message["id"]).send_nowait(message)
                elif message.get("sessionId") in self._tabs:
                    self._tabs[message["sessionId"]].events.append(message)

    async def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method, and return its result. Raises BrowserError, or trio.TooSlowError."""
        number = next(self._numbers)
        send, receive = trio.open_memory_channel[dict[str, Any]](1)
        self._answers[number] = send
        target = {} if session is None else {"sessionId": session}
        await self._ws.send_message(json.dumps({"id": number, "method": method, "params": parameters} | target))
        with trio.fail_after(PATIENCE):
            answer = await receive.receive()
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def tab(self, url: str) -> "Tab":
        """A new tab on `url`, watched from its first request on."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Network", "Page", "Runtime"):
            await tab.call(f"{domain}.enable")
        await tab.call("Page.navigate", url=url)
        return tab


class Tab:
    """One tab: its page's JavaScript, and what the browser has said of it."""

    def __init__(self, browser: Browser, session: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._browser = browser
        self._session = session

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method on this tab."""
        return await self._browser.call(method, self._session, **parameters)

    def said(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of that name."""
        return [event["params"] for event in self.events if event["method"] == method]

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression. Raises BrowserError with what it has thrown."""
        outcome = await self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in outcome:
            raise BrowserError(f"{script}: {outcome['exceptionDetails']['exception'].get('description')}")
        return outcome["result"].get("value")

    async def until(self, script: str) -> Any:
        """Look again and again until the expression is true; its value. Raises BrowserError."""
        with trio.move_on_after(PATIENCE):
            while not (value := await self.run(script)):
                await trio.sleep(0.05)
            return value
        raise BrowserError(
            f"not within {PATIENCE:g} s: {script}; the page: {await self.run('document.body.innerText')}"
        )


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Run a new browser, with nothing of any other in it, and end it."""
    # What is still being written by one of its processes must not fail the test.
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        process = await trio.lowlevel.open_process(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            env=os.environ | {"HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it has a dozen processes: they are ended together
        )
        try:
            async with await connect(process, folder) as stream, trio.open_nursery() as nursery:
                path = (await profile(folder))[1]
                ws = await wrap_client_stream(nursery, stream, "127.0.0.1", path, max_message_size=1 << 24)
                browser = Browser(ws)
                nursery.start_soon(browser.listen)
                yield browser
                await browser.call("Browser.close")
                with trio.move_on_after(PATIENCE):
                    await process.wait()  # by itself: so it ends, and reaps, its own children
                nursery.cancel_scope.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with trio.CancelScope(shield=True):
                await process.wait()


async def connect(process: trio.Process, folder: str) -> trio.SocketStream:
    """A connection to the port that the browser listens on, as soon as it does."""
    with trio.fail_after(PATIENCE):
        while True:
            if process.poll() is not None:
                raise BrowserError(f"{CHROMIUM} has ended with {process.returncode}")
            with contextlib.suppress(OSError, ValueError):
                return await trio.open_tcp_stream("127.0.0.1", (await profile(folder))[0])
            await trio.sleep(0.05)


async def profile(folder: str) -> tuple[int, str]:
    """Port and path of its WebSocket: the browser writes them into its profile. Raises OSError, ValueError."""
    port, path = (await trio.Path(folder, "DevToolsActivePort").read_text()).splitlines()
    return int(port), path
