import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.door import state
from frontdoor.door.state import DoorState, StateError, StateFile, choose, encode, read, set_aside
from frontdoor.traffic.gate import Maintenance
from nobody import without_rights

MAIN = DoorState(active="v2", configured="v1", previous="v1", next_generation=8, next_swap=5)
OLD = {"main": MAIN, "api": DoorState("2026-11-22.1", "2026-11-22.1", None, 1, 1)}
NEW = {"main": replace(MAIN, active="v3", previous="v2", next_generation=9, next_swap=6)}

versions = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
numbers = st.integers(1, state.LARGEST_NUMBER)
messages = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" \n"), min_size=1, max_size=50)
maintenances = st.builds(Maintenance, messages, st.none() | st.integers(0, 9999), st.floats(0, state.LARGEST_MOMENT))
door_states = st.builds(
    DoorState, versions, versions, st.none() | versions, numbers, numbers, maintenance=st.none() | maintenances
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["schema", "doors", "active"]), inner),
    max_leaves=8,
)


def keep(path: Path, doors: Mapping[str, DoorState]) -> None:
    trio.run(StateFile(str(path)).write, doors)


def files(folder: Path) -> set[str]:
    return {found.name for found in folder.iterdir()}


# -- what to start: the rule of `active` ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config_active", "kept", "known", "chosen", "why"),
    [
        pytest.param("v1", None, {"v1"}, "v1", "", id="the first start"),
        pytest.param("v1", ("v1", "v1"), {"v1"}, "v1", "", id="nothing has changed"),
        pytest.param("v1", ("v2", "v1"), {"v1", "v2"}, "v2", "as a swap has decided", id="a swap overrides it"),
        pytest.param("v2", ("v2", "v1"), {"v1", "v2"}, "v2", "", id="the key has followed the swap"),
        pytest.param("v3", ("v2", "v1"), {"v1", "v2", "v3"}, "v3", "changed", id="the key has been changed"),
        pytest.param("v3", ("v2", "v1"), {"v3"}, "v3", "changed", id="the key has been changed, the version is gone"),
        pytest.param("v1", ("v2", "v2"), {"v1", "v2"}, "v1", "changed", id="the key has been changed back"),
        pytest.param("v1", ("v2", "v1"), {"v1"}, "v1", "not in the config any more", id="the version is gone"),
    ],
)
def test_what_to_start(
    config_active: str, kept: tuple[str, str] | None, known: set[str], chosen: str, why: str
) -> None:
    door = DoorState(*kept, previous=None, next_generation=3, next_swap=2) if kept else None
    version, line = choose(config_active, door, known.__contains__)
    assert version == chosen
    assert why in line
    assert bool(why) is bool(line)


@given(versions, st.none() | door_states, st.sets(versions))
def test_what_is_started_is_always_in_the_config(config_active: str, door: DoorState | None, more: set[str]) -> None:
    known = {config_active, *more}
    chosen, why = choose(config_active, door, known.__contains__)
    assert chosen in known
    if chosen != config_active:
        assert door is not None
        assert (chosen, config_active) == (door.active, door.configured)
    # Whoever looks at the config, or remembers the last swap, and finds another version serving, is told why.
    assert bool(why) is (door is not None and door.active != config_active)


# -- reading -------------------------------------------------------------------------------------------------------


def test_no_file_yet_is_no_state(tmp_path: Path) -> None:
    assert read(str(tmp_path / "state.json")) == {}
    assert read(str(tmp_path / "no folder either" / "state.json")) == {}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    keep(tmp_path / "state.json", OLD)
    assert read(str(tmp_path / "state.json")) == OLD


