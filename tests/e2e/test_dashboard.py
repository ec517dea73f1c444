"""The dashboard in a real browser, on a frontdoor that is swapped, paused and killed while it looks."""

import http.server
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from browser import CHROMIUM
from e2e.harness import Client, Frontdoor, config, greeter, until
from e2e.pages import Page, Pages, browsing
from e2e.test_browser import reserved_port
from e2e.web import ask, bearer

pytestmark = pytest.mark.skipif(not os.path.exists(CHROMIUM), reason="no chromium here: apt-get install chromium")

NASTY = "<img src=x onerror=alert(1)> & <b>bold</b>"

BACKENDS = {"v2": {}, "v3": {}, "bad": {"command": greeter("--say", NASTY, "--exit", "3")}}

LIVE = "document.body.dataset.contact === 'live'"


@pytest.fixture(scope="module")
def door() -> Iterator[Frontdoor]:
    """One that all tests of this module share. Its dashboard is at an address that it keeps when it is started anew."""
    with reserved_port() as port:
        tables = config(backends=BACKENDS, swap={"keep_warm": "1h"}, frontdoor={"admin": f"127.0.0.1:{port}"})
        with closing(Frontdoor(tables)) as frontdoor:
            yield frontdoor.start()


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with browsing() as there:
        yield there


@pytest.fixture(scope="module")
def watching(door: Frontdoor, pages: Pages) -> Page:
    """A page with the token, opened once: all that is seen on it comes without a reload."""
    page = pages.open(f"{at(door)}#token={token(door)}")
    page.until(f"document.body !== null && {LIVE}")
    page.until("!document.querySelector('#swap').disabled")
    page.run("window.mark = 'it is the same page'")
    return page


@pytest.fixture(scope="module")
def reading(door: Frontdoor, pages: Pages) -> Page:
    """One without the token."""
    page = pages.open(at(door))
    page.until(f"document.body !== null && {LIVE}")
    return page


