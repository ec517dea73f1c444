"""Keeping the reports: they are written in a thread, one after the other, and nobody waits for that.

What the disk does not take is kept in memory, packed, and shown from there; it is tried again with the next report.
"""

import json
import os
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import trio

from frontdoor.door.report_folder import KEPT, Folder, Summary
from frontdoor.observe.logs.log import Log
from frontdoor.observe.reports.encoding import as_json, decode, encode
from frontdoor.observe.reports.report import Report

FOLDER = "swaps"
"""In ``state_dir``."""

MOST_SAID = 1000
"""Different things that are wrong with files, of which it is remembered that they were said."""

Key = tuple[str, int]
"""Of a report: the door, and the number of the swap."""

T = TypeVar("T")


class ReportFiles:
    """The folder, and what could not be written there."""

    def __init__(self, state_dir: str, log: Log) -> None:
        self._folder = Folder(os.path.join(os.path.abspath(state_dir), FOLDER))
        self._log = log
        self._waiting: dict[Key, Report] = {}
        """To be written, as they are then."""
        self._unwritten: dict[Key, bytes] = {}
        """Packed: those that the disk has not taken."""
        self._begun: set[Key] = set()
        """Of what is followed now: it has a file."""
        self._wake = trio.Event()
        self._idle = trio.Event()
        self._idle.set()
        self._said: set[str] = set()
        self._disk = trio.CapacityLimiter(1)
        """Of its own: a hung disk takes no thread from anybody else, and who reads does not meet who writes."""

    def __repr__(self) -> str:
        return f"<ReportFiles {self._folder}: {len(self._waiting)} waiting, {len(self._unwritten)} not written>"

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, report: Report) -> None:
        """Write it soon. Who is put again before that is written once."""
        self._waiting[report.door, report.number] = report
        _bound(self._waiting, report.door)
        if self._idle.is_set():
            self._idle = trio.Event()
        self._wake.set()

    async def settled(self) -> None:
        """Wait until all that was put is written, or could not be."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write what there is to write, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            while self._waiting:
                key = next(iter(self._waiting))
                report = self._waiting.pop(key)
                try:
                    await self._write(key, report, encode(report))
                except Exception as error:  # whatever is wrong with one report: all else goes on
                    self._log.error("report.broken", door=key[0], error=repr(error), reason="it is not kept")
            self._idle.set()

    async def _write(self, key: Key, report: Report, values: dict[str, Any]) -> None:
        first = key not in self._begun
        try:
            await self._in_thread(lambda: self._to_disk(key, values, first=first))
        except OSError as error:
            packed = await self._in_thread(lambda: zlib.compress(as_json(values)))
            self._unwritten.pop(key, None)
            self._unwritten[key] = packed
            _bound(self._unwritten, key[0])
            reason = f"{self._folder.path}: {error.strerror or error}"
            if self._is_news(reason):
                why = f"it is kept in memory, as the last {KEPT} of each door are, and written when that can be done"
                self._log.error("report.not_written", door=key[0], swap=key[1], error=reason, reason=why)
            return
        self._said = {said for said in self._said if not said.startswith(f"{self._folder.path}: ")}
        self._unwritten.pop(key, None)
        if report.ended is None:
            self._begun.add(key)
        else:
            self._begun.discard(key)

    def _to_disk(self, key: Key, values: dict[str, Any], *, first: bool) -> None:
        """In a thread. First what could not be written before: it is older, and goes before this one."""
        for other, packed in list(self._unwritten.items()):
            if other != key:
                self._folder.write(*other, zlib.decompress(packed))
                self._unwritten.pop(other, None)
        self._folder.write(*key, as_json(values) + b"\n")
        if first:
            self._folder.remove_old(key[0])

    # -- reading ----------------------------------------------------------------------------------------------------

    async def read(self, door: str, number: int) -> Report | None:
        """The report as it was kept last; None: there is none that could be used."""
        packed = self._unwritten.get((door, number))
        if packed is not None:
            return await self._in_thread(lambda: _unpack(packed))
        return await self._in_thread(lambda: self._folder.read(door, number))

    async def summaries(self, door: str) -> dict[int, Summary]:
        """Number → summary, of all that are kept."""
        unwritten = {number: packed for (of, number), packed in list(self._unwritten.items()) if of == door}
        found = await self._in_thread(lambda: self._folder.summaries(door))
        for number, packed in unwritten.items():
            found[number] = (await self._in_thread(partial(_unpack, packed))).summary()
        return found

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._disk)
        finally:
            while self._folder.problems:
                path, why = self._folder.problems.pop()
                if self._is_news(f"{path} {why}"):
                    self._log.warning("report.unusable", file=path, reason=f"it is left out: {why}")

    def _is_news(self, what: str) -> bool:
        if len(self._said) >= MOST_SAID:
            self._said.clear()
        news = what not in self._said
        self._said.add(what)
        return news


def _unpack(packed: bytes) -> Report:
    return decode(json.loads(zlib.decompress(packed)))


def _bound(kept: dict[Key, Any], door: str) -> None:
    """Of that door the last ones only."""
    for key in [key for key in kept if key[0] == door][:-KEPT]:
        del kept[key]
