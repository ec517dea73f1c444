"""The folder of the reports: ``state_dir/swaps/DOOR-NNNNNN.json``, the last hundred of each door.

All of this blocks for as long as the disk does: it is called in a thread, by one at a time.
"""

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from frontdoor.door.state import make, replace
from frontdoor.observe.reports.encoding import Damaged, decode
from frontdoor.observe.reports.report import Report

KEPT = 100
"""Reports of a door that are kept."""

LARGEST_FILE = 1 << 20
"""Bytes that are read. The largest report has a tenth of it."""

LEFT_OVER = 3600.0
"""Seconds after which a file that was begun, and was never given its name, is nobody's any more."""

_NAME = re.compile(r"(?P<door>[A-Za-z][A-Za-z0-9_-]{0,31})-(?P<number>[0-9]{6,12})\.json(?P<new>\.new)?")

Summary = dict[str, Any]


class Folder:
    """Writes, reads and removes. Files that are no reports are left alone."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[tuple[str, str]] = []
        """Files that cannot be used, each with the reason: whoever has called says it, and takes it out."""
        self._summaries: dict[str, tuple[int, int, Summary | None]] = {}
        """Name → when it was changed, its size, what it says; None: it is damaged."""

    def __repr__(self) -> str:
        return f"<Folder {self.path}>"

    def write(self, door: str, number: int, data: bytes) -> None:
        """Write one, or replace it. Raises OSError."""
        make(os.path.dirname(self.path))
        with suppress(FileExistsError):
            os.mkdir(self.path, 0o700)
        replace(os.path.join(self.path, _name(door, number)), data)

    def remove_old(self, door: str) -> None:
        """Those beyond the hundred, by their last change: numbers begin anew when frontdoor's state was lost."""
        found = []
        for entry, unnamed in self._files(door):
            with suppress(OSError):
                changed = entry.stat(follow_symlinks=False).st_mtime_ns
                if not unnamed:
                    found.append((changed, entry.name))
                elif time.time() - changed / 1e9 > LEFT_OVER:
                    os.unlink(entry.path)
        for _, name in sorted(found)[:-KEPT]:
            with suppress(OSError):
                os.unlink(os.path.join(self.path, name))

    def read(self, door: str, number: int) -> Report | None:
        """That report; None: there is none that could be used."""
        name = _name(door, number)
        path = os.path.join(self.path, name)
        try:
            report = decode(json.loads(_content(path)))
            if (report.door, report.number) != (door, number):
                raise Damaged(f"it is the report of swap {report.number} of the door {report.door}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.problems.append((path, error.strerror or str(error)))
        except (Damaged, ValueError, RecursionError) as error:
            self.problems.append((path, str(error)))
        else:
            return report
        return None

    def summaries(self, door: str) -> dict[int, Summary]:
        """Number → summary of all reports of a door. One that has not changed is not read again."""
        known: dict[str, tuple[int, int, Summary | None]] = {}
        for entry, unnamed in self._files(door):
            match = _NAME.fullmatch(entry.name)
            if unnamed or match is None:
                continue
            with suppress(OSError):
                now = entry.stat(follow_symlinks=False)
                before = self._summaries.get(entry.name)
                if before is None or before[:2] != (now.st_mtime_ns, now.st_size):
                    began = time.thread_time()
                    report = self.read(door, int(match["number"]))
                    before = now.st_mtime_ns, now.st_size, None if report is None else report.summary()
                    time.sleep(time.thread_time() - began)  # the relay has its turn: there may be a hundred of them
                known[entry.name] = before
        for name in [name for name in self._summaries if _is_of(name, door)]:
            del self._summaries[name]
        self._summaries |= known
        return {summary["number"]: summary for _, _, summary in known.values() if summary is not None}

    def _files(self, door: str) -> Iterator[tuple[os.DirEntry[str], bool]]:
        """The files of that door, each with whether it was never given its name."""
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    match = _NAME.fullmatch(entry.name)
                    if match and match["door"] == door and entry.is_file(follow_symlinks=False):
                        yield entry, match["new"] is not None
        except OSError:
            return  # there is none yet; or it cannot be read, which whoever writes will say


def _name(door: str, number: int) -> str:
    return f"{door}-{number:06}.json"


def _is_of(name: str, door: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and match["door"] == door


def _content(path: str) -> bytes:
    """Raises OSError, and ValueError for what is no file or too large."""
    # Non-blocking: it may be a FIFO that nobody ever writes to.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with open(fd, "rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError("it is too large to be a report")
    return data
