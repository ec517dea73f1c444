"""kill -9 of the door process where what the next one finds is damaged: what can serve serves, and the log says why."""

import ctypes
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.crowded import backends, door_pid, door_processes
from e2e.harness import Client, Frontdoor, config, until
from e2e.intruder import Wire
from e2e.shared import Shared
from e2e.test_crash import kill_door_process, until_protected
from e2e.test_state import WITHOUT_RIGHTS

Serve = Callable[..., Frontdoor]

CLIENTS = 3


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    """With clients who are protected early: each of these tests waits for that."""
    with closing(Shared(frontdoor={"protect_after": "100ms"})) as frontdoor:
        yield frontdoor


def old_clients(door: Frontdoor) -> list[Client]:
    """Some who would live through a crash, if all were well."""
    clients = [door.connect() for _ in range(CLIENTS)]
    assert [client.ask("hello") for client in clients] == ["hello"] * CLIENTS
    until_protected(door, CLIENTS)
    return clients


def go_on(clients: list[Client]) -> list[bool]:
    """Whose stream goes on: the others' have ended."""
    answers = []
    for client in clients:
        try:
            answers.append(client.ask("still there?"))
        except (BrokenPipeError, ConnectionResetError):
            answers.append("")
    assert set(answers) <= {"still there?", ""}
    return [bool(answer) for answer in answers]


def the_ledger_adds_up(door: Frontdoor) -> dict[str, int]:
    ledger = door.status()["streams"]
    assert ledger["accepted"] == ledger["open"] + sum(ledger["ended"].values()), str(ledger)
    ended: dict[str, int] = ledger["ended"]
    return ended


# -- garbage on the wire, and in the vault ----------------------------------------------------------------------------

GARBAGE = (b"\0\xff\x1b[2J", b"{", b"[]", b"7", b'"op"', b"null", b"[" * 100_000, b'{"op": "put", "entries": ')
"""What is no message."""

NONSENSE: tuple[dict[str, Any], ...] = (
    {"op": "there is no such"},
    {"op": ["put"]},
    {"op": "put"},
    {"op": "put", "entries": 7},
    {"op": "put", "entries": [["stream/1", None, 2]]},  # and no descriptors with it
    {"op": "put", "entries": [["stream/1", None, -1]]},
    {"op": "put", "entries": [[1, 2, 3], [4]]},
    {"op": "drop"},
    {"op": "drop", "keys": 7},
    {"op": "note", "key": {"stream": 1}},
    {"op": "signal", "key": "nobody", "number": 9},
    {"op": "hello", "protocol": 999},
    {"op": "bye", "code": "x"},
    {"op": "bye", "code": 256},
    {"op": "yielded"},
    {"op": "ready"},
)
"""Messages that mean nothing."""


def test_garbage_on_the_wire_is_noticed_by_nobody(anew: Serve) -> None:
    door = anew()
    clients, theirs, keeper = old_clients(door), backends(door), door.pid
    with Wire(door) as wire, open(os.devnull) as null:
        for data in GARBAGE:
            wire.babble(data)
            wire.babble(data, [null.fileno()])
        for nonsense in NONSENSE:
            wire.say(**nonsense)
        wire.say("signal", key=f"{wire.door}/g1/0.1", number=10**30)
        wire.say("forget", key=f"{wire.door}/g1/0.1")
    kill_door_process(door)
    assert go_on(clients) == [True] * CLIENTS
    assert (door.status()["pid"], backends(door), the_ledger_adds_up(door)) == (keeper, theirs, {})
    ignored = [line for line in door.messages if "ignored" in line]
    assert len(ignored) == 2 * len(GARBAGE), "each is said"
    held = os.listdir(f"/proc/{keeper}/fd")
    assert not [fd for fd in held if fd not in "012" and os.readlink(f"/proc/{keeper}/fd/{fd}") == os.devnull]


@dataclass
class Damage:
    """What somebody has done to what the keeper has."""

    does: Callable[[Wire, int], None]
    """The second is /dev/null: a descriptor that is open, and good for nothing."""
    on: int = CLIENTS
    """So many streams go on; -1: it depends on what was in hand."""
    said: tuple[str, ...] = ()
    """In the log."""
    same: bool = True
    """The backend is the one from before."""


def put(wire: Wire, key: str, note: object, *fds: int) -> None:
    wire.say("put", fds, entries=[[key, note, len(fds)]])


