from __future__ import annotations

import signal

import pytest

from frontdoor.keeper.link import ChildReport
from frontdoor.processes.report import Report


def told(status: int | None, *, gone: bool = False) -> Report:
    report = Report()
    report.take(ChildReport("key", 1, None, status, gone))
    return report


async def test_running_exited_gone() -> None:
    report = Report()
    report.take(ChildReport("key", 1, None, None, gone=False))
    assert (report.exited.is_set(), report.gone.is_set()) == (False, False)
    report.take(ChildReport("key", 1, None, 0, gone=False))
    assert (report.exited.is_set(), report.gone.is_set()) == (True, False)
    report.take(ChildReport("key", 1, None, 0, gone=True))
    assert (report.exited.is_set(), report.gone.is_set(), report.status) == (True, True, 0)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (None, "is still running"),
        (0, "exited with code 0"),
        (127, "exited with code 127"),
        (-signal.SIGKILL, "was ended by SIGKILL"),
        (-signal.SIGRTMIN - 3, "was ended by signal 37"),
    ],
)
async def test_the_end_in_words(status: int | None, words: str) -> None:
    assert told(status).words() == words
