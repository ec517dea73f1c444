"""Screenshots of the dashboard while the sample chat is swapped: on a desk, in the dark, on a phone."""

import argparse
import base64
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from browser import CHROMIUM, Browser, Tab, chromium
from load.frontdoor import Frontdoor
from pictures.visitors import Visitors

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHAT = os.path.join(ROOT, "backends", "chat.py")

CONFIG = f"""
listen = ["127.0.0.1:0"]
active = "v1"

[backends."*"]
command = ["{{python}}", "{CHAT}", "--version", "{{version}}"]
[backends.v1]
[backends.v2]
[backends.v3]
command = ["{{python}}", "-c", "raise SystemExit('chat: the table rooms has no column topic')"]
[backends.v4]

[ready]
check = "http:/healthz"
[swap]
bake = "8s"
[frontdoor]
admin = "127.0.0.1:0"
"""

VISITORS = 60

DESKTOP, PHONE = (1440, 1000), (390, 844)
LARGEST = 300_000  # bytes of one picture


async def take(folder: str) -> None:
    """Run it, and write the pictures into `folder`."""
    async with serving() as (frontdoor, address, page), chromium() as browser, trio.open_nursery() as nursery:
        nursery.start_soon(Visitors(address, VISITORS).come_and_go)
        tabs = [
            await look(browser, page, DESKTOP, "light"),
            await look(browser, page, DESKTOP, "dark"),
            await look(browser, page, PHONE, "light"),
        ]
        await trio.sleep(45)
        await frontdoor.swap("v2")
        await trio.sleep(20)
        await frontdoor.fail("v3")
        await trio.sleep(12)
        await frontdoor.swap("v4")
        await trio.sleep(9)
        for tab, name in zip(tabs, ("desktop", "dark", "phone"), strict=True):
            await shoot(tab, os.path.join(folder, f"dashboard-{name}.png"))
        nursery.cancel_scope.cancel()


class Chat(Frontdoor):
    """The frontdoor that is looked at."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(os.path.join(folder, "config.toml"), os.path.join(folder, "serve.log"))

    async def admin(self) -> str:
        """The dashboard's address."""
        status = await self._run("status", "--json")
        return str(json.loads(status.stdout)["admin"])

    async def fail(self, version: str) -> None:
        """`frontdoor swap VERSION`, which is to fail, its progress shown."""
        await self._run("swap", version, show=True)


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Chat, str, str]]:
    """A frontdoor with the chat; where it serves that, and the dashboard's address with the token."""
    with tempfile.TemporaryDirectory(prefix="fd") as folder:
        await trio.Path(folder, "config.toml").write_text(CONFIG)
        frontdoor = Chat(folder)
        async with frontdoor.serving():
            address, _ = await frontdoor.door()
            token = (await trio.Path(folder, "run", "admin.token").read_text()).strip()
            yield frontdoor, address, f"http://{await frontdoor.admin()}/#token={token}"


async def look(browser: Browser, page: str, size: tuple[int, int], scheme: str) -> Tab:
    """A tab of that size on the dashboard, in a light or a dark scheme."""
    tab = await browser.tab("about:blank")
    width, height = size
    phone = width < 600
    await tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=2 if phone else 1,
        mobile=phone,
    )
    await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    await tab.call("Page.navigate", url=page)
    await tab.until("document.body?.dataset.contact === 'live'")
    await tab.run("[...document.querySelectorAll('#span button')][0].click()")
    return tab


async def shoot(tab: Tab, path: str) -> None:
    """Write what the tab shows."""
    shot = await tab.call("Page.captureScreenshot", format="png")
    data = base64.b64decode(shot["data"])
    await trio.Path(path).write_bytes(data)
    print(f"{path}: {len(data) / 1000:.0f} kB")
    if len(data) > LARGEST:
        raise SystemExit(f"{path} is larger than {LARGEST / 1000:.0f} kB")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("--folder", default=os.path.join(ROOT, "docs", "pictures"), help="where the pictures go")
    folder = parser.parse_args().folder
    if not os.path.exists(CHROMIUM):
        raise SystemExit(f"{CHROMIUM} is not there: apt-get install chromium")
    os.makedirs(folder, exist_ok=True)
    trio.run(take, folder)


if __name__ == "__main__":
    main()