def note(door: str, generation: int = 1, slot: int = 5) -> str:
    """As a stream has one."""
    return json.dumps([door, generation, 0, "unix", 1.0, slot])


def put_bad_streams(wire: Wire, null: int) -> None:
    put(wire, "stream/x", note(wire.door), null, null)
    put(wire, "stream/7001", 7, null, null)
    put(wire, "stream/7002", "[]", null, null)
    put(wire, "stream/7003", note(wire.door), null)
    put(wire, "stream/7004", note(wire.door, slot=10**9), null, null)  # what cannot be watched
    put(wire, "stream/7005", note(wire.door, generation=77), null, null)
    put(wire, "stream/7006", note("nowhere"), null, null)


def put_ended_stream(wire: Wire, null: int) -> None:
    """Both of its peers have gone long ago."""
    ends = [socket.socketpair() for _ in range(2)]
    put(wire, "stream/7007", note(wire.door), *(ours.fileno() for ours, _ in ends))
    for pair in ends:
        for end in pair:
            end.close()


def put_bad_pipes(wire: Wire, null: int) -> None:
    put(wire, "pipe/x", None, null, null)
    put(wire, "pipe/99999999", None, null, null)
    put(wire, "pipe/77", None, null)
    put(wire, "pipe/78", None, null, null)


def put_what_is_none(wire: Wire, null: int) -> None:
    put_bad_streams(wire, null)
    put_bad_pipes(wire, null)
    put(wire, "client/0", {"x": 1}, null)


def put_what_is_new(wire: Wire, null: int) -> None:
    """A stream whose peers have gone, and what an earlier version has never heard of."""
    put_ended_stream(wire, null)
    put(wire, "of/a/later/version", [1], null)
    wire.say("note", key="upgrade", note=7)


