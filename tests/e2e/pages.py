"""A browser for tests that are no coroutines: they read like what a person does, one thing after the other."""

import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import trio

from browser import Browser, Tab, chromium

T = TypeVar("T")

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40, "ArrowUp": 38}


class Pages:
    """A running browser."""

    def __init__(self, browser: Browser, token: trio.lowlevel.TrioToken) -> None:
        self._browser = browser
        self._token = token

    def wait(self, asked: Callable[[], Awaitable[T]]) -> T:
        """What comes of it."""
        return trio.from_thread.run(asked, trio_token=self._token)

    def open(self, url: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> "Page":
        """A new tab on that address, all of whose complaints are heard."""
        tab = self.wait(lambda: self._browser.tab("about:blank"))
        page = Page(self, tab)
        page.call("Log.enable")
        page.size(width, height)
        page.prefers(scheme)
        page.go(url)
        return page


class Page:
    """One tab."""

    def __init__(self, pages: Pages, tab: Tab) -> None:
        self._pages = pages
        self._tab = tab

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._pages.wait(lambda: self._tab.call(method, **parameters))

    def go(self, url: str) -> None:
        """Another address, as if it were typed."""
        self.call("Page.navigate", url=url)

    def look(self) -> None:
        """It is the tab in front: a browser does not draw the others."""
        self.call("Page.bringToFront")

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def prefers(self, scheme: str) -> None:
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return self._pages.wait(lambda: self._tab.run(script))

    def until(self, script: str) -> Any:
        """Look again and again until it is true."""
        return self._pages.wait(lambda: self._tab.until(script))

    def text(self, selector: str) -> str:
        """What is shown there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def shows(self, selector: str, text: str) -> None:
        """Wait until that is shown there."""
        there = f"document.querySelector({json.dumps(selector)})"
        self.until(f"{there} !== null && {there}.innerText.includes({json.dumps(text)})")

    def click(self, selector: str) -> None:
        """With the mouse, so to speak: a button that is disabled does nothing."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str, *, shift: bool = False) -> None:
        """A key of the keyboard."""
        text = {"Enter": "\r", " ": " "}.get(key, "")
        named = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            self.call("Input.dispatchKeyEvent", type=kind, modifiers=8 if shift else 0, **named, **more)

    def type(self, text: str) -> None:
        """Into whatever has the focus."""
        self.call("Input.insertText", text=text)

    def tab_to(self, selector: str) -> None:
        """Press Tab until that has the focus."""
        for _ in range(60):
            if self.run(f"document.activeElement.matches({json.dumps(selector)})"):
                return
            self.press("Tab")
        raise AssertionError(f"{selector} cannot be reached with Tab")

    @property
    def complaints(self) -> list[str]:
        """What the browser has said of it: exceptions, errors in the console, violations of its policy.

        That nobody has answered, or has refused something, is none of them.
        """
        self.run("0")
        found = [str(said["exceptionDetails"]) for said in self._tab.said("Runtime.exceptionThrown")]
        found += [
            str(said) for said in self._tab.said("Runtime.consoleAPICalled") if said["type"] in ("error", "warning")
        ]
        entries = [said["entry"] for said in self._tab.said("Log.entryAdded")]
        return found + [str(entry) for entry in entries if entry["source"] != "network" and entry["level"] != "verbose"]


@contextlib.contextmanager
def browsing() -> Iterator[Pages]:
    """Run a browser beside the tests."""
    there, done = threading.Event(), trio.Event()
    found: list[Pages] = []
    failed: list[BaseException] = []

    async def browse() -> None:
        async with chromium() as browser:
            found.append(Pages(browser, trio.lowlevel.current_trio_token()))
            there.set()
            await done.wait()

    def run() -> None:
        try:
            trio.run(browse)
        except BaseException as error:
            failed.append(error)
        finally:
            there.set()

    thread = threading.Thread(target=run)
    thread.start()
    there.wait()
    try:
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        if found:
            with contextlib.suppress(trio.RunFinishedError):
                trio.from_thread.run_sync(done.set, trio_token=found[0]._token)
        thread.join()
