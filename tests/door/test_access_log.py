"""What the access log is told of a request, and where it goes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace as Some
from typing import Any, cast

import pytest

from door.under_way import a_request
from frontdoor.door.access_log import DoorAccessLog
from frontdoor.observe.logs.log import Log
from frontdoor.policy.generation import Generation, Seat
from frontdoor.policy.ledger import Reason

SEAT = Seat(Generation("v2", 9, 0.0), 0, "")


@pytest.fixture
def log() -> DoorAccessLog:
    return DoorAccessLog("main", Log(format="json"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_request_is_told_from_its_beginning_to_its_end(log: DoorAccessLog, tmp_path: Path) -> None:
    assert log.direct(str(tmp_path / "log"))
    began = time.monotonic() - 2.0
    known = {"began": began, "seated": began + 0.5, "dialled": began + 0.75, "first_byte": began + 1.0}
    over = {"ended": began + 1.5, "reason": Reason.ANSWERED, "status": 404, "up_bytes": 3, "down_bytes": 4}
    log(a_request("/a?b", SEAT, **known, **over))
    log.close(10.0)
    (line,) = lines(tmp_path / "log")
    assert line["ms"] == {"queue": 500.0, "dial": 250.0, "first_byte": 1000.0, "total": 1500.0}
    assert (line["status"], line["bytes"], line["ended"]) == (404, {"up": 3, "down": 4}, "answered")
    assert (line["path"], line["query"], line["client"]) == ("/a", "b", "192.0.2.7:51234")
    assert (line["door"], line["version"], line["generation"]) == ("main", "v2", "v2#9")
    assert "forwarded_for" not in line


def test_one_that_goes_on_as_a_stream_and_one_that_had_no_backend(log: DoorAccessLog, tmp_path: Path) -> None:
    log.direct(str(tmp_path / "log"))
    now = time.monotonic()
    log(a_request("/chat", SEAT, began=now, seated=now, first_byte=now, status=101))
    # It was about to be dialled when the process had gone: that is no time that a backend took.
    log(a_request("/", began=now, seated=now, ended=now, status=503, reason=Reason.NO_BACKEND))
    log.close(10.0)
    chat, none = lines(tmp_path / "log")
    assert chat["ended"] == "switched_protocols"
    assert 0 <= chat["ms"]["total"] < 10_000
    assert (none["ended"], none["generation"], none["ms"]["queue"]) == ("no_backend", None, None)


def test_what_a_proxy_has_said_is_told_if_it_is_believed(log: DoorAccessLog, tmp_path: Path) -> None:
    log.direct(str(tmp_path / "log"))
    for trusted in (False, True):
        request = a_request("/", SEAT, ended=2.0, status=200, reason=Reason.ANSWERED)
        request.head.known[b"x-forwarded-for"] = b"203.0.113.9"
        cast(Any, request.visitor).client = Some(trusted=trusted)
        log(request)
    log.close(10.0)
    assert [line.get("forwarded_for") for line in lines(tmp_path / "log")] == [None, "203.0.113.9"]


def test_what_was_no_request_is_told_as_far_as_it_is_known(log: DoorAccessLog, tmp_path: Path) -> None:
    log.direct(str(tmp_path / "log"))
    log.refused(cast(Any, Some(address="")), 431, 120)
    log.close(10.0)
    (line,) = lines(tmp_path / "log")
    assert (line["status"], line["ended"], line["client"]) == (431, "bad_request", "unix")
    assert (line["bytes"], line["ms"]["total"]) == ({"up": 0, "down": 120}, 0.0)


def test_it_goes_where_the_config_says_last(log: DoorAccessLog, tmp_path: Path) -> None:
    request = a_request("/", SEAT, ended=2.0, status=200, reason=Reason.ANSWERED)
    log(request)  # nowhere
    log.refused(cast(Any, Some(address="")), 400, 0)
    one, other = tmp_path / "one", tmp_path / "other"
    for path in (one, one, other, one):
        assert log.direct(str(path))
        log(request)
    assert not log.direct("")
    log(request)
    deadline = time.monotonic() + 10  # a file that is left is written by its thread, which nobody waits for
    while not (one.exists() and other.exists() and (len(lines(one)), len(lines(other))) == (3, 1)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert repr(log) == "<DoorAccessLog of main to None>"


def test_only_a_file_is_opened_once_more(log: DoorAccessLog, tmp_path: Path) -> None:
    assert not log.reopen()
    log.direct("-")
    assert not log.reopen()
    log.direct(str(tmp_path / "log"))
    assert log.reopen()
    log.close(10.0)


def test_what_cannot_be_written_is_said_in_the_other_log(tmp_path: Path) -> None:
    read, write = os.pipe()
    path = tmp_path / "nowhere" / "log"
    other = Log(format="json", fd=write)
    log = DoorAccessLog("main", other)
    log.direct(str(path))
    log.close(10.0)
    other.close()
    said = json.loads(os.read(read, 10_000))
    assert (said["event"], said["level"], said["door"]) == ("access_log.failed", "error", "main")
    assert (said["file"], said["reason"]) == (str(path), "it cannot be opened: No such file or directory")
    os.close(read)
    os.close(write)


def test_lines_that_were_lost_are_counted_wherever_they_were_to_go(log: DoorAccessLog, tmp_path: Path) -> None:
    for path in ("/dev/full", str(tmp_path / "nowhere" / "log")):
        log.direct(path)
        log(a_request("/", SEAT, ended=2.0, status=200, reason=Reason.ANSWERED))
        log.close(10.0)
    assert log.dropped == 2
    log.direct("")
    assert log.dropped == 2
