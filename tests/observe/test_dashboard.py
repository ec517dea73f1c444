"""What the dashboard is made of. What it does is seen in a browser: tests/e2e/test_dashboard.py."""

import os
import re
import subprocess
from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest
from starlette.applications import Starlette

from frontdoor.door.remainder import MODULES
from frontdoor.observe import dashboard

FOLDER = os.path.dirname(dashboard.__file__)
SCRIPTS = sorted(name for name in dashboard.FILES if name.endswith(".js"))


def text(name: str) -> str:
    return dashboard.FILES[name].body.decode()


async def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    sent: list[Mapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }
    await Starlette(routes=dashboard.routes())(scope, receive, send)
    named = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], named, b"".join(message.get("body", b"") for message in sent[1:])


# -- how it is sent ----------------------------------------------------------------------------------------------------


async def test_the_page_is_at_the_root_and_whatever_it_loads_is_there() -> None:
    status, headers, page = await ask("/")
    assert (status, headers["content-type"], page) == (
        200,
        "text/html; charset=utf-8",
        dashboard.FILES["index.html"].body,
    )
    for path in re.findall(r'(?:src|href)="(dashboard/[^"]+)"', page.decode()):
        assert (await ask("/" + path))[0] == 200, path
    assert (await ask("/dashboard/main.js"))[1]["content-type"] == "text/javascript; charset=utf-8"
    assert (await ask("/dashboard/style.css"))[1]["content-type"] == "text/css; charset=utf-8"
    assert (await ask("/dashboard/icon.svg"))[1]["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    "path", ["/dashboard/", "/dashboard/nothing.js", "/dashboard/__init__.py", "/dashboard/../../door/door.py"]
)
async def test_nothing_else_is(path: str) -> None:
    assert (await ask(path))[0] == 404


async def test_head_is_answered_without_the_body_and_other_methods_are_refused() -> None:
    _, got, page = await ask("/")
    status, headers, body = await ask("/", "HEAD")
    assert (status, headers, body) == (200, got, page), "the server leaves the body of a HEAD out"
    assert (await ask("/", "POST"))[0] == 405


async def test_a_browser_that_has_it_already_is_told_so_and_asks_each_time() -> None:
    _, headers, _ = await ask("/dashboard/main.js")
    assert headers["cache-control"] == "no-cache"
    tag = headers["etag"]
    for known in (tag, f"W/{tag}", f'"older", {tag}'):
        status, again, body = await ask("/dashboard/main.js", if_none_match=known)
        assert (status, again["etag"], body) == (304, tag, b"")
    assert (await ask("/dashboard/main.js", if_none_match='"older"'))[0] == 200


def test_each_file_has_a_tag_of_its_own() -> None:
    assert len({file.tag for file in dashboard.FILES.values()}) == len(dashboard.FILES)


# -- where it comes from -----------------------------------------------------------------------------------------------


def test_it_is_in_memory_before_frontdoor_serves() -> None:
    assert "frontdoor.observe.dashboard" in MODULES
    files = {name for name in os.listdir(FOLDER) if not name.endswith((".py", "__pycache__"))}
    assert files == set(dashboard.FILES), "a file that it cannot send is not in the folder"


def test_a_wheel_has_all_of_it() -> None:
    # hatch puts all that is in the package into the wheel, but for what git ignores.
    paths = [os.path.join(FOLDER, name) for name in dashboard.FILES]
    asked = ["git", "-C", FOLDER, "check-ignore", "--no-index", *paths]
    ignored = subprocess.run(asked, capture_output=True, text=True, check=False)
    if ignored.returncode == 128:
        pytest.skip(f"this is no git checkout: {ignored.stderr.strip()}")
    assert (ignored.returncode, ignored.stdout) == (1, "")


def test_there_is_nothing_from_another_host_and_nothing_inline() -> None:
    for name in dashboard.FILES:
        addresses = [found for found in re.findall(r"https?://[^\s\"')]+", text(name)) if "www.w3.org" not in found]
        assert addresses == [], name
    page = text("index.html")
    assert not re.search(r"<style|style=|<script(?![^>]*\ssrc=)|\son[a-z]+=", page)


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_script_makes_html_or_code_of_what_it_is_told(name: str) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|cssText", text(name)
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_small_and_import_what_is_there(name: str) -> None:
    assert len(text(name).splitlines()) < 300
    assert all(len(line) <= 120 for line in text(name).splitlines())
    for other in re.findall(r'from "\./([^"]+)"', text(name)):
        assert other in dashboard.FILES


def test_every_element_that_a_script_looks_up_is_in_the_page() -> None:
    there = set(re.findall(r'id="([^"]+)"', text("index.html")))
    for name in SCRIPTS:
        assert set(re.findall(r'byId\("([^"]+)"\)', text(name))) <= there, name


# -- colours (WCAG 2.2, success criteria 1.4.3 and 1.4.11) ------------------------------------------------------------

LEVELS = ("good", "warn", "bad", "busy")
READ = [
    *((ink, ground) for ink in ("text", "quiet", "link", *LEVELS) for ground in ("ground", "panel", "sunk")),
    *((level, f"{level}-ground") for level in LEVELS),
    *(("text", f"{level}-ground") for level in LEVELS),
    ("on-main", "main"),
    ("on-danger", "danger"),
]
SEEN = [*((f"g{number}", "panel") for number in range(6)), ("edge", "panel"), ("main", "panel"), ("main", "ground")]


def schemes() -> dict[str, dict[str, str]]:
    """The named colours of the light and of the dark scheme."""
    light, dark = re.findall(r":root \{(.*?)\}", text("style.css"), re.DOTALL)[:2]
    named = r"--([a-z0-9-]+): (#[0-9a-f]{6});"
    return {"light": dict(re.findall(named, light)), "dark": dict(re.findall(named, dark))}


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_can_be_told_apart(scheme: str) -> None:
    colours = schemes()[scheme]
    for pairs, least in ((READ, 4.5), (SEEN, 3.0)):
        worst = min(pairs, key=lambda pair: contrast(colours[pair[0]], colours[pair[1]]))
        value = contrast(colours[worst[0]], colours[worst[1]])
        print(
            f"{scheme}: {worst[0]} on {worst[1]} has {value:.2f}:1, of {len(pairs)} pairs the least; wanted {least}:1"
        )
        assert value >= least, worst


def test_both_schemes_name_the_same_colours() -> None:
    light, dark = schemes().values()
    assert light.keys() == dark.keys()
