"""What outlives frontdoor: what each door serves, and the numbers that are never given again."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from e2e.doors import OneDoor, Several, config_of
from e2e.harness import Frontdoor, greeter

Serve = Callable[..., Frontdoor]


def stop(door: Frontdoor) -> None:
    door.hang_up()
    door.signal(signal.SIGTERM)
    assert door.ends() == 0


def kill(door: Frontdoor) -> None:
    door.hang_up()
    door.signal(signal.SIGKILL)
    assert door.ends() == -signal.SIGKILL


# -- what a restart makes of it ---------------------------------------------------------------------------------------

BEFORE: dict[str, dict[str, Any]] = {
    "swapped": {},
    "twice": {},
    "untouched": {},
    "changed": {},
    "gone": {"backends": {"*": None, "v1": {"command": greeter()}, "v2": {"command": greeter()}}},
    "broken": {},
    "renumbered": {},
}
"""Doors that are swapped to v2, and then frontdoor is started again."""

AFTER = {
    **BEFORE,
    "changed": {"active": "v3"},
    "gone": {"backends": {"*": None, "v1": {"command": greeter()}}},
    "broken": {"backends": {"v2": {"command": greeter("--say", "no database", "--exit", "3")}}},
}
"""Their configs then."""


@pytest.fixture(scope="module", params=[stop, kill], ids=["a stop", "kill -9"])
def again(request: pytest.FixtureRequest) -> Iterator[Several]:
    """Each door was swapped to v2 (but for one); then frontdoor was ended, its config changed, and it was started."""
    with closing(Several(config_of(BEFORE))) as frontdoor:
        frontdoor.start()
        for name in BEFORE:
            if name != "untouched":
                frontdoor.door(name).swap("v2")
        frontdoor.door("twice").swap("v3")
        request.param(frontdoor)
        frontdoor.write(config_of(AFTER))
        yield frontdoor.start()


def said_of(door: OneDoor) -> list[str]:
    return [entry["reason"] for entry in door.logged("state.active")]


def test_a_swap_survives(again: Several) -> None:
    door = again.door("swapped")
    assert door.connect().generation == "v2#3", "and no generation has a number that another one had"
    assert said_of(door) == ['v2 serves, as a swap has decided; the config says `active = "v1"`']
    shown = door.run("status").stdout
    assert "previous: v1 (a rollback starts it again)" in shown
    assert door.rollback().startswith("v1#4 is active")


def test_the_last_of_two_swaps_survives(again: Several) -> None:
    door = again.door("twice")
    assert door.connect().generation == "v3#4"
    assert door.status()["previous"] == "v2"


def test_where_nothing_was_swapped_nothing_is_said(again: Several) -> None:
    door = again.door("untouched")
    assert door.connect().generation == "v1#2"
    assert said_of(door) == []
    assert door.status()["previous"] is None


def test_the_key_that_was_changed_wins(again: Several) -> None:
    door = again.door("changed")
    assert door.connect().generation == "v3#3"
    assert said_of(door) == ['v2 was active; `active` in the config has been changed to "v3" since: v3 serves']
    assert door.status()["previous"] == "v2", "what was live right before"
    assert door.rollback().startswith("v2#4 is active")


def test_a_version_that_is_not_in_the_config_any_more(again: Several) -> None:
    door = again.door("gone")
    assert door.connect().generation == "v1#3"
    assert said_of(door) == ["v2 was active and is not in the config any more: v1 serves"]


def test_a_version_that_does_not_become_ready_any_more(again: Several) -> None:
    door = again.door("broken")
    assert door.connect().generation == "v1#4", "v2#3 was tried"
    (failed,) = door.logged("swap.failed")
    assert (failed["generation"], failed["output"]) == ("v2#3", ["no database"])
    assert failed["reason"] == "it did not become ready: it exited with code 3 before it was ready"
    assert door.status()["state"] == "serving"
    assert not door.status()["trouble"]


def test_the_numbers_of_swaps_go_on_too(again: Several) -> None:
    door = again.door("renumbered")
    outcome = again.outcome("/v1/doors/renumbered/swap", {"version": "v3"})
    assert outcome["swap"] == 2
    assert door.connect().generation == "v3#4"


def test_what_does_not_become_ready_is_tried_again_at_the_next_start() -> None:
    doors: dict[str, dict[str, Any]] = {"swapped": {}, "changed": {"active": "v2"}}
    bad = {"backends": {version: {"command": ["false"]} for version in ("v3", "v4")}}
    with closing(Several(config_of({**doors, "swapped": {"active": "v2"}}))) as frontdoor:
        swapped, changed = frontdoor.door("swapped"), frontdoor.door("changed")
        frontdoor.start()
        swapped.swap("v1")
        swapped.swap("v3")
        stop(frontdoor)
        frontdoor.write(config_of({"swapped": {"active": "v2", **bad}, "changed": {"active": "v4", **bad}}))

        frontdoor.start()
        assert swapped.logs("swap.failed")["generation"] == "v3#4"
        assert swapped.connect().generation == "v2#5", "the config's"
        assert changed.logs("swap.failed")["generation"] == "v4#2"
        assert changed.connect().generation == "v2#3", "what served last"
        assert said_of(changed)[-1:] == [
            'v2 was active; `active` in the config has been changed to "v4" since: v4 serves'
        ]
        stop(frontdoor)
        with open(frontdoor.path("run/state.json")) as file:
            known = json.load(file)["doors"]
        assert {name: known[name]["active"] for name in doors} == {"swapped": "v3", "changed": "v2"}

        frontdoor.write(config_of({"swapped": {"active": "v2"}, "changed": {"active": "v4"}}))
        frontdoor.start()
        assert frontdoor.connect_to(swapped.status()["listen"][0]).generation == "v3#6"
        assert frontdoor.connect_to(changed.status()["listen"][0]).generation == "v4#4"
        assert [door.status()["previous"] for door in (swapped, changed)] == ["v1", "v2"]


# -- a file that cannot be believed -----------------------------------------------------------------------------------


def damages(whole: bytes) -> dict[str, tuple[bytes, str]]:
    """What may be found instead of the file, and what is said of it."""
    newer = json.dumps({**json.loads(whole), "schema": 3, "more": True}).encode()
    return {
        "half of it": (whole[: len(whole) // 2], "is damaged or cut short"),
        "garbage": (b"\0\xff\x1b[2J" * 99, "is damaged or cut short"),
        "a newer schema": (newer, "is of a newer frontdoor (schema 3; this one knows 2)"),
        "not a version": (whole.replace(b'"v2"', b'"../v2"'), "says what cannot be: doors.'main'.active is '../v2'"),
    }


def test_a_state_file_that_cannot_be_believed(prepare: Serve) -> None:
    door = prepare().start()
    door.swap("v2")
    stop(door)
    state = door.path("run/state.json")
    with open(state, "rb") as file:
        whole = file.read()

    for times, (damaged, why) in enumerate(damages(whole).values(), 1):
        with open(state, "wb") as file:
            file.write(damaged)
        door.start()
        assert door.connect().generation == "v1#1", "the config's active serves"
        (*_, said) = said_all = door.logged("state.unreadable")
        assert len(said_all) == times, "in one line"
        assert said["level"] == "error"
        assert said["reason"] == (
            f"the state file {state} {why} (kept as {state}.bad): "
            "each door serves the `active` of the config, and counts its generations anew"
        )
        with open(f"{state}.bad", "rb") as file:
            assert file.read() == damaged, "for whoever wants to look"
        stop(door)

    with open(state) as file:
        assert json.load(file)["doors"]["main"]["active"] == "v1", "what was written since is sound"


# -- a file that cannot be written ------------------------------------------------------------------------------------

FORGOTTEN = "; but a restart of frontdoor would not know of it: the state file {} cannot be written ({}): "
FORGOTTEN += "this frontdoor serves on, but a later one may start with a version from before\n"


WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
"""Runs a command as a root who may write no more than his own files' modes say: it is one capability."""