@given(st.dictionaries(st.text(max_size=32), door_states, max_size=5))
def test_any_state_comes_back_as_it_went(doors: dict[str, DoorState]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.json")
        path.write_bytes(encode(doors))
        assert read(str(path)) == doors


def test_cut_short_at_any_byte_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    whole = encode(OLD)
    for length in range(len(whole) - 1):  # the last one is only the end of the line
        path.write_bytes(whole[:length])
        with pytest.raises(StateError, match=r"^the state file .* is (empty|damaged or cut short)$"):
            read(str(path))


def test_any_one_byte_changed_is_a_state_or_said(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    whole = encode(OLD)
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with pytest.raises(StateError, match=r"^the state file "):
            read(str(path))


MAINTAINED = replace(MAIN, maintenance=Maintenance("Back at 5", 120, 1_700_000_000.5))


def test_maintenance_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    keep(path, {**OLD, "main": MAINTAINED})
    assert read(str(path)) == {**OLD, "main": MAINTAINED}
    assert json.loads(path.read_bytes())["schema"] == 2


def test_without_maintenance_an_earlier_frontdoor_can_read_it() -> None:
    whole = json.loads(encode(OLD))
    assert whole["schema"] == 1
    assert list(whole["doors"]["main"]) == ["active", "configured", "previous", "next_generation", "next_swap"]


@pytest.mark.parametrize(
    ("maintenance", "said"),
    [
        (None, "maintenance is None"),
        ("yes", "maintenance is 'yes'"),
        ({"message": "x", "since": 1}, "maintenance has no retry_after"),
        ({"message": "x", "since": 1, "retry_after": 1, "more": 1}, "maintenance has a 'more'"),
        ({"message": "", "since": 1, "retry_after": 1}, "maintenance: the message is a text of 1 to"),
        ({"message": "x\r\nSet-Cookie: y", "since": 1, "retry_after": 1}, "maintenance: the message has a character"),
        ({"message": "x", "since": 1, "retry_after": "1"}, "maintenance: the time after which to try again"),
        ({"message": "x", "since": -1, "retry_after": 1}, "maintenance.since is -1"),
        ({"message": "x", "since": math.nan, "retry_after": 1}, "maintenance.since is nan"),
        ({"message": "x", "since": True, "retry_after": 1}, "maintenance.since is True"),
    ],
)
def test_a_maintenance_that_cannot_be_is_not_believed(tmp_path: Path, maintenance: object, said: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(changed(maintenance=maintenance)))
    with pytest.raises(StateError, match="says what cannot be") as refused:
        read(str(path))
    assert said in str(refused.value)


def changed(**door: object) -> dict[str, object]:
    known: dict[str, object] = json.loads(encode({"main": MAIN}))["doors"]["main"]
    return {"schema": 1, "doors": {"main": {**known, **door}}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "it is a list"),
        (None, "it is None"),
        ("state", "it is 'state'"),
        ({}, "it has no doors"),
        ({"doors": {}}, "it has no schema"),
        ({"schema": "1", "doors": {}}, "schema is '1'"),
        ({"schema": True, "doors": {}}, "schema is True"),
        ({"schema": 1, "doors": []}, "doors is a list"),
        ({"schema": 1, "doors": {}, "more": 1}, "it has a 'more'"),
        ({"schema": 1, "doors": {"main": "v1"}}, "doors.'main' is 'v1'"),
        ({"schema": 1, "doors": {"main": {}}}, "doors.'main' has no active"),
        (changed(more=1), "doors.'main' has a 'more'"),
        (changed(active=None), "doors.'main'.active is None"),
        (changed(active=""), "doors.'main'.active is ''"),
        (changed(active="../../etc"), "doors.'main'.active is '../../etc'"),
        (changed(active="v1\n"), r"doors.'main'.active is 'v1\n'"),
        (changed(configured=["v1"]), "doors.'main'.configured is a list"),
        (changed(previous=2), "doors.'main'.previous is 2"),
        (changed(next_generation=0), "doors.'main'.next_generation is 0"),
        (changed(next_generation=None), "doors.'main'.next_generation is None"),
        (changed(next_swap=True), "doors.'main'.next_swap is True"),
        (changed(next_swap=1.5), "doors.'main'.next_swap is 1.5"),
        (changed(next_swap=10**9), "doors.'main'.next_swap is 1000000000"),
    ],
)
def test_what_no_frontdoor_has_written_is_said_with_its_place(tmp_path: Path, found: object, said: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps(found))
    with pytest.raises(
        StateError, match=f"^the state file {re.escape(str(path))} says what cannot be: {re.escape(said)}$"
    ):
        read(str(path))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 4096,  # what a file system may leave where a file was being written when the power went
        b"\xff\xfe\xfd",
        b"[" * 100_000,
        b'{"schema": ' + b"9" * 5_000 + b"}",
        b"{'schema': 1}",
        b'{"schema": 1, "doors": {}} {}',
    ],
    ids=["zeros", "no text", "too deep", "too long a number", "not JSON", "two values"],
)
def test_garbage_is_said_to_be_damaged(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(garbage)
    with pytest.raises(StateError, match=r"is damaged or cut short$"):
        read(str(path))


@given(st.binary() | anything.map(lambda value: json.dumps(value).encode()))
def test_nothing_in_the_file_raises_anything_else(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "state.json")
        path.write_bytes(content)
        try:
            read(str(path))
        except StateError as error:
            said = str(error)
        else:
            return
    assert said.isprintable(), "it is one line"
    assert len(said) < 200


@pytest.mark.parametrize(("schema", "age"), [(0, "an older"), (-1, "an older"), (3, "a newer"), (10**40, "a newer")])
def test_another_schema_is_not_guessed_at(tmp_path: Path, schema: int, age: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"schema": schema, "something": "else"}))
    with pytest.raises(StateError, match=rf"is of {age} frontdoor \(schema .*; this one knows 2\)$"):
        read(str(path))


