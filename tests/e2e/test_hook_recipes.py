"""The recipes of docs/hooks, run as they are printed there."""

import http.server
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from e2e.doors import Changing, OneDoor
from e2e.harness import COMMAND, Client, greeter, until
from e2e.recipes import ROOT, install, printed_config, write_program

Only = Callable[..., OneDoor]

MIGRATION, CHAT, WARM = (f"docs/hooks/{name}.md" for name in ("migration", "chat", "warm"))

PAUSE = 'PAUSE = "3m"'
QUIET = "QUIET = 10 "

DIES = {"command": greeter("--say", "password=hunter2", "--exit", "3")}


@pytest.fixture(scope="module")
def changing() -> Iterator[Changing]:
    """One in which hooks find the command line on their PATH."""
    with closing(Changing()) as frontdoor:
        yield frontdoor.start(PATH=f"{os.path.dirname(COMMAND)}:{os.environ['PATH']}")


# -- a migration ------------------------------------------------------------------------------------------------------

FAILS = """#!/bin/sh
[ "$1" = --pending ] && exit 10
echo "no such column: price" >&2
exit 1
"""

HANGS = """#!/bin/sh
[ "$1" = --pending ] && exit 10
exec sleep 1000
"""


class Shop:
    """A door with the migration's hooks, a database, and releases that migrate it."""

    def __init__(self, only: Only, folder: str, **changes: Any) -> None:
        self._path = os.path.join(folder, "shop.db")
        self._folder = folder
        if os.path.exists(self._path):
            os.unlink(self._path)
        self._do("CREATE TABLE orders (price INTEGER NOT NULL, amount INTEGER NOT NULL)")
        self._do("INSERT INTO orders VALUES (3, 4), (5, 6)")
        hooks = printed_config(MIGRATION)["hooks"]
        install(MIGRATION, folder, changes.pop("text", None))
        self.door = only(hooks={**hooks, **changes.pop("hooks", {})}, swap={"keep_warm": "15m"}, **changes)

    def release(self, version: str, migrate: str) -> None:
        """A release with another migration."""
        write_program(os.path.join(self._folder, "releases", version, "migrate"), migrate)

    @property
    def totals(self) -> list[int]:
        """What the migration computes; empty before it."""
        with closing(sqlite3.connect(self._path)) as database:
            if len(list(database.execute("PRAGMA table_info(orders)"))) == 2:
                return []
            return [total for (total,) in database.execute("SELECT total FROM orders")]

    def has_paused(self) -> list[Client]:
        """Wait until it lets nobody in; some who come, and wait."""
        until(lambda: self.door.status()["paused"], "it is paused")
        return [self.door.connect() for _ in range(3)]

    def lets_in_again(self, waiting: list[Client], generation: str) -> None:
        """Nobody who waited was refused, and whoever comes now is served."""
        assert {client.generation for client in [*waiting, self.door.connect()]} == {generation}
        assert not self.door.status()["paused"]
        until(lambda: not self.is_marked, "the hook has taken its mark away")

    @property
    def is_marked(self) -> bool:
        """Whether the hook has paused the door, and no hook has ended that."""
        return os.path.exists(f"{self._folder}/run/paused-{self.door.name}")

    def _do(self, statement: str) -> None:
        with closing(sqlite3.connect(self._path)) as database, database:
            database.execute(statement)


def test_a_migration_before_a_swap(only: Only, changing: Changing) -> None:
    shop = Shop(only, changing.folder)
    inside = shop.door.connect()
    assert inside.generation == "v1#1"
    swap = shop.door.begin("swap", "v2")
    waiting = shop.has_paused()
    assert inside.ask("still there?") == "still there?"
    assert shop.totals == [], "it waits until nobody is connected"
    inside.close()
    ended = swap.ended()
    assert ended.returncode == 0, ended
    assert shop.totals == [12, 30]
    shop.lets_in_again(waiting, "v2#2")

    pauses = len(shop.door.logged("paused"))
    shop.door.swap("v2")
    shop.door.rollback()
    assert len(shop.door.logged("paused")) == pauses == 1, "there was nothing to migrate"
    assert not shop.door.logged("hook.failed")


def test_a_migration_that_fails_or_takes_too_long_leaves_the_old_version(only: Only, changing: Changing) -> None:
    shop = Shop(only, changing.folder, hooks={"timeout": "1500ms"})
    shop.release("v3", FAILS)
    shop.release("v4", HANGS)
    failed = shop.door.run("swap", "v3")
    assert failed.returncode == 1
    why = "exited with code 1: the migration failed: the database is as it was; v1#1 still serves"
    assert f"was vetoed: the before_swap hook {why}" in failed.stderr
    shop.lets_in_again([], "v1#1")
    changing.hang_up()

    swap = shop.door.begin("swap", "v4")
    waiting = shop.has_paused()
    assert swap.ended().returncode == 1
    shop.lets_in_again(waiting, "v1#1")
    assert "did not end within 1.5 s (hooks.timeout) and was killed" in swap.ended().stderr
    assert not [command for command in changing.processes().values() if "sleep 1000" in command]
    assert not shop.door.logged("hook.failed")