def test_a_folder_that_cannot_be_written(prepare: Serve) -> None:
    if os.geteuid() == 0 and subprocess.run([*WITHOUT_RIGHTS, "true"], capture_output=True).returncode:
        pytest.skip("root may write everywhere here, and setpriv cannot take that right away")
    before = WITHOUT_RIGHTS if os.geteuid() == 0 else ()
    door = prepare(frontdoor={"state_dir": "state"})
    os.mkdir(door.path("state"), 0o555)
    door.start(*before)
    why = FORGOTTEN.format(door.path("state/state.json"), "Permission denied")
    (said,) = door.logged("state.not_written")
    assert (said["level"], said["error"]) == ("error", why.partition("of it: ")[2].rstrip())
    assert door.connect().generation == "v1#1"
    assert door.run("swap", "v2").stdout == "v2#2 is active; v1#1 drains 1 stream" + why
    assert door.connect().generation == "v2#2"

    os.chmod(door.path("state"), 0o755)
    assert door.swap("v3") == "v3#3 is active; v2#2 drains 1 stream\n", "it is remembered again"
    assert len(door.logged("state.not_written")) == 1
    with open(door.path("state/state.json")) as file:
        assert json.load(file)["doors"]["main"]["active"] == "v3"


TMPFS = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
TMPFS += ['mount -t tmpfs -o size=128k none "$0" && exec "$@"', "state"]
"""Runs a command that has a tmpfs of 32 pages as its `state`. It goes with the command."""