def test_a_huge_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # with nothing in it: it takes no room
    with pytest.raises(StateError, match=r"is too large to be one$"):
        read(str(path))


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("folder", "fifo"):
        with pytest.raises(StateError, match=r"is not a file$"):
            read(str(tmp_path / name))


@contextmanager
def open_folder() -> Iterator[Path]:
    """One that everybody may use: pytest's own lies in one that is closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def test_a_file_without_the_right_to_read_it_is_said() -> None:
    with open_folder() as folder, without_rights():
        path = folder / "state.json"
        path.touch(mode=0)
        with pytest.raises(StateError, match=r"cannot be read: Permission denied$"):
            read(str(path))


# -- setting aside -------------------------------------------------------------------------------------------------


def test_a_bad_file_is_kept_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for content in ("first", "second"):
        path.write_text(content)
        aside = set_aside(str(path))
        assert aside == f"{path}.bad"
        assert Path(aside).read_text() == content
    assert files(tmp_path) == {"state.json.bad"}


def test_a_folder_in_its_place_is_kept_too_and_makes_room(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    (path / "something").mkdir(parents=True)
    with pytest.raises(StateError, match=r"cannot be written \(Is a directory\)"):
        keep(path, OLD)
    assert set_aside(str(path)) == f"{path}.bad"
    keep(path, OLD)
    assert read(str(path)) == OLD


def test_what_cannot_be_set_aside_stays() -> None:
    with open_folder() as folder, without_rights():
        (folder / "closed").mkdir()
        path = folder / "closed" / "state.json"
        path.write_text("bad")
        path.parent.chmod(0o555)
        assert set_aside(str(path)) is None
        assert path.read_text() == "bad"


# -- writing -------------------------------------------------------------------------------------------------------


def test_the_file_is_for_its_owner_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "var" / "lib" / "state.json"
    for umask in (0o000, 0o777):
        before = os.umask(umask)
        try:
            keep(path, OLD)
        finally:
            os.umask(before)
        assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o711
    assert files(path.parent) == {"state.json"}


def test_data_reach_the_disk_before_their_name_and_the_name_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd: int) -> None:
        steps.append(f"fsync {os.path.basename(os.readlink(f'/proc/self/fd/{fd}'))}")
        real_fsync(fd)

    def rename(source: str, target: str) -> None:
        steps.append(f"rename {os.path.basename(source)} {os.path.basename(target)}")
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    keep(tmp_path / "made" / "state.json", OLD)
    folder = tmp_path.name
    assert steps == [f"fsync {folder}", "fsync state.json.new", "rename state.json.new state.json", "fsync made"]


KILLED_AT_EACH_STEP = """
import os, signal, sys, trio
from frontdoor.door import state

