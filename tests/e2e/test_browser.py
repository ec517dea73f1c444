"""People in a real browser, on the sample chat, while it is swapped under them."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


# -- the page changes over by itself ----------------------------------------------------------------------------------


def test_an_app_that_is_told_of_the_drain_moves_its_pages_over_and_no_message_is_lost(serve: Serve) -> None:
    door = serve(backends={"*": {"command": CHAT}}, ready=READY, drain={"notify": "SIGUSR1"})
    trio.run(changes_over, door, "v1#1 asks this page to connect anew", 0)
    assert door.printed("v1#1")[-1] == "chat: v1#1 drains: clients asked to come back: 2"


def test_a_paced_drain_closes_pages_that_come_back_and_no_message_is_lost(serve: Serve) -> None:
    door = serve(backends={"*": {"command": CHAT}}, ready=READY, drain={"timeout": "2s", "close_over": "1s"})
    trio.run(changes_over, door, "the connection to v1#1 was lost", 6)


async def changes_over(door: Frontdoor, why: str, code: int) -> None:
    """Two people type without a pause while v2 takes over; `why`: what their pages say; `code`: how the drain ends."""
    host, port = await trio.to_thread.run_sync(lambda: door.address)
    async with chromium() as browser:
        ada = await arrive(browser, f"http://{host}:{port}/", "Ada", "v1#1")
        bob = await arrive(browser, f"http://{host}:{port}/", "Bob", "v1#1")
        told: list[str] = []
        async with trio.open_nursery() as typing:
            for tab, name in ((ada, "Ada"), (bob, "Bob")):
                typing.start_soon(types, tab, name, told)
            swapped = await trio.to_thread.run_sync(door.run, "swap", "v2", "--wait", "drained")
            for tab in (ada, bob):
                await connected(tab, "v2#2")
                await tab.until("[...document.querySelectorAll('.via')].some(via => via.innerText == 'via v2#2')")
            typing.cancel_scope.cancel()

        assert swapped.returncode == code, swapped
        for tab in (ada, bob):
            await tab.until(f"document.querySelectorAll('.said:not(.waiting)').length >= {len(told)}")
            shown = await texts(tab)
            assert sorted(shown) == sorted(told), "each message once, in both of them"
            for name in ("Ada", "Bob"):
                assert [text for text in shown if name in text] == [text for text in told if name in text], "in order"
            assert await connections(tab) == (2, 1)
            asked = tab.said("Network.webSocketCreated")[-1]["url"]
            assert int(asked.partition("?since=")[2]) > 0, "only what is new to it"
            notes = await tab.run("[...document.querySelectorAll('.note')].map(note => note.innerText.split(',')[0])")
            assert notes == ["you are connected to v1#1", why, "now connected to v2#2"]
            assert await errors(tab) == []
        vias = await ada.run("[...document.querySelectorAll('.said .via')].map(via => via.innerText)")
        print(f"{len(told)} messages: {vias.count('via v1#1')} by way of v1#1, {vias.count('via v2#2')} of v2#2")
        assert set(vias) == {"via v1#1", "via v2#2"}


async def types(tab: Tab, name: str, told: list[str]) -> None:
    """Send one message after the other, connected or not."""
    number = 0
    while True:
        told.append(f"{name} {number}")
        with trio.CancelScope(shield=True):  # what is in `told` was typed
            await tab.run(f"text.value = {json.dumps(told[-1])}; byId('say').requestSubmit()")
        number += 1
        await trio.sleep(0.05)


def test_a_page_waits_longer_each_time_and_comes_back_when_somebody_serves_again(serve: Serve) -> None:
    with reserved_port() as port:
        door = serve(backends={"*": {"command": CHAT}}, ready=READY, listen=[f"127.0.0.1:{port}"])
        trio.run(nobody_serves, door, port)


TYPED_BEFORE = """greet => who => {
    text.value = 'before the greeting';
    byId('say').requestSubmit();
    greet(who);
    window.counted = failures;
}"""


async def nobody_serves(door: Frontdoor, port: int) -> None:
    async with chromium() as browser:
        ada = await arrive(browser, f"http://127.0.0.1:{port}/", "Ada", "v1#1")
        assert await ada.run("[0, 1, 2, 3, 4, 5, 6, 99].map(limit)") == [
            *(500, 1000, 2000, 4000, 8000, 16000),
            *(20000, 20000),
        ]
        await say(ada, "before")
        await heard(ada, "before", "v1#1")
        await trio.to_thread.run_sync(door.run, "stop", "--now")
        await trio.to_thread.run_sync(door.ends)
        await ada.until("failures >= 3")
        await ada.until("where.innerText.includes('reconnecting…')")
        await say(ada, "while nobody served")
        assert await ada.run("text.placeholder") == "Say something: it is sent when you are connected"
        assert await ada.run("document.querySelectorAll('.said.waiting').length") == 1
        # Somebody types between the connection and the greeting; and the page is told all over again.
        await ada.run(f"hello = ({TYPED_BEFORE})(hello); seen = 0")

        await trio.to_thread.run_sync(door.start)
        await heard(ada, "while nobody served", "v1#2")
        await heard(ada, "before the greeting", "v1#2")
        assert await texts(ada) == ["before", "while nobody served", "before the greeting"]
        assert await ada.run("counted") >= 3, "one connection proves little"
        await ada.until("failures === 0")
        assert await errors(ada) == []


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody else is given meanwhile: bound, but not listened on."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


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
