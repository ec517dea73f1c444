"""``frontdoor stop``: and wait until it has."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Any

import click

from frontdoor.cli.call import Call, whole_verb
from frontdoor.cli.output import complain, outcome, outcome_json, progress
from frontdoor.control.dial import Broken, ControlError, NotRunning, connect
from frontdoor.control.wording import count

if TYPE_CHECKING:
    from frontdoor.control.client import Client

LOOK = 0.05  # seconds between two looks whether it is gone
TELL = 2.0  # seconds between two lines about what it waits for
LEAVE = 5.0  # seconds from the end of its socket to the end of its process


@click.command()
@click.option("--now", is_flag=True, help="At once: what is open is cut.")
@whole_verb
def stop(call: Call, now: bool) -> int:
    """Stop serving: accept no more, let streams finish until drain.shutdown_timeout, then leave."""
    client = call.client()
    pid = client.ask("/v1/status").get("pid")
    process = _open_process(pid)
    try:
        answer = _tell(client, now)
        if not call.json:
            progress("stopping at once" if now else "stopping: what is open may finish")
        _wait(client, process)
    except KeyboardInterrupt:
        progress("stopped watching; the stop itself goes on")
        raise
    finally:
        if process is not None:
            os.close(process)
    if call.json:
        outcome_json({**answer, "pid": pid, "result": "stopped", "exit_code": 0})
    else:
        outcome("frontdoor has stopped")
    return 0


def _tell(client: Client, now: bool) -> dict[str, Any]:
    """Ask for the stop; the answer. To ask twice does no harm."""
    for _ in range(2):
        try:
            return client.tell("/v1/stop", {"now": now})
        except Broken:
            continue  # the door process died, perhaps before it heard: its successor is at the same socket
        except NotRunning:
            break  # told to stop at once, it was gone before it had answered
    return {}


def _open_process(pid: Any) -> int | None:
    """Return a pidfd: unlike the number it cannot come to mean another process."""
    if not isinstance(pid, int) or pid <= 0:
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # in another container: then its socket says when it is gone


def _wait(client: Client, process: int | None) -> None:
    told, told_at = -1, time.monotonic()
    gone_at: float | None = None
    while not _has_ended(process):
        if not _is_gone(client.path):
            gone_at = None  # it was too busy to answer, no more
        elif gone_at is None:
            gone_at = time.monotonic()
        if gone_at is not None:
            # A pid of another container's may be anybody here: the socket has the last word.
            if process is None or time.monotonic() - gone_at > LEAVE:
                return
        elif time.monotonic() - told_at > TELL:
            told_at = time.monotonic()
            told = _tell_open(client, told)
        time.sleep(LOOK)


def _has_ended(process: int | None) -> bool:
    if process is None:
        return False
    poll = select.poll()
    poll.register(process, select.POLLIN)  # a pidfd is readable when its process has ended: pidfd_open(2)
    return bool(poll.poll(0))


def _is_gone(path: str) -> bool:
    try:
        connect(path).close()
    except NotRunning:
        return True
    except ControlError as error:
        complain(str(error))
        return True
    return False


def _tell_open(client: Client, told: int) -> int:
    """Say how many streams it waits for, if that has changed."""
    try:
        doors = client.get("/v1/status", patience=0)[1].get("doors", [])
        streams = sum(door["streams"]["open"] for door in doors)
    except (ControlError, KeyError, TypeError):
        return told  # it is leaving: the next look will see
    if streams != told:
        progress(f"waiting for {count(streams, 'stream')}")
    return int(streams)