DAMAGES = {
    "streams, pipes and clients that are none": Damage(
        put_what_is_none, said=('"entry": "stream/7001"', '"entry": "pipe/77"', '"entry": "client/0"')
    ),
    "what is new to it": Damage(put_what_is_new),
    "a stream that is gone": Damage(lambda wire, null: wire.say("drop", keys=[f"stream/{wire.streams[1]}"]), on=2),
    "the pipes gone": Damage(lambda wire, null: wire.say("drop", keys=[f"pipe/{n}" for n in range(99)]), on=-1),
    "the words gone": Damage(lambda wire, null: wire.say("drop", keys=["words"]), on=0, said=("no stream goes on",)),
    "words that are none": Damage(lambda wire, null: put(wire, "words", None, null), on=0, said=("no stream goes on",)),
    "the ledger gone": Damage(lambda wire, null: wire.say("drop", keys=[f"ledger/{wire.door}"])),
    "a ledger that is none": Damage(
        lambda wire, null: put(wire, f"ledger/{wire.door}", None, null), said=("counts anew",)
    ),
    "the lock gone, and the control socket, and who was ready": Damage(
        lambda wire, null: wire.say("drop", keys=["lock", "listen/control", f"ready/{wire.door}/g1/0.1"])
    ),
    "an output gone": Damage(
        lambda wire, null: wire.say("drop", keys=[f"output/{wire.door}/g1/0.1"]), said=("what it prints is lost",)
    ),
    "an output without a descriptor": Damage(
        lambda wire, null: put(wire, f"output/{wire.door}/g1/0.1", None), said=("what it prints is lost",)
    ),
    "an output that is none": Damage(lambda wire, null: put(wire, f"output/{wire.door}/g1/0.1", None, null)),
    "a config that is no text": Damage(
        lambda wire, null: wire.say("note", key="config", note=7), said=("the file is taken",)
    ),
    "a config that is not valid for this code": Damage(
        lambda wire, null: wire.say("note", key="config", note="listen = ["), said=("the file is taken",)
    ),
    "a version's config that is none": Damage(
        lambda wire, null: wire.say("note", key=f"config/{wire.door}/1", note={"x": 7}),
        on=0,
        said=("v1#1",),
        same=False,
    ),
    "what is known of the door is nonsense": Damage(
        lambda wire, null: wire.say("note", key=f"door/{wire.door}", note={"x": 7}),
        on=0,
        said=("starts anew",),
        same=False,
    ),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_in_the_vault_costs_no_more_than_what_was_damaged(anew: Serve, what: str) -> None:
    damage = DAMAGES[what]
    door = anew()
    clients, theirs, address = old_clients(door), backends(door), door.address
    killed = door_pid(door)
    with Wire(door) as wire, open(os.devnull) as null:
        damage.does(wire, null.fileno())
    os.kill(killed, signal.SIGKILL)
    with closing(Client(address)) as comes:
        assert comes.generation in ("v1#1", "v1#2"), "whoever comes is served, at the same address"
    until(door._serves, "it says so")
    on = go_on(clients)
    assert sum(on) == damage.on or damage.on < 0, on
    assert (backends(door) == theirs) is damage.same
    for said in damage.said:
        until(lambda said=said: said in door.log_text, f"{said} in the log: {door.log_text}")  # type: ignore[misc]
    assert bool(damage.said) == bool(door.logged("restore.failed"))
    until(lambda: the_ledger_adds_up(door).get("lost", 0) >= on.count(False) - (1 if damage.on < 0 else 0), "counted")
    kill_door_process(door)  # and the next one finds nothing strange any more
    assert door.connect().generation in ("v1#1", "v1#2")


def test_a_config_that_nobody_can_read_ends_nothing(serve: Serve) -> None:
    """Neither the one that was applied nor the file: nobody is served until it is mended, and then all goes on."""
    door = serve()
    clients, theirs = old_clients(door), backends(door)
    killed = door_pid(door)
    with open(door.path("config.toml")) as file:
        text = file.read()
    door.write("listen = [")
    with Wire(door) as wire:
        wire.say("note", key="config", note="listen = [")
    os.kill(killed, signal.SIGKILL)
    until(lambda: door.log_text.count("not valid TOML") >= 2, "it was tried twice")
    assert not any(client.has_ended() for client in clients)
    door.write(text)
    until(door._serves, "another one serves")
    assert (go_on(clients), backends(door)) == ([True] * CLIENTS, theirs)
    assert the_ledger_adds_up(door) == {}


# -- the state file ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swapped() -> Iterator[tuple[Frontdoor, list[Client], dict[str, list[int]]]]:
    """A frontdoor in which a swap has made v2 active, and clients who are old."""
    with closing(Frontdoor(config())) as door:
        door.start()
        door.swap("v2")
        until(lambda: set(backends(door)) == {"v2#2"}, "v1 is gone")
        yield door, old_clients(door), backends(door)


STATES: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "cut short": (lambda whole: whole[: len(whole) // 2], False),
    "empty": (lambda whole: b"", False),
    "garbage": (lambda whole: b"\0\xff\x1b[2J" * 99, False),
    "another program's": (lambda whole: b'{"version": 3, "services": {}}', False),
    "of a later frontdoor": (lambda whole: json.dumps({**json.loads(whole), "schema": 99}).encode(), False),
    "stale": (lambda whole: whole.replace(b'"v2"', b'"v1"'), True),
}
"""What has become of it; whether that can be believed."""


@pytest.mark.parametrize("what", STATES)
def test_a_state_file_that_is_wrong_costs_nobody_who_is_there_anything(
    swapped: tuple[Frontdoor, list[Client], dict[str, list[int]]], what: str
) -> None:
    """It is for a start with nothing else to go by; here the keeper knows better."""
    door, clients, theirs = swapped
    change, believable = STATES[what]
    state = door.path("run/state.json")
    with open(state, "rb") as file:
        whole = file.read()
    before = len(door.logged("state.unreadable"))
    write(state, change(whole))
    kill_door_process(door)
    assert (door.status()["active"], backends(door)) == ("v2#2", theirs)
    assert go_on(clients) == [True] * CLIENTS
    said = door.logged("state.unreadable")[before:]
    assert len(said) == (0 if believable else 1), "in one line"
    assert all(state in entry["reason"] and f"kept as {state}.bad" in entry["reason"] for entry in said)
    write(state, whole)


def write(path: str, data: bytes) -> None:
    with open(path + ".test", "wb") as file:
        file.write(data)
    os.rename(path + ".test", path)


# -- a pid that was reused --------------------------------------------------------------------------------------------

_CLONE3 = 435
_SIGCHLD = 17


class _CloneArgs(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls"),
            *("set_tid", "set_tid_size", "cgroup"),
        )
    ]


def sleeper_with(pid: int) -> int:
    """A process of that number, in a group of its own, which only sleeps. Raises OSError as clone3(2)."""
    numbers = (ctypes.c_int * 1)(pid)
    asked = _CloneArgs(exit_signal=_SIGCHLD, set_tid=ctypes.addressof(numbers), set_tid_size=1)
    libc = ctypes.PyDLL(None, use_errno=True)  # which keeps the lock: the child has no other thread to take it from
    made = libc.syscall(_CLONE3, ctypes.byref(asked), ctypes.sizeof(asked))
    if made == 0:
        try:
            os.setsid()
            os.execv("/bin/sleep", ["sleep", "60"])
        finally:
            os._exit(127)
    if made < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(made)


def test_a_pid_that_was_reused_meanwhile_is_left_alone(serve: Serve) -> None:
    """A backend has died while there was no door process, and a stranger has its number, and its group's."""
    door = serve(backends={"*": {"processes": 2}})
    first, second = backends(door)["v1#1"]
    clients = [door.connect() for _ in range(4)]
    assert {client.pid for client in clients} == {first, second}
    until_protected(door, 4)
    killed = door_pid(door)
    os.kill(killed, signal.SIGSTOP)
    os.kill(first, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{first}"), "the keeper has seen its end")
    try:
        stranger = sleeper_with(first)
    except OSError as error:
        os.kill(killed, signal.SIGCONT)
        pytest.skip(f"no process can be given a number here: {error.strerror}")
    try:
        assert stranger == first
        os.kill(killed, signal.SIGKILL)
        until(lambda: killed not in door.processes() and door._serves(), "another one serves")
        until(lambda: len(backends(door)["v1#1"]) == 2 and first not in backends(door)["v1#1"], "it was replaced")
        assert [client.ask("still there?") for client in clients if client.pid == second] == ["still there?"] * 2
        assert [client.hear() for client in clients if client.pid == first] == [""] * 2
        door.hang_up()
        assert door.run("stop").returncode == 0
        assert door.ends() == 0
        assert os.waitpid(stranger, os.WNOHANG) == (0, 0), "it lives"
    finally:
        os.kill(stranger, signal.SIGKILL)
        os.waitpid(stranger, 0)


def test_a_pid_file_with_a_strangers_number(prepare: Serve) -> None:
    """It was left by a frontdoor that was killed; the number is another program's by now."""
    door = prepare()
    os.mkdir(door.path("run"))
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as stranger:
        try:
            door.write(f"{stranger.pid}\n", "run/frontdoor.pid")
            door.start()
            with open(door.path("run/frontdoor.pid")) as file:
                assert file.read().strip() == str(door.pid)
            assert door.connect().generation == "v1#1"
            door.hang_up()
            assert door.run("stop").returncode == 0
            assert door.ends() == 0
            assert stranger.poll() is None, "it lives"
        finally:
            stranger.kill()


# -- a runtime folder that cannot be written --------------------------------------------------------------------------


def test_a_runtime_folder_that_cannot_be_written_any_more(prepare: Serve) -> None:
    if os.geteuid() == 0 and subprocess.run([*WITHOUT_RIGHTS, "true"], capture_output=True).returncode:
        pytest.skip("root may write everywhere here, and setpriv cannot take that right away")
    door = prepare(frontdoor={"state_dir": "state"})
    door.start(*(WITHOUT_RIGHTS if os.geteuid() == 0 else ()))
    clients, theirs, folder = old_clients(door), backends(door), door.path("run")
    mode = os.stat(folder).st_mode & 0o777
    os.chmod(folder, 0o555)
    try:
        kill_door_process(door)
        assert go_on(clients) == [True] * CLIENTS
        assert door.connect().generation == "v1#1"
        failed = door.run("swap", "v2")
        assert failed.returncode == 4, failed
        assert f"its folder {folder}/g2 cannot be made: Permission denied" in failed.stderr
        upgraded = door.run("upgrade")
        assert upgraded.returncode == 0, upgraded
        assert go_on(clients) == [True] * CLIENTS
        assert backends(door) == theirs
    finally:
        os.chmod(folder, mode)
    door.swap("v2")
    assert door.connect().generation == "v2#3"
    until(lambda: door_processes(door) == {door_pid(door)}, "the old one has ended")
    assert go_on(clients) == [True] * CLIENTS
