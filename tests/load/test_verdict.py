import json
from typing import Any

import pytest

from load.gauge import MB, Gauge
from load.verdict import BAD_WORDS, Reading, complaints, fattened, grown, unaccounted

GAUGE = Gauge({"pipe": 2}, threads=1, children=1, resident=50 * MB)
READING = Reading(GAUGE, GAUGE, files=3)


def test_more_files_than_before_are_left_behind() -> None:
    assert grown(READING, READING) == []
    assert grown(READING, Reading(GAUGE, GAUGE, files=4)) == ["files in the runtime folder: 3 before, 4 after"]


@pytest.mark.parametrize(
    ("connections", "allowed", "gain", "is_too_much"),
    [
        (100_000, 1, 0.9, False),
        (100_000, 1, 1.1, True),
        (200_000, 1, 1.9, False),
        (200_000, 1, 2.1, True),
        (100, 1, 0.9, False),
        (100, 4, 3.9, False),
        (100, 4, 4.1, True),
    ],
)
def test_memory_may_grow_by_so_much(connections: int, allowed: float, gain: float, is_too_much: bool) -> None:
    fatter = Gauge({}, 1, 1, GAUGE.resident + int(gain * MB))
    assert bool(fattened(READING, Reading(GAUGE, fatter, 3), connections, allowed)) is is_too_much
    assert bool(fattened(READING, Reading(fatter, GAUGE, 3), connections, allowed)) is is_too_much


def status(accepted: int, pid: int = 7, **ended: int) -> dict[str, Any]:
    return {"door_pid": pid, "streams": {"accepted": accepted, "open": 0, "ended": ended}}


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (status(30, client_closed=20, backend_closed=5, client_reset=5), ""),
        (status(29, client_closed=29), "19 accepted, and there were 20 clients"),
        (status(30, client_closed=29), "does not add up"),
        (status(30, client_closed=29, backend_gone=1), "1 ended by backend_gone"),
        (status(30, client_closed=30, pid=8), "the door process has died"),
    ],
)
def test_every_stream_is_accounted_for(after: dict[str, Any], said: str) -> None:
    found = unaccounted(status(10, client_closed=10), after, 20)
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_what_nobody_wants_to_read_is_found_in_the_log() -> None:
    fine = [
        {"event": "swap.failed", "level": "error"},
        {"event": "output", "line": BAD_WORDS},
    ]
    bad = ["Traceback (most recent call last):", "[1]", '{"event": "swap.broken"}', '{"event": "output", "line": "!"}']
    log = "\n".join([*map(json.dumps, fine), *bad])
    assert complaints(log) == [f"in the log: {line}" for line in bad]