def test_who_stays_connected_keeps_the_migration_from_happening(only: Only, changing: Changing) -> None:
    shop = Shop(only, changing.folder, text={QUIET: "QUIET = 0.3 "})
    inside = shop.door.connect()
    assert inside.generation == "v1#1"
    refused = shop.door.run("swap", "v2")
    assert refused.returncode == 1
    assert "after 0.3 s 1 are still connected: see frontdoor streams; v1#1 still serves" in refused.stderr
    assert inside.ask("still there?") == "still there?"
    shop.lets_in_again([], "v1#1")
    assert shop.totals == []


def test_a_version_that_fails_or_is_aborted_after_its_migration(only: Only, changing: Changing) -> None:
    starts = {"command": greeter("--wait-for", "never")}
    shop = Shop(only, changing.folder, backends={"v2": DIES, "v3": starts})
    assert shop.door.run("swap", "v2").returncode == 4
    assert shop.totals == [12, 30], "the old version lives with that"
    shop.lets_in_again([], "v1#1")
    changing.hang_up()

    shop.release("v3", '#!/bin/sh\n[ "$1" = --pending ] && exit 10\nexit 0\n')
    swap = shop.door.begin("swap", "v3")
    swap.shows("v3#3 starting")
    waiting = shop.has_paused()
    swap.interrupt()
    assert swap.ended().returncode == 130
    shop.lets_in_again(waiting, "v1#1")
    assert not shop.door.logged("hook.failed")


def test_nobody_waits_for_ever_when_the_door_process_dies_in_a_migration(only: Only, changing: Changing) -> None:
    shop = Shop(only, changing.folder, text={PAUSE: 'PAUSE = "2s"'})
    shop.release("v3", HANGS)
    swap = shop.door.begin("swap", "v3")
    waiting = shop.has_paused()
    until(lambda: "sleep 1000" in " ".join(changing.processes().values()), "the migration runs")
    changing.kill_door_process()
    assert swap.ended().returncode == 1
    assert {client.generation for client in waiting} == {"v1#1"}
    assert shop.is_marked, "no hook has said resume: the pause ran out by itself"
    changing.hang_up()
    shop.door.swap("v2")
    assert shop.totals == [12, 30]
    shop.lets_in_again([], "v2#3")


def test_no_canary_for_a_version_that_migrates(only: Only, changing: Changing) -> None:
    shop = Shop(only, changing.folder)
    refused = shop.door.run("swap", "v2", "--canary", "5%")
    assert refused.returncode == 1
    assert "this release migrates the database: swap to it without --canary; v1#1 still serves" in refused.stderr
    assert not shop.door.logged("paused")


# -- a chat -----------------------------------------------------------------------------------------------------------