def fill(path: str) -> None:
    """Write until the disk is full."""
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


def test_a_full_disk(prepare: Serve) -> None:
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk, and not everywhere")
    door = prepare(frontdoor={"state_dir": "state"})
    os.mkdir(door.path("state"))
    door.start(*TMPFS)
    disk = f"/proc/{door.pid}/root{door.path('state')}"
    door.swap("v2")
    with open(f"{disk}/state.json") as file:
        before = file.read()
    assert '"active": "v2"' in before
    fill(f"{disk}/filler")

    swapped = door.run("swap", "v3")
    why = FORGOTTEN.format(door.path("state/state.json"), "No space left on device")
    assert swapped.stdout == "v3#3 is active; v2#2 had no open stream" + why
    assert door.connect().generation == "v3#3"
    assert len(door.logged("state.not_written")) == 1
    assert sorted(os.listdir(disk)) == ["filler", "state.json", "swaps"]
    with open(f"{disk}/state.json") as file:
        assert file.read() == before, "whole, as it was"
    assert "v2#2 → v3#3, switched" in door.run("report", "2").stdout, "shown, though the disk has not taken it"

    os.unlink(f"{disk}/filler")
    assert door.swap("v4") == "v4#4 is active; v3#3 drains 1 stream\n"
    with open(f"{disk}/state.json") as file:
        assert '"active": "v4"' in file.read()


# -- where it is ------------------------------------------------------------------------------------------------------


def test_the_state_is_not_lost_with_the_runtime_folder(prepare: Serve) -> None:
    door = prepare(frontdoor={"state_dir": "deep/state"}).start()
    door.swap("v2")
    stop(door)
    assert os.listdir(door.path("run")) == []
    os.rmdir(door.path("run"))  # as a reboot would
    assert sorted(os.listdir(door.path("deep/state"))) == ["state.json", "swaps"]
    assert door.start().connect().generation == "v2#3"


def test_systemd_s_state_directory(prepare: Serve) -> None:
    door = prepare()
    os.mkdir(door.path("lib"))
    door.start(STATE_DIRECTORY=door.path("lib"))
    door.swap("v2")
    with open(door.path("lib/state.json")) as file:
        assert json.load(file)["doors"]["main"]["active"] == "v2"
    assert not os.path.exists(door.path("run/state.json"))
