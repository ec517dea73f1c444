"""`frontdoor upgrade` replaces the keeper's code, too: the process stays, with all that it has."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from e2e.codebase import Codebase
from e2e.crowded import door_pid
from e2e.harness import Client, Frontdoor, until
from e2e.shared import Shared
from frontdoor import __version__


@pytest.fixture
def code() -> Iterator[Codebase]:
    with closing(Codebase()) as it:
        yield it


@pytest.fixture
def door(prepare: Callable[..., Frontdoor], code: Codebase) -> Frontdoor:
    """It runs that copy of the code."""
    return prepare().start(PYTHONPATH=code.path)


@pytest.fixture(scope="module")
def shared_code() -> Iterator[Codebase]:
    """A copy in which a trial is given up soon."""
    with closing(Codebase()) as it:
        it.replace("keeper/renewal.py", r"TRIED_WITHIN = 15\.0", "TRIED_WITHIN = 4.0")
        it._before.clear()
        yield it


@pytest.fixture(scope="module")
def shared(shared_code: Codebase) -> Iterator[Shared]:
    """It runs that."""
    with closing(Shared(env={"PYTHONPATH": shared_code.path})) as frontdoor:
        yield frontdoor


def held(door: Frontdoor) -> dict[str, int]:
    """What the keeper has open, by kind: sockets, pipes and so on."""
    found: dict[str, int] = {}
    for name in os.listdir(f"/proc/{door.pid}/fd"):
        kind = re.sub(r"\d+", "N", os.readlink(f"/proc/{door.pid}/fd/{name}"))
        found[kind] = found.get(kind, 0) + 1
    return found


def of_age(door: Frontdoor) -> Client:
    """A client whose connection the keeper has, too."""
    before = held(door)["socket:[N]"]
    client = door.connect()
    assert client.ask("hello") == "hello"
    until(lambda: held(door)["socket:[N]"] == before + 2, "the keeper has its two sockets")
    return client


def runs(door: Frontdoor) -> list[str]:
    """The keeper's command line."""
    with open(f"/proc/{door.pid}/cmdline") as file:
        return file.read().split("\0")


def test_the_keeper_runs_the_new_code_and_is_the_same_process(door: Frontdoor, code: Codebase) -> None:
    client = of_age(door)
    backend = client.pid
    first = door.run("upgrade")
    assert first.returncode == 0, first
    before = held(door)

    code.replace("__init__.py", re.escape(f'"{__version__}"'), '"9.9.9"')
    done = door.run("upgrade")
    assert done.returncode == 0, done
    assert "The keeper was renewed, and runs the code of 9.9.9" in done.stdout + done.stderr
    (_, said) = door.logged("upgrade.finished")
    assert (said["from"], said["to"], said["keeper"]) == (__version__, "9.9.9", "9.9.9")
    assert "--resume" in runs(door)

    assert client.ask("still here") == "still here"
    assert client.pid == backend
    until(lambda: held(door) == before, "it has open what it had")
    os.kill(door_pid(door), signal.SIGKILL)
    assert client.ask("and after a crash") == "and after a crash"
    door.signal(signal.SIGTERM)
    door.hang_up()
    assert door.ends() == 0


BROKEN = {
    "syntax error": ("def (:", "exit code 1", "SyntaxError"),
    "import error": ("import nobody_has_this", "exit code 1", "No module named 'nobody_has_this'"),
    "hangs": ("import time; time.sleep(1000)", "did not pass its trial within 4 s", ""),
    "crashes": ("import os; os.abort()", "signal 6", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_code_of_the_keeper_alone_changes_nothing(
    anew: Callable[..., Shared], shared_code: Codebase, what: str
) -> None:
    broken, how, said = BROKEN[what]
    door, code = anew(), shared_code
    client = of_age(door)
    door.excused.add("Traceback")
    before, process, began = held(door), door_pid(door), runs(door)
    code.begin_with("keeper/keeper.py", broken)  # no door process imports that
    done = door.run("upgrade")
    assert done.returncode == 1, done
    assert "the keeper's new code did not pass its trial" in done.stderr
    assert how in done.stderr
    assert said in done.stderr
    assert "v1#1 serves, as before" in done.stderr
    assert (held(door), door_pid(door), runs(door)) == (before, process, began)
    assert client.ask("as before") == "as before"
    door.logs("upgrade.failed")

    code.mend()
    assert door.run("upgrade").returncode == 0


def test_code_that_breaks_between_the_trial_and_the_renewal_is_said(door: Frontdoor, code: Codebase) -> None:
    """The door process is a new one by then, and serves: the upgrade has worked, but for the keeper."""
    path = f"{code.path}/frontdoor/keeper/keeper.py"
    code.end_with("door/upgrade.py", f"import os\nif os.path.exists({path + '.later'!r}): _SETTLED = 2.0")
    with open(path) as file:
        good = file.read()
    with open(f"{path}.later", "w") as file:
        file.write("def (:\n")
    client = door.connect()
    door.excused.add("Traceback")
    before = door_pid(door)
    upgrade = door.begin("upgrade")
    until(lambda: door_pid(door) != before, "the new one serves")
    os.rename(f"{path}.later", path)
    done = upgrade.ended()
    assert done.returncode == 0, done
    said = done.stdout + done.stderr
    assert f"The keeper still runs the code of {__version__}, not renewed: the keeper's new code did not pass" in said
    (event,) = door.logged("upgrade.finished")
    assert "SyntaxError" in "\n".join(event["output"])
    assert client.ask("as ever") == "as ever"
    assert "--resume" not in runs(door)
    with open(path, "w") as file:
        file.write(good)
    assert "The keeper was renewed" in door.run("upgrade").stdout
