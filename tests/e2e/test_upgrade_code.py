"""The code on disk, when it is upgraded to or a crash finds it: broken, hanging, newer. One frontdoor and one crowd."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from e2e.codebase import Codebase
from e2e.crowded import (
    APP,
    SOME,
    Beside,
    backends,
    crowd_beside,
    door_pid,
    door_processes,
    kill_9,
    random_seed,
    the_ledger_adds_up,
    upgrade,
)
from e2e.harness import Client, Frontdoor, config, until

IMPATIENT = r"(6.0 if __import__('os').path.exists('impatient') else \1_WITHIN)"
"""Seconds until an upgrade is given up: few, when there is a file of that name where the keeper runs."""

CRASHES = 3
"""Of the frontdoor that many of these tests share."""


@pytest.fixture(scope="module")
def code() -> Iterator[Codebase]:
    with closing(Codebase()) as code:
        # Whoever hangs is waited for: not half a minute where a test knows that. On a busy machine the others need it.
        code.change("keeper/upgrade.py", lambda text: re.sub(r"(?<=\+ )(READY|SERVED)_WITHIN", IMPATIENT, text))
        code._before.clear()
        yield code


@pytest.fixture(scope="module")
def busy(code: Codebase) -> Iterator[tuple[Frontdoor, Beside]]:
    """A frontdoor that runs that code, and a crowd that is there through all of these tests."""
    with closing(Frontdoor(config(**APP))) as door:
        door.excused.add("Traceback")  # in the log, as the reason why an upgrade has failed
        door.start(PYTHONPATH=code.path)
        with crowd_beside(door, SOME, random_seed(), size=0) as crowd:
            yield door, crowd
        assert the_ledger_adds_up(door).get("lost", 0) <= CRASHES * SOME.visitors, "only who was too young"


SLOW_RESTORE = """
_restore = restore
def restore(*args):
    open("restoring", "w").close()
    while not __import__("os").path.exists("go on"):
        __import__("time").sleep(0.01)
    return _restore(*args)