path, new = sys.argv[1], {"main": state.DoorState("v3", "v1", "v2", 9, 6)}
STEPS = ("mkdir", "open", "fchmod", "write", "fsync", "close", "rename", "unlink")

def child(last):
    step = 0
    def counted(name, real):
        def call(*args, **kwargs):
            nonlocal step
            step += 1
            if step == last:
                if name == "write":
                    real(args[0], args[1][:7])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)
        return call
    real_replace = state.replace
    def replace(*args):
        for name in STEPS:
            setattr(os, name, counted(name, getattr(os, name)))
        real_replace(*args)
        os._exit(0)
    state.replace = replace
    trio.run(state.StateFile(path).write, new)

last = 0
while True:
    last += 1
    pid = os.fork()
    if pid == 0:
        child(last)
    _, status = os.waitpid(pid, 0)
    print(status, repr(state.read(path)), flush=True)
    if status == 0:
        break
"""
"""Killed one step later in each round, until it goes through. Each round meets what the one before has left."""


@pytest.mark.parametrize("before", [{}, OLD], ids=["none before", "one before"])
def test_killed_at_any_step_the_old_or_the_new_file_is_whole(tmp_path: Path, before: dict[str, DoorState]) -> None:
    path = tmp_path / "state.json"
    if before:
        keep(path, before)
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EACH_STEP, path], capture_output=True, text=True, check=True, timeout=60
    )
    rounds = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [int(status) for status, _ in rounds] == [signal.SIGKILL] * (len(rounds) - 1) + [0]
    assert len(rounds) > 10, "each system call is a step"
    seen = [found for _, found in rounds]
    renamed = seen.index(repr(NEW))
    assert set(seen[:renamed]) == {repr(before)}
    assert set(seen[renamed:]) == {repr(NEW)}
    assert files(tmp_path) == {"state.json"}, "what was left behind is gone with the next write"


# -- writing, and it does not work ---------------------------------------------------------------------------------


def refused(path: Path, reason: str) -> None:
    """A write that fails is said in one line, leaves the old file whole, and nothing beside it."""
    before = files(path.parent)
    with pytest.raises(
        StateError, match=rf"^the state file .* cannot be written \({reason}\): this frontdoor serves on"
    ):
        keep(path, NEW)
    assert files(path.parent) == before
    if path.exists():
        assert read(str(path)) == OLD


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    if shutil.which("mount") is None:
        pytest.skip("no small disk to fill: there is no mount(8) here")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", tmp_path], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk to fill, it cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def fill(disk: Path) -> None:
    with (disk / "more").open("wb", buffering=0) as more:
        try:
            while True:
                more.write(bytes(512))
        except OSError as error:
            assert error.strerror == "No space left on device"  # noqa: PT017 - every write before it has to work


def test_on_a_full_disk_the_old_state_stays(full_disk: Path) -> None:
    path = full_disk / "state.json"
    keep(path, OLD)
    fill(full_disk)
    refused(path, "No space left on device")
    (full_disk / "more").unlink()
    keep(path, NEW)
    assert read(str(path)) == NEW, "and when there is room again it goes on"


def test_on_a_disk_that_is_full_from_the_start_there_is_no_file(full_disk: Path) -> None:
    fill(full_disk)
    refused(full_disk / "state.json", "No space left on device")
    assert read(str(full_disk / "state.json")) == {}


def test_past_the_largest_file_that_is_allowed_the_old_state_stays(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    keep(path, OLD)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        refused(path, "File too large")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("name", ["open", "fchmod", "write", "fsync", "rename"])
def test_whatever_the_disk_refuses_the_old_state_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise OSError(5, "Input/output error")

    path = tmp_path / "state.json"
    keep(path, OLD)
    with monkeypatch.context() as patched:
        patched.setattr(os, name, fails)
        with pytest.raises(StateError, match=r"cannot be written \(Input/output error\)"):
            keep(path, NEW)
    assert read(str(path)) == OLD
    assert files(tmp_path) == {"state.json"}


def test_in_a_folder_without_the_right_to_write_the_old_state_stays() -> None:
    with open_folder() as folder, without_rights():
        path = folder / "closed" / "state.json"
        keep(path, OLD)
        path.parent.chmod(0o555)
        refused(path, "Permission denied")
        path = folder / "closed" / "deeper" / "state.json"
        with pytest.raises(StateError, match=r"cannot be written \(Permission denied\)"):
            keep(path, NEW)
        path.parent.parent.chmod(0o755)


def test_a_file_where_the_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StateError, match=r"run is not a folder\)"):
        keep(tmp_path / "run" / "state.json", OLD)


# -- writing, several at once, and a disk that hangs ---------------------------------------------------------------


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator["SlowDisk"]:
    disk = SlowDisk(os.fsync)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    yield disk
    disk.works.set()


class SlowDisk:
    """fsync(2) hangs until the test says so."""

    def __init__(self, real: Callable[[int], None]) -> None:
        self._real = real
        self._asked = threading.Event()
        self.works = threading.Event()

    async def is_asked(self) -> None:
        """Wait until it hangs."""
        assert await trio.to_thread.run_sync(self._asked.wait, 20)

    def fsync(self, fd: int) -> None:
        self._asked.set()
        assert self.works.wait(20)
        self._real(fd)


def numbered(number: int) -> dict[str, DoorState]:
    return {"main": replace(MAIN, next_swap=number)}


async def begin(nursery: trio.Nursery, file: StateFile, number: int, done: list[int]) -> None:
    """Ask for a write, and leave it waiting."""

    async def write() -> None:
        await file.write(numbered(number))
        done.append(number)

    nursery.start_soon(write)
    await trio.testing.wait_all_tasks_blocked()


async def test_of_many_writes_the_newest_wins_and_those_between_cost_nothing(
    tmp_path: Path, slow_disk: SlowDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = StateFile(str(tmp_path / "state.json"))
    renames: list[str] = []
    real_rename = os.rename

    def rename(source: str, target: str) -> None:
        renames.append(source)
        real_rename(source, target)

    monkeypatch.setattr(os, "rename", rename)
    done: list[int] = []
    async with trio.open_nursery() as nursery:
        await begin(nursery, file, 1, done)
        await slow_disk.is_asked()
        for number in range(2, 51):
            await begin(nursery, file, number, done)
        assert done == []
        slow_disk.works.set()
    assert sorted(done) == list(range(1, 51)), "each is told when what it wrote, or what is newer, is on the disk"
    assert read(file.path) == numbered(50)
    assert len(renames) == 2, "the first, and the last for all who waited meanwhile"


async def test_a_hung_disk_hangs_only_those_who_wait_for_it(tmp_path: Path, slow_disk: SlowDisk) -> None:
    file = StateFile(str(tmp_path / "state.json"))
    done: list[int] = []
    async with trio.open_nursery() as nursery:
        await begin(nursery, file, 1, done)
        await begin(nursery, file, 2, done)
        await slow_disk.is_asked()  # in a thread: others have theirs
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        assert done == []
        nursery.cancel_scope.cancel()  # and who waits can stop waiting: it does not keep frontdoor from leaving
    assert done == []


async def test_a_write_that_nobody_waits_for_any_more_never_overtakes_a_newer_one(
    tmp_path: Path, slow_disk: SlowDisk
) -> None:
    file = StateFile(str(tmp_path / "state.json"))
    done: list[int] = []
    async with trio.open_nursery() as nursery:
        await begin(nursery, file, 1, done)
        await slow_disk.is_asked()
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        await begin(nursery, file, 2, done)
        assert done == [], "it waits for its turn"
        slow_disk.works.set()
    assert done == [2]
    assert read(file.path) == numbered(2)


async def test_after_a_write_that_failed_the_next_one_writes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.write_text("in the way")
    file = StateFile(str(folder / "state.json"))
    with pytest.raises(StateError):
        await file.write(numbered(1))
    folder.unlink()
    await file.write(numbered(2))
    assert read(file.path) == numbered(2)