@pytest.fixture(autouse=True)
def unhurt(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test looks at is in front, and has nothing to complain of in the end."""
    names = [name for name in ("watching", "reading") if name in request.fixturenames]
    for name in names:
        request.getfixturevalue(name).look()
    yield
    for name in names:
        assert request.getfixturevalue(name).complaints == []


def address(door: Frontdoor) -> str:
    return str(door.control.ask("/v1/status")["admin"])


def at(door: Frontdoor) -> str:
    return f"http://{address(door)}/"


def token(door: Frontdoor) -> str:
    with open(door.path("run/admin.token")) as file:
        return file.read().strip()


def generation(page: Page, id_: str) -> dict[str, str]:
    """What the page shows of a generation: its words, by what they are about."""
    found: dict[str, str] = page.run(f"""(() => {{
        const card = [...document.querySelectorAll('.card')].find(one => one.querySelector('h3').innerText === '{id_}');
        if (!card) return {{}};
        const text = what => card.querySelector(what)?.innerText ?? '';
        return {{state: text('.state'), open: text('.open'), what: text('.rates > span:last-child'),
                 processes: text('.processes'), notes: text('.notes')}};
    }})()""")
    return found


def comes_to_show(page: Page, id_: str, **wanted: str) -> None:
    def shown() -> bool:
        there = generation(page, id_)
        return bool(there) and all(value in there[name] for name, value in wanted.items())

    until(shown, f"{id_} with {wanted}, but there is {generation(page, id_)}")


def height(page: Page, kind: str, id_: str) -> float:
    """How high the band of a generation is now in the picture, in pixels: its last part that is full, or pale."""
    colour = f"g{int(id_.partition('#')[2]) % 6}"
    return float(
        page.run(f"""(() => {{
        const path = [...document.querySelectorAll('#picture path.band.{kind}.{colour}')].at(-1);
        const pairs = path?.getAttribute('d').match(/[\\d.]+ [\\d.]+/g) ?? [];
        const points = pairs.map(pair => pair.split(' ').map(Number));
        const right = Math.max(...points.map(point => point[0]));
        const ys = points.filter(point => right - point[0] < 0.2).map(point => point[1]);
        return ys.length ? Math.max(...ys) - Math.min(...ys) : 0;
    }})()""")
    )


def active(door: Frontdoor) -> str:
    return str(door.status()["active"])


# -- it is seen --------------------------------------------------------------------------------------------------------


def test_a_swap_under_load_is_seen_while_it_happens(door: Frontdoor, watching: Page) -> None:
    before = visitors(door, 8)
    comes_to_show(watching, "v1#1", state="active", open="8 streams")
    watching.shows("#verdict", "v1#1 serves")
    assert watching.text("#detail") == "nothing drains, nothing is being changed"
    until(lambda: height(watching, "full", "v1#1") > 100, "v1#1 fills the picture")
    full = height(watching, "full", "v1#1")

    door.swap("v2")
    comes_to_show(watching, "v1#1", state="draining", open="8 streams")
    comes_to_show(watching, "v2#2", state="active", open="0 streams")
    watching.shows("#verdict", "v2#2 serves")
    watching.shows("#detail", "v1#1 drains: 8 streams left")
    watching.shows("#event-lines", "switched: new streams go to v2#2")
    watching.until("[...document.querySelectorAll('#picture text.mark')].some(mark => mark.textContent === '→ v2#2')")

    after = visitors(door, 6)
    comes_to_show(watching, "v2#2", open="6 streams")
    until(lambda: height(watching, "full", "v2#2") > 30, "v2#2 grows in the picture")
    leave(before[:5])
    comes_to_show(watching, "v1#1", open="3 streams")
    until(lambda: 0 < height(watching, "pale", "v1#1") < full / 2, "v1#1 fades in it")
    watching.until(
        "document.querySelector('#picture svg').ariaLabel.includes('v1#1 3 streams, v2#2 (active) 6 streams')"
    )

    watching.shows("#holds", "The oldest streams of v1#1")
    clients = {"{}:{}".format(*client.sock.getsockname()) for client in before[5:]}
    assert (
        set(
            watching.run("[...document.querySelectorAll('#holds tbody tr td:first-child')].map(cell => cell.innerText)")
        )
        == clients
    )
    watching.shows("#timeline", "1  v1#1 → v2#2")

    leave(before[5:])
    comes_to_show(watching, "v1#1", state="warm", open="0 streams")
    watching.shows("#detail", "nothing drains")
    watching.until("document.querySelector('#drains').hidden")
    leave(after)
    assert watching.run("window.mark") == "it is the same page"
    print(f"v1#1 was {full:.0f} px high before the swap; 8 streams, then 3, then none")


def visitors(door: Frontdoor, number: int) -> list[Client]:
    """So many clients, each of which was greeted."""
    clients = [door.connect() for _ in range(number)]
    assert {client.generation for client in clients} == {active(door)}
    return clients


def leave(clients: list[Client]) -> None:
    for client in clients:
        client.close()


def test_the_numbers_are_those_of_the_status(door: Frontdoor, watching: Page) -> None:
    client = visitors(door, 3)[0]
    assert client.ask("x" * 5000)
    whole = json.loads(door.run("status", "--json").stdout)["doors"][0]
    for one in whole["generations"]:
        comes_to_show(watching, one["id"], state=one["state"], open=f"{one['streams']['open']} streams")
        assert generation(watching, one["id"])["what"].startswith(f"{one['streams']['total']} in all")
        for process in one["processes"]:
            assert f"pid {process['pid']} {process['state']}" in generation(watching, one["id"])["processes"]
    streams = whole["streams"]
    figures = watching.run(
        "Object.fromEntries([...document.querySelectorAll('#figures div')]"
        ".map(one => [one.children[0].innerText, one.children[1].innerText]))"
    )
    assert (figures["open"], figures["accepted"]) == (str(streams["open"]), str(streams["accepted"]))
    assert streams["open"] == 3
    print(f"status --json and the page: {figures}; {len(whole['generations'])} generations")
    door.hang_up()


# -- who may change something ------------------------------------------------------------------------------------------


def test_the_token_is_taken_from_the_address_at_once_and_is_kept(door: Frontdoor, watching: Page) -> None:
    assert watching.run("location.href") == at(door)
    assert watching.run("sessionStorage.getItem('frontdoor.token')") == token(door)
    assert watching.text("#may") == "unlocked"


def test_without_it_nothing_can_be_changed(door: Frontdoor, reading: Page) -> None:
    serves = active(door)
    assert reading.text("#may") == "read-only"
    assert reading.text("#why-not") == "Read-only: unlock to change anything."
    buttons = "[...document.querySelectorAll('#actions button, .card button')]"
    assert set(reading.run(f"{buttons}.filter(one => !one.disabled).map(one => one.innerText)")) == {"Output"}
    for path, body in (("doors/main/swap", {"version": "v3"}), ("doors/main/pause", {}), ("stop", {})):
        # As the page itself would ask, had somebody enabled its buttons.
        asked = {"method": "POST", "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
        assert reading.run(f"fetch('v1/{path}', {json.dumps(asked)}).then(answer => answer.status)") == 401
    assert active(door) == serves


def test_a_wrong_token_is_said_and_the_right_one_unlocks(door: Frontdoor, reading: Page) -> None:
    reading.tab_to("#unlock")
    reading.press("Enter")
    reading.shows("#ask-title", "Unlock")
    reading.type("not-the-token")
    reading.press("Enter")
    reading.shows("#ask-wrong", "this is not the token; the token is in run/admin.token on frontdoor's machine")
    assert reading.text("#may") == "wrong token: read-only"
    assert reading.run("document.querySelector('#swap').disabled")

    reading.run("document.querySelector('#token').value = ''")
    reading.type(token(door))
    reading.press("Enter")
    reading.shows("#may", "unlocked")
    reading.until("!document.querySelector('#ask').open && !document.querySelector('#swap').disabled")

    reading.click("#lock")
    reading.shows("#may", "read-only")
    reading.until("document.querySelector('#swap').disabled")
    assert reading.run("sessionStorage.getItem('frontdoor.token')") is None


@contextmanager
def another_site() -> Iterator[str]:
    """A page that is none of ours, on this machine."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: Any) -> None: ...

    # A thread for each connection, which nobody waits for: a browser opens some to have them, and says nothing on them.
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_page_of_another_origin_gets_nothing_and_changes_nothing(door: Frontdoor, pages: Pages) -> None:
    serves = active(door)
    with another_site() as site:
        page = pages.open(site)
        page.until("document.title === 'elsewhere'")
        get = f"fetch('{at(door)}v1/status').then(answer => answer.text(), error => 'refused: ' + error.name)"
        assert page.run(get) == "refused: TypeError"
        for kind in ("text/plain", "application/json"):
            headers = {"content-type": kind, "authorization": f"Bearer {token(door)}"}
            asked = {"method": "POST", "headers": headers, "body": '{"version": "v3"}'}
            script = f"fetch('{at(door)}v1/doors/main/swap', {json.dumps(asked)})"
            assert page.run(f"{script}.then(answer => answer.status, error => error.name)") == "TypeError"
        # What a browser sends without asking first, and does not show the answer of.
        simple = "{method: 'POST', mode: 'no-cors', body: '{\"version\": \"v3\"}'}"
        swap = f"fetch('{at(door)}v1/doors/main/swap', {simple})"
        assert page.run(f"{swap}.then(answer => answer.type, error => error.name)") == "TypeError"
    assert active(door) == serves
    door.logs("admin.refused")
    # The browser keeps to its rules; so does frontdoor, whoever asks.
    got = ask(
        address(door),
        "POST",
        "/v1/doors/main/swap",
        {"version": "v3"},
        origin=site.rstrip("/"),
        authorization=bearer(door),
    )
    assert (got.status, active(door)) == (403, serves)


# -- it is used --------------------------------------------------------------------------------------------------------


def test_a_swap_with_the_keyboard_alone(door: Frontdoor, watching: Page) -> None:
    serves = active(door)
    watching.run("document.activeElement.blur()")
    watching.press("Tab")
    assert watching.run("document.activeElement.innerText") == "Skip to what serves"
    watching.tab_to("#swap")
    watching.press("Enter")
    watching.shows("#ask-title", "Swap main")
    while watching.run("document.querySelector('#ask input:checked').value") != "v3":
        watching.press("ArrowDown")
    assert watching.text("#ask-means").startswith(
        "A new generation of v3 will be started. When it is ready, new streams go to it;"
    )
    assert watching.text("#ask-yes") == "Swap to v3"
    watching.press("Enter")

    watching.shows("#asked-outcome", "exit code 0: done")
    new = active(door)
    assert f"{new} is active" in watching.text("#asked-outcome")
    assert f"switched: new streams go to {new}" in watching.text("#asked-lines")
    assert watching.run("document.activeElement.id") == "swap", "where it was before the question"
    assert (new != serves, new.partition("#")[0]) == (True, "v3")

    watching.tab_to("#rollback")
    watching.press("Enter")
    watching.shows("#ask-means", f"{serves} still runs: new streams will go to it at once.")
    watching.press("Escape")
    watching.until("!document.querySelector('#ask').open")
    assert (active(door), watching.run("document.activeElement.id")) == (new, "rollback")
    watching.press("Enter")
    watching.tab_to("#ask-yes")
    watching.press("Enter")
    watching.shows("#asked-outcome", f"{serves} is active")
    assert active(door) == serves


def test_a_version_that_fails_is_told_in_words_and_what_it_printed_is_text(door: Frontdoor, watching: Page) -> None:
    serves = active(door)
    watching.click("#swap")
    watching.run("document.querySelector('#ask input[type=text]').focus()")
    watching.type("bad")
    watching.shows("#ask-yes", "Swap to bad")
    watching.press("Enter")
    watching.shows("#asked-outcome", "did not become ready")
    failed = f"bad#{len(door.status()['generations'])}"  # they are counted through
    assert failed in watching.text("#asked-outcome")
    watching.shows("#asked-outcome", "exit code 4: the new version did not become ready: the old one still serves")
    watching.shows("#asked-outcome pre", NASTY)
    watching.shows("#alerts", f"{failed} failed: it exited with code 3")
    comes_to_show(watching, failed, state="failed")
    card = f"[...document.querySelectorAll('.card')].find(one => one.innerText.includes('{failed}'))"
    watching.run(f"{card}.querySelector('button').click()")
    watching.shows("#log-lines", NASTY)
    assert watching.run("document.querySelectorAll('main img[src=x], main b b').length") == 0
    watching.shows("#verdict", f"{serves} serves")

    watching.tab_to("#timeline button")
    watching.press("Enter")
    watching.shows("#report-title", "of main")
    watching.until("document.querySelector('#report-picture').naturalWidth > 100")
    watching.shows("#report-text", failed)
    watching.press("Escape")
    watching.until("!document.querySelector('#report').open && document.activeElement.matches('#timeline button')")


def test_pause_resume_and_drain(door: Frontdoor, watching: Page) -> None:
    clients = visitors(door, 4)
    serves = active(door)
    confirmed(watching, "#pause", "until somebody resumes no new client is accepted")
    watching.shows("#asked-outcome", "exit code 0")
    watching.shows("#verdict", "Paused")
    assert door.status()["paused"]
    watching.shows("#pause", "Resume…")
    confirmed(watching, "#pause", "Clients are accepted again")
    watching.until("document.querySelector('#verdict').innerText !== 'Paused'")
    assert not door.status()["paused"]

    door.swap("v3")
    comes_to_show(watching, serves, state="draining", open="4 streams")
    there = "[...document.querySelectorAll('.card button')].filter(one => one.innerText === 'Drain…' && !one.hidden)"
    assert watching.run(f"{there}.length") == 1
    watching.run(f"{there}[0].click()")
    watching.run("document.querySelector('#ask input[value=\"0\"]').click()")
    watching.shows("#ask-means", f"4 streams of {serves} will be closed at once")
    watching.click("#ask-yes")
    watching.shows("#asked-outcome", "exit code 0")
    assert all(client.hear() == "" for client in clients)
    comes_to_show(watching, serves, open="0 streams")
    door.hang_up()


def confirmed(page: Page, button: str, means: str) -> None:
    """Press a button, read what it means, and say yes."""
    page.click(button)
    page.until(f"document.querySelector('#ask-means').innerText.toLowerCase().includes({json.dumps(means.lower())})")
    page.click("#ask-yes")


# -- on all screens ----------------------------------------------------------------------------------------------------

CONTRAST = """(() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
    const rgba = colour => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].map((part, at) => at === 3 ? part / 255 : part);
    };
    const over = (top, below) => [0, 1, 2].map(at => top[at] * top[3] + below[at] * (1 - top[3])).concat(1);
    const ground = node => {
        if (node === null) return rgba(getComputedStyle(document.documentElement).colorScheme.includes('dark')
            && matchMedia('(prefers-color-scheme: dark)').matches ? 'black' : 'white');
        return over(rgba(getComputedStyle(node).backgroundColor), ground(node.parentElement));
    };
    const light = colour => [0.2126, 0.7152, 0.0722].reduce((sum, share, at) => {
        const part = colour[at] / 255;
        return sum + share * (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    }, 0);
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest(':disabled')) continue;
        const style = getComputedStyle(node);
        const below = ground(node);
        const ink = over(rgba(node instanceof SVGElement ? style.fill : style.color), below);
        const [one, other] = [light(ink), light(below)].sort((a, b) => b - a);
        found.push({text: walker.currentNode.data.slice(0, 40), ratio: (one + 0.05) / (other + 0.05)});
    }
    found.sort((a, b) => a.ratio - b.ratio);
    return {texts: found.length, ...found[0]};
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_that_is_written_can_be_read(watching: Page, scheme: str) -> None:
    watching.prefers(scheme)
    worst = watching.run(CONTRAST)
    print(f"{scheme}: of {worst['texts']} texts {worst['text']!r} has the least contrast, {worst['ratio']:.2f}:1")
    assert worst["texts"] > 60
    assert worst["ratio"] >= 4.5


@pytest.mark.parametrize("width", [390, 320])
def test_on_a_phone_nothing_scrolls_sideways(watching: Page, width: int) -> None:
    watching.size(width, 844)
    watching.until(f"innerWidth === {width}")
    watching.until("document.documentElement.scrollWidth <= innerWidth")
    watching.click("#swap")
    assert watching.run("document.querySelector('#ask').getBoundingClientRect().right <= innerWidth")
    watching.press("Escape")
    buttons = "[...document.querySelectorAll('button, select')].filter(one => one.checkVisibility())"
    least = watching.run(f"Math.min(...{buttons}.map(one => one.getBoundingClientRect().height))")
    assert least >= 24, "what is touched is large enough (WCAG 2.2, 2.5.8)"
    watching.size(1280, 900)


def test_what_is_pressed_has_a_name_and_the_page_its_parts(watching: Page) -> None:
    tree = watching.call("Accessibility.getFullAXTree")["nodes"]
    nodes = [node for node in tree if not node["ignored"]]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]
    for role in ("button", "link", "combobox", "dialog", "region"):
        assert not [name for kind, name in named if kind == role and not name], role
    assert {role for role, _ in named} >= {"main", "banner", "heading", "status", "log", "button", "region"}
    headings = watching.run(
        "[...document.querySelectorAll('h1, h2, h3')].filter(one => one.checkVisibility()).map(one => one.tagName)"
    )
    assert headings[:2] == ["H1", "H2"]


def test_its_decisions(watching: Page) -> None:
    left = """import('/dashboard/estimate.js').then(({left}) =>
        [left(30, 40, 60000), left(39, 40, 60000), left(40, 40, 60000), left(0, 4, 1), left(3, 4, 30000)])"""
    assert watching.run(left) == [180, None, None, 0, 90]
    nice = "import('/dashboard/flow.js').then(({nice}) => [0, 3, 5, 11, 61, 150, 9000].map(nice))"
    assert watching.run(nice) == [4, 4, 5, 12, 80, 150, 10000]
    # A quarter of an hour with a sample each second, on two screens: a pixel keeps its newest, and none is lost else.
    thinned = """import('/dashboard/flow.js').then(({thinned}) => {
        const samples = [...Array(901).keys()].map(second => ({time: second * 1000, open: {}}));
        return [330, 860, 1100].map(width => thinned(samples, 0, 900000, width)).map(
            found => [found.length, found.at(-1).time]);
    })"""
    assert watching.run(thinned) == [[331, 900000], [861, 900000], [901, 900000]]
    about = "import('/dashboard/words.js').then(({about}) => [2, 20, 240].map(about))"
    assert watching.run(about) == ["a few seconds", "about 20 s", "about 4 min"]
    served = """import('/dashboard/flow.js').then(({spans, switches}) => {
        const at = second => new Date(second * 1000).toISOString();
        const turns = switches([
            {event: 'swap.switched', door: 'main', time: at(10), from: 'v1#1', to: 'v2#2'},
            {event: 'swap.switched', door: 'other', time: at(15), from: 'v1#1', to: 'v9#9'},
            {event: 'swap.rolled_back', door: 'main', time: at(20), from: 'v2#2', to: 'v1#1'},
            {event: 'swap.rolled_back', door: 'main', time: at(30), from: 'v3#3', to: 'v1#1'},
        ], 'main');
        const shown = all => all.map(span => span.map(time => Number.isFinite(time) ? time / 1000 : null));
        return [shown(spans('v1#1', turns, 'v1#1')), shown(spans('v2#2', turns, 'v1#1')), turns.length];
    })"""
    # The last one was withdrawn before it was switched to: it changed nothing.
    assert watching.run(served) == [[[None, 10], [20, None]], [[10, 20]], 2]
    verdicts = """import('/dashboard/verdict.js').then(({verdict}) => {
        const one = {id: 'v1#1', state: 'active', streams: {open: 2}, processes: [{state: 'up'}]};
        const door = {name: 'main', active: 'v1#1', state: 'serving', paused: false, maintenance: null,
                      swap: null, canary: null, streams: {open: 2, accepted: 2, ended: {}}, generations: [one]};
        return [door, {...door, paused: true, paused_for_s: 30}, {...door, state: 'stopping'},
                {...door, active: null, state: 'failed', generations: []}, {...door, active: null, state: 'starting'},
                {...door, generations: [{...one, processes: [{state: 'backing off'}]}]},
                {...door, maintenance: {message: 'back at 9'}},
                {...door, swap: {number: 3, phase: 'probing', to: 'v2#2', elapsed_s: 4}},
                {...door, swap: {number: 3, phase: 'baking', to: 'v1#1', elapsed_s: 4, bake_left_s: 6}},
        ].map(given => verdict(given)).map(one => `${one.level}: ${one.verdict}; ${one.detail}`);
    })"""
    assert watching.run(verdicts) == [
        "ok: v1#1 serves; nothing drains, nothing is being changed",
        "warn: Paused; v1#1 gets no new streams for another 30 s; clients wait",
        "warn: Stopping; no new streams; 2 streams finish",
        "bad: Nothing serves; clients wait, and are closed when their time is up",
        "busy: Starting; no version is ready yet; clients wait",
        "bad: v1#1 is down; no process of it is up; clients wait",
        "warn: In maintenance; requests are answered 503: back at 9",
        "busy: v1#1 serves; swap 3 to v2#2: probing, for 4 s",
        "busy: v1#1 serves, on probation; it is switched back if it fails: another 6 s",
    ]


# -- when frontdoor goes away ------------------------------------------------------------------------------------------


def test_it_comes_back_by_itself_after_the_door_process_was_killed(door: Frontdoor, watching: Page) -> None:
    clients = visitors(door, 2)
    serves = active(door)
    comes_to_show(watching, serves, open="2 streams")
    until(lambda: door.status()["vault"]["streams"] == 2, "they are protected")
    watching.run("""(() => {
        window.said = [];
        new MutationObserver(() => said.push(document.body.dataset.contact)).observe(
            document.body, {attributes: true, attributeFilter: ['data-contact']});
    })()""")
    os.kill(door.control.ask("/v1/status")["door_pid"], signal.SIGKILL)
    watching.until("said.join() === 'reconnecting,live'")
    comes_to_show(watching, serves, state="active", open="2 streams")
    late = visitors(door, 1)
    comes_to_show(watching, serves, open="3 streams")
    watching.until("!document.querySelector('#swap').disabled")
    assert watching.run("window.mark") == "it is the same page"
    leave([*clients, *late])


def test_while_nobody_answers_nothing_looks_live(door: Frontdoor, watching: Page) -> None:
    serves = active(door)
    assert float(watching.run("getComputedStyle(document.querySelector('#glance')).opacity")) == 1
    door.hang_up()
    assert door.run("stop", "--now").returncode == 0
    door.ends()
    watching.shows("#contact", "reconnecting…")
    watching.until("getComputedStyle(document.querySelector('#glance')).opacity < 0.9")
    assert "reconnecting…" in watching.run("document.title")
    assert watching.run("[...document.querySelectorAll('#actions button')].every(one => one.disabled)")

    door.start()
    watching.until(LIVE)
    watching.until("getComputedStyle(document.querySelector('#glance')).opacity == 1")
    watching.until(f"!document.querySelector('#verdict').innerText.includes('{serves}')")
    watching.shows("#verdict", f"{active(door)} serves")
    watching.until("!document.querySelector('#swap').disabled")
    assert watching.run("window.mark") == "it is the same page"