class Chat(http.server.ThreadingHTTPServer):
    """The chat's server: keeps what is posted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.answers: int | None = 200
        """None: it does not answer."""
        self.goes_on = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/services/T0KEN"

    def heard(self, count: int) -> str:
        """Wait for so many posts; the text of the last one."""
        until(lambda: len(self.posts) == count, f"post {count} of {self.posts}")
        return str(self.posts[-1][1]["text"])

    def close(self) -> None:
        self.goes_on.set()
        self.shutdown()
        self.server_close()


class Post(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        chat = self.server
        assert isinstance(chat, Chat)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat.posts.append((self.path, body))
        if chat.answers is None:
            chat.goes_on.wait()
        else:
            self.send_response(chat.answers)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def chat(changing: Changing) -> Iterator[Chat]:
    with closing(Chat()) as chat:
        install(CHAT, changing.folder)
        with open(changing.path("chat-webhook"), "w") as file:
            file.write(chat.url + "\n")
        os.chmod(changing.path("chat-webhook"), 0o600)
        yield chat


def test_a_chat_is_told_what_happened_and_no_secret(only: Only, changing: Changing, chat: Chat) -> None:
    door = only(hooks=printed_config(CHAT)["hooks"], backends={"v3": DIES, "v4": {"command": ["./<!channel>"]}})
    name = door.name
    assert door.connect().generation == "v1#1"
    assert door.run("swap", "v2").returncode == 0
    assert chat.heard(1) == f"{name}: v2#2 serves now (swap 1; still open on v1#1: 1)"
    assert chat.posts[0] == ("/services/T0KEN", {"text": chat.heard(1)})
    failed = door.run("swap", "v3")
    assert "password=hunter2" in failed.stderr
    why = "it exited with code 3 before it was ready"
    assert chat.heard(2) == f"{name}: v3#3 did not become ready: {why}. v2#2 serves"
    door.run("swap", "v4")
    why = "it could not be started: command not found: ./&lt;!channel&gt;"
    assert chat.heard(3) == f"{name}: v4#4 did not become ready: {why}. v2#2 serves"
    assert door.rollback()
    assert chat.heard(4) == f"{name}: v1#1 serves now (swap 4; still open on v2#2: 0)"
    assert not door.logged("hook.failed")
    assert not door.logged("hook.output")


def test_a_chat_is_told_of_a_version_that_failed_in_its_probation(only: Only, chat: Chat) -> None:
    door = only(hooks=printed_config(CHAT)["hooks"], swap={"bake": "1m"})
    swap = door.begin("swap", "v2")
    swap.shows("switched")
    chat.heard(1)
    client = door.connect()
    assert client.generation == "v2#2"
    client.say("exit 9")
    assert swap.ended().returncode == 7
    why = "v2#2 failed in its probation: one of its processes has crashed"
    assert chat.heard(2) == f"{door.name}: {why}. v1#1 serves again"


def test_a_chat_that_hangs_or_is_gone_holds_up_nobody_and_its_url_is_told_to_nobody(
    only: Only, changing: Changing, chat: Chat
) -> None:
    door = only(hooks=printed_config(CHAT)["hooks"])
    chat.answers = None
    assert door.run("swap", "v2").returncode == 0
    chat.heard(1)
    assert door.connect().generation == "v2#2", "and the hook still waits for its answer"
    assert "tell-the-chat" in " ".join(changing.processes().values())
    assert "T0KEN" not in " ".join(changing.processes().values())
    chat.answers = 404
    chat.goes_on.set()
    first = door.logs("hook.failed", hook="switched")
    assert first["output"] == ["the chat was not told: RemoteDisconnected"]

    door.swap("v3")
    until(lambda: len(door.logged("hook.failed")) == 2, "it failed again")
    with open(changing.path("chat-webhook"), "w") as file:
        file.write("https://no such host/T0KEN")
    door.swap("v4")
    until(lambda: len(door.logged("hook.failed")) == 3, "and again")
    said = [failure["output"] for failure in door.logged("hook.failed")[1:]]
    assert said == [["the chat said 404"], ["the chat was not told: InvalidURL"]]
    assert "T0KEN" not in changing.log_text


# -- a cache ----------------------------------------------------------------------------------------------------------

CACHED = {"command": ["{python}", "-I", os.path.join(ROOT, "tests", "apps", "cached.py")], "processes": 2}
PAGES = ["/", "/products", "/search?q=shoes"]


def get(door: OneDoor, page: str) -> str:
    """What the answer says about the cache."""
    client = door.connect()
    client.say(f"GET {page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r")
    head = iter(client.hear, "\r")
    found = next(line for line in head if line.startswith("X-Cache"))
    client.close()
    return found.split()[1]


def test_the_first_visitor_finds_a_warm_cache(only: Only, changing: Changing) -> None:
    install(WARM, changing.folder)
    door = only(backends={"*": CACHED}, hooks=printed_config(WARM)["hooks"], swap={"keep_warm": "15m"})
    assert get(door, "/products") == "miss", "of the first generation nobody is asked: it is no swap"
    swapped = door.run("swap", "v2")
    assert swapped.returncode == 0, swapped
    assert "v2#2 waits for the before_switch hook" in swapped.stderr
    assert door.printed("v2#2") == [f"made {page}" for page in PAGES] * 2, "each of its processes was asked"
    assert [get(door, page) for page in PAGES * 2] == ["hit"] * 6

    door.rollback()
    assert len(door.logged("swap.ready")) == 1, "what runs already is not asked again"
    assert not door.logged("hook.failed")


def test_a_page_that_fails_while_it_is_warmed_fails_the_swap(only: Only, changing: Changing) -> None:
    install(WARM, changing.folder)
    broken = {"env": {"BROKEN": "/products"}}
    door = only(backends={"*": CACHED, "v2": broken}, hooks=printed_config(WARM)["hooks"])
    failed = door.run("swap", "v2")
    assert failed.returncode == 4
    why = "the before_switch hook exited with code 1: /products was answered with 500"
    assert f"v2#2 did not become ready ({why}); v1#1 still serves" in failed.stderr
    assert door.state("v1#1") == "active"
    door.becomes("v2#2", "failed")
    assert door.run("swap", "v3").returncode == 0