"""

WAITS = "while not __import__('os').path.exists('go on'): __import__('time').sleep(0.01)"


@contextmanager
def restoring_slowly(code: Codebase, door: Frontdoor) -> Iterator[None]:
    """With code that makes a file "restoring", and then waits for one that is called "go on"."""
    code.end_with("door/restore.py", SLOW_RESTORE)
    try:
        yield
    finally:
        code.mend()
        for name in ("restoring", "go on"):
            with suppress(FileNotFoundError):
                os.unlink(door.path(name))


HANG = "__import__('time').sleep(60)"
KILL = "__import__('os').kill(__import__('os').getpid(), 9)"
LEAVE = "__import__('os')._exit(0)"

BROKEN: dict[str, tuple[Callable[[Codebase], None], str]] = {
    "a syntax error": (lambda code: code.begin_with("door/process.py", "def ("), "SyntaxError"),
    "an import error": (lambda code: code.begin_with("door/doors.py", "import there_is_no_such"), "there_is_no_such"),
    "a name that is gone": (lambda code: code.replace("policy/ledger.py", "class Ledger:", "class L:"), "ImportError"),
    "exits at once": (lambda code: code.begin_with("door/__main__.py", "raise SystemExit(3)"), "3"),
    "leaves as if all were done": (lambda code: code.begin_with("door/__main__.py", LEAVE), "0"),
    "is killed": (lambda code: code.begin_with("door/__main__.py", KILL), "signal 9|SIGKILL"),
    "hangs": (lambda code: code.begin_with("door/__main__.py", HANG), "not ready within"),
    "cannot restore": (lambda code: restoring(code, "1 / 0"), "ZeroDivisionError"),
    "is killed while it restores": (lambda code: restoring(code, KILL), "before it served"),
    "leaves while it restores": (lambda code: restoring(code, LEAVE), "before it served"),
    "hangs while it restores": (lambda code: restoring(code, HANG), "did not serve within"),
}
"""What is wrong with the new code: how it came about, and what `upgrade` says of it."""


def restoring(code: Codebase, does: str) -> None:
    """That is done instead of taking up what the old one has handed over."""
    code.end_with("door/restore.py", f"def restore(*_):\n    {does}")


@pytest.mark.parametrize("wrong", BROKEN)
def test_code_that_is_broken_changes_nothing(code: Codebase, busy: tuple[Frontdoor, Beside], wrong: str) -> None:
    door, crowd = busy
    spoil, said = BROKEN[wrong]
    before, pids = door_pid(door), backends(door)
    visits, cut = crowd.crowd.visits, crowd.crowd.cut
    if "hangs" in wrong:
        door.touch("impatient")
    spoil(code)
    try:
        failed = door.run("upgrade", within=60)
    finally:
        code.mend()
        with suppress(FileNotFoundError):
            os.unlink(door.path("impatient"))
    assert failed.returncode == 1, failed
    print(failed.stderr)
    assert re.search(said, failed.stderr), failed.stderr
    assert "v1#1 serves" in failed.stderr
    assert (door_pid(door), backends(door)) == (before, pids)
    until(lambda: door_processes(door) == {before}, "the new one is dead: it was sent SIGKILL, and may take a moment")
    crowd.has_seen_nothing()
    until(lambda: crowd.crowd.visits > visits, "who comes is served")
    assert crowd.crowd.cut == cut


def test_and_when_it_is_mended_it_is_taken(code: Codebase, busy: tuple[Frontdoor, Beside]) -> None:
    door, crowd = busy
    code.replace("__init__.py", r'__version__ = "[^"]*"', '__version__ = "99.1"')
    try:
        said = upgrade(door)
    finally:
        code.mend()
    assert "99.1" in said
    assert door.control.ask("/v1/status")["frontdoor"] == "99.1"
    crowd.has_seen_nothing()
    upgrade(door)
    crowd.has_seen_nothing()


def test_code_that_was_replaced_before_a_crash(code: Codebase, busy: tuple[Frontdoor, Beside]) -> None:
    """Somebody has installed it, and has not upgraded: the crash does."""
    door, crowd = busy
    code.replace("__init__.py", r'__version__ = "[^"]*"', '__version__ = "99.2"')
    try:
        kill_9(door)
    finally:
        code.mend()
    assert door.control.ask("/v1/status")["frontdoor"] == "99.2"
    crowd.has_seen_nothing()


def test_code_that_was_broken_before_a_crash(code: Codebase, busy: tuple[Frontdoor, Beside]) -> None:
    """Nobody is served until it is mended; and then it is as if nothing had been."""
    door, crowd = busy
    killed, pids = door_pid(door), backends(door)
    code.begin_with("door/process.py", "def (")
    try:
        os.kill(killed, signal.SIGKILL)
        until(lambda: door.log_text.count("SyntaxError") >= 2, "it was tried twice")
    finally:
        code.mend()
    until(door._serves, "another one serves")
    assert backends(door) == pids
    crowd.has_seen_nothing()


def test_a_config_that_is_not_valid_any_more(busy: tuple[Frontdoor, Beside]) -> None:
    door, crowd = busy
    before = door_pid(door)
    with open(door.path("config.toml")) as file:
        text = file.read()
    door.write(text + "\n[drian]\n")
    try:
        refused = door.run("upgrade")
    finally:
        door.write(text)
    assert refused.returncode in (1, 2), refused
    assert "drian" in refused.stderr
    assert door_pid(door) == before
    until(lambda: door_processes(door) == {before}, "the new one is dead")
    crowd.has_seen_nothing()


# -- in the middle of it ---------------------------------------------------------------------------------------------


def test_who_is_in_the_backlog_is_served(code: Codebase, busy: tuple[Frontdoor, Beside]) -> None:
    """Who comes while the one stands still, and the other does not serve yet."""
    door, crowd = busy
    with restoring_slowly(code, door):
        asked = door.begin("upgrade")
        until(lambda: os.path.exists(door.path("restoring")), "it is half-way")
        waiting = [Client(door.address) for _ in range(3)]
        for client in waiting:
            client.sock.sendall(b"GET /whoami HTTP/1.1\r\nHost: test\r\n\r\n")
            assert not client.has_ended()
        door.touch("go on")
        assert asked.ended().returncode == 0
    assert [client.hear() for client in waiting] == ["HTTP/1.1 200 OK\r"] * 3
    for client in waiting:
        client.close()
    crowd.has_seen_nothing()


@pytest.mark.parametrize("victim", ["old", "new"])
def test_kill_9_in_the_middle_of_the_hand_over(code: Codebase, busy: tuple[Frontdoor, Beside], victim: str) -> None:
    """The old one stands still, and the new one has everything and does not serve yet."""
    door, crowd = busy
    old, pids = door_pid(door), backends(door)
    with restoring_slowly(code, door):
        asked = door.begin("upgrade")
        until(lambda: os.path.exists(door.path("restoring")), "it is half-way")
        (new,) = door_processes(door) - {old}
        os.kill(old if victim == "old" else new, signal.SIGKILL)
        until(lambda: (old if victim == "old" else new) not in door.processes(), "it is dead")
        door.touch("go on")
        ended = asked.ended()
    until(door._serves, "it serves")
    assert (ended.returncode, door_pid(door)) == ((0, new) if victim == "old" else (1, old)), ended
    assert backends(door) == pids
    crowd.has_seen_nothing()
    upgrade(door)


def test_a_swap_during_an_upgrade_is_refused(code: Codebase, busy: tuple[Frontdoor, Beside]) -> None:
    door, crowd = busy
    before = backends(door)
    code.begin_with("door/__main__.py", WAITS)
    try:
        asked = door.begin("upgrade")
        door.logs("upgrade.started")
        old = door_pid(door)
        until(lambda: door_processes(door) - {old}, "there are two")
        for verb in (("swap", "v2"), ("reload",), ("upgrade",)):
            refused = door.run(*verb)
            assert refused.returncode == 5, refused
            assert "upgrade" in refused.stderr
        door.touch("go on")
        assert asked.ended().returncode == 0
    finally:
        code.mend()
        with suppress(FileNotFoundError):
            os.unlink(door.path("go on"))
    assert backends(door) == before
    crowd.has_seen_nothing()
