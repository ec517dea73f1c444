"""People in a real browser, on the sample chat, while it is swapped under them."""

import json
import os
from collections.abc import Callable

import pytest
import trio

from browser import CHROMIUM, Browser, Tab, chromium
from e2e.harness import Frontdoor
from e2e.swarm import BACKENDS, READY

Serve = Callable[..., Frontdoor]

pytestmark = pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="no chromium here: apt-get install chromium")

CHAT = ["{python}", os.path.join(BACKENDS, "chat.py"), "--version", "{version}"]


def test_people_on_both_versions_share_a_room_and_nobody_is_thrown_out(serve: Serve) -> None:
    trio.run(
        two_tabs, serve(backends={"*": {"command": CHAT}, "v2": {"env": {"GREETING": "hello from v2"}}}, ready=READY)
    )


async def two_tabs(door: Frontdoor) -> None:
    host, port = await trio.to_thread.run_sync(lambda: door.address)
    page = f"http://{host}:{port}/"
    async with chromium() as browser:
        ada = await arrive(browser, page, "Ada", "v1#1")
        await say(ada, "first, on v1")
        await heard(ada, "first, on v1", "v1#1")

        await trio.to_thread.run_sync(door.swap, "v2")
        bob = await arrive(browser, page, "Bob", "v2#2")
        await bob.until("document.querySelector('h1').innerText.includes('hello from v2')")
        await heard(bob, "first, on v1", "v1#1")  # from before the swap, and from another process
        await say(bob, "hello from v2")
        await heard(ada, "hello from v2", "v2#2")
        await say(ada, "still on v1")
        await heard(bob, "still on v1", "v1#1")
        # Her page, now that she looks at it, notices that visitors are given something newer: the choice is hers.
        await ada.until("!document.querySelector('#newer').hidden")
        assert "You are still on v1#1, and may stay" in await ada.run("document.querySelector('#newer').innerText")
        assert await connections(ada) == (1, 0)

        drained = await trio.to_thread.run_sync(door.run, "drain", "v1", "--now")
        assert drained.returncode == 0, drained
        await say(ada, "said in the gap")  # whether she is already back or not: the page keeps it, and sends it
        await say(bob, "said on v2 in the gap")
        await connected(ada, "v2#2")
        assert await connections(ada) == (2, 1)
        await heard(ada, "said on v2 in the gap", "v2#2")
        await say(ada, "now on v2")
        await heard(bob, "now on v2", "v2#2")
        assert await connections(bob) == (1, 0)

        everything = sorted(
            ["first, on v1", "hello from v2", "still on v1", "said in the gap", "said on v2 in the gap", "now on v2"]
        )
        for tab in (ada, bob):
            await heard(tab, "now on v2", "v2#2")
            await heard(tab, "said on v2 in the gap", "v2#2")
            await tab.until("[...document.querySelectorAll('.said .text')].some(e => e.innerText == 'said in the gap')")
            assert sorted(await texts(tab)) == everything, "each message once, in both of them"
        assert await errors(ada) == await errors(bob) == []


# -- what people do, and what they see --------------------------------------------------------------------------------


async def arrive(browser: Browser, page: str, name: str, generation: str) -> Tab:
    """Open the page in a new tab, and say who one is."""
    tab = await browser.tab(page)
    await tab.until("document.readyState == 'complete' && Boolean(document.querySelector('#say'))")
    await connected(tab, generation)
    await tab.run(f"document.querySelector('#name').value = {json.dumps(name)}")
    return tab


async def connected(tab: Tab, generation: str) -> None:
    """Wait until the page says that it is connected to that generation."""
    await tab.until(
        f"document.querySelector('#where b').innerText == {json.dumps(generation)}"
        " && !document.querySelector('#where').classList.contains('off')"
    )


async def say(tab: Tab, text: str) -> None:
    """Turn to the tab, type it, and press Enter, as a person does."""
    await tab.call("Page.bringToFront")
    await tab.run("document.querySelector('#text').focus()")
    await tab.call("Input.insertText", text=text)
    for kind in ("keyDown", "keyUp"):
        await tab.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )


async def heard(tab: Tab, text: str, via: str) -> None:
    """Wait until the room shows the message, sent, with the generation that its author was on."""
    await tab.until(
        "[...document.querySelectorAll('.said:not(.waiting)')].some(item =>"
        f" item.querySelector('.text').innerText == {json.dumps(text)}"
        f" && item.querySelector('.via')?.textContent == {json.dumps('via ' + via)})"
    )


async def texts(tab: Tab) -> list[str]:
    """All messages in the room, as the page shows them."""
    shown = await tab.run("[...document.querySelectorAll('.said .text')].map(text => text.innerText)")
    assert isinstance(shown, list)
    return shown


async def connections(tab: Tab) -> tuple[int, int]:
    """How many WebSockets the tab has opened so far, and how many of them are closed."""
    await tab.run("0")  # what the browser had to say before this answer has been heard
    return len(tab.said("Network.webSocketCreated")), len(tab.said("Network.webSocketClosed"))


async def errors(tab: Tab) -> list[object]:
    """What the page's JavaScript has thrown."""
    await tab.run("0")
    return list(tab.said("Runtime.exceptionThrown"))
