"""The chat's messages: what must outlive a process is in a file that every version reads and writes."""

import collections
import json
import os
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import trio

T = TypeVar("T")

POLL = 0.15  # seconds between two looks for rows that another process has written; people do not notice it
RECENT = 200  # messages that a newcomer sees, and that are kept in memory: a reader further behind is dropped
KEPT = 5_000  # messages kept in the file


class History:
    """The messages, in an SQLite file that other processes use at the same moment.

    Every call runs in a worker thread: a write waits while another process writes, and trio must not wait
    with it. One thread at a time, because there is one connection.
    """

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        self._turn = trio.CapacityLimiter(1)
        self._db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        self._set_up()

    def _set_up(self) -> None:
        deadline = time.monotonic() + 5
        while True:
            try:
                # WAL: readers never wait for the writer. Two processes that both make the file at once meet
                # "database is locked" here at once, whatever the timeout says: so the loop.
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._db.execute("PRAGMA synchronous = NORMAL")
        # AUTOINCREMENT: a number is never used again, so "everything after 17" stays true after a clean-up.
        # `key` is the client's own name for a message: sent again after a lost connection, it is kept once.
        # v1 and v2 share this table: a new version may add to it, but must not break what the old one reads.
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL,"
            " name TEXT NOT NULL, text TEXT NOT NULL, via TEXT NOT NULL, key TEXT NOT NULL UNIQUE)"
        )

    async def _run(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._turn)

    def _insert(self, row: tuple[float, str, str, str, str]) -> None:
        sql = "INSERT OR IGNORE INTO messages (at, name, text, via, key) VALUES (?, ?, ?, ?, ?)"
        newest = self._db.execute(sql, row).lastrowid or 0
        if newest % 100 == 0:
            self._db.execute("DELETE FROM messages WHERE id <= ?", (newest - KEPT,))

    def _after(self, seen: int, first: str) -> list[tuple[int, str]]:
        names = ("id", "at", "name", "text", "via", "key")
        sql = f"SELECT {', '.join(names)} FROM messages WHERE id > ? ORDER BY id {first} LIMIT ?"  # noqa: S608
        rows = sorted(self._db.execute(sql, (seen, RECENT)))
        return [(row[0], json.dumps({"type": "message"} | dict(zip(names, row, strict=True)))) for row in rows]

    async def add(self, *, name: str, text: str, via: str, key: str) -> None:
        """Write one message; a `key` that is there already changes nothing."""
        await self._run(lambda: self._insert((time.time(), name, text, via, key)))

    async def after(self, seen: int) -> list[tuple[int, str]]:
        """The newest RECENT messages with a number above `seen`, the oldest first: (number, JSON object)."""
        return await self._run(lambda: self._after(seen, "DESC"))

    async def next_after(self, seen: int) -> list[tuple[int, str]]:
        """The RECENT messages that come right after number `seen`: call it again with the last one for more."""
        return await self._run(lambda: self._after(seen, "ASC"))

    async def newest(self) -> int:
        """The number of the newest message; 0: there is none."""
        return await self._run(lambda: int(self._db.execute("SELECT coalesce(max(id), 0) FROM messages").fetchone()[0]))

    async def data_version(self) -> int:
        """A number that changes whenever *another* connection has written (SQLite: PRAGMA data_version)."""
        return await self._run(lambda: int(self._db.execute("PRAGMA data_version").fetchone()[0]))


class TooSlowError(Exception):
    """A reader is more messages behind than are kept in memory."""


class Room:
    """The newest messages, and the one task that looks for more.

    There is no queue per client: each client remembers the number it has seen and takes what is newer from
    the one bounded list here. So a slow reader costs nothing and holds nobody up; when the list has moved on
    past it, it is dropped.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self._recent: collections.deque[tuple[int, str]] = collections.deque(maxlen=RECENT)
        self._more = trio.Event()  # set, and replaced, when a message has come
        self._written = trio.Event()  # set, and replaced, when this process has written one

    async def say(self, *, name: str, text: str, via: str, key: str) -> None:
        """Write a message. It comes back to everyone, its author too, by way of the file: one order for all."""
        await self.history.add(name=name, text=text, via=via, key=key)
        self._written.set()

    async def watch(self) -> None:
        """Look for new rows, our own at once and other processes' every POLL seconds, until cancelled."""
        version = None
        while True:
            ours, self._written = self._written.is_set(), trio.Event()
            try:
                before, version = version, await self.history.data_version()
                if ours or version != before:
                    self._show(await self.history.after(self.newest))
            except sqlite3.Error as error:
                print(f"chat: cannot read the history, trying again: {error}", file=sys.stderr, flush=True)
                version = None
                await trio.sleep(1)
            with trio.move_on_after(POLL):
                await self._written.wait()

    def _show(self, rows: list[tuple[int, str]]) -> None:
        if rows:
            self._recent.extend(rows)
            self._more.set()
            self._more = trio.Event()

    @property
    def newest(self) -> int:
        """The number of the newest message in memory; 0: none yet."""
        return self._recent[-1][0] if self._recent else 0

    async def since(self, seen: int) -> AsyncGenerator[tuple[int, str], None]:
        """Every message after number `seen`, as they come; for a newcomer (0) the RECENT newest, and what follows.

        Raises TooSlowError for who fell behind too far: coming back with the last number, they miss nothing.
        """
        if seen > await self.history.newest():
            seen = 0  # the page has been open since before somebody removed the file: its number means nothing here
        rows = await (self.history.next_after(seen) if seen else self.history.after(seen))
        while rows:
            for row in rows:
                seen = row[0]
                yield row
            rows = await self.history.next_after(seen)
        while True:
            while self.newest <= seen:
                await self._more.wait()
            if len(self._recent) == RECENT and self._recent[0][0] > seen + 1:
                raise TooSlowError
            for row in [row for row in self._recent if row[0] > seen]:
                seen = row[0]
                yield row
