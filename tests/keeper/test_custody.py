from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontdoor.keeper import wire
from frontdoor.keeper.custody import Custody
from keeper.stage import Puppet, Stage, read_all, read_line
from keeper.stage import stage as open_stage
from keeper.watching import descriptors, until


@pytest.fixture
def custody() -> Iterator[Custody]:
    it = Custody(lambda body: None, (1024, 1024))
    yield it
    for entry in it.vault:
        it.vault.drop(entry.key)


def ask(custody: Custody, op: str, fds: list[int] | None = None, **fields: Any) -> dict[str, Any]:
    body, _ = custody.answer(wire.Message({"op": op, **fields}, fds or []))
    return body


# -- requests that are none ---------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "no operation is called None"),
    ({"op": "no such"}, "no operation is called 'no such'"),
    ({"op": ["put"]}, "no operation is called"),
    ({"op": "x" * 100_000}, "no operation is called"),
    ({"op": "hello"}, "KeyError: 'protocol'"),
    ({"op": "hello", "protocol": 0}, "speaks protocol 2, not 0"),
    ({"op": "listen"}, "KeyError: 'key'"),
    ({"op": "listen", "key": "a"}, "KeyError: 'address'"),
    ({"op": "listen", "key": "a", "address": 5}, "AttributeError"),
    ({"op": "listen", "key": "a", "address": "nowhere"}, "ValueError"),
    ({"op": "listen", "key": "a", "address": "127.0.0.1:99999"}, "99999 is no port"),
    ({"op": "listen", "key": "a", "address": "192.0.2.1:80"}, "assign requested address"),
    ({"op": "listen", "key": ["a"], "address": "127.0.0.1:0"}, "a key is a string"),
    ({"op": "listen", "key": "a", "address": "unix:/tmp/\0"}, "null"),
    ({"op": "listen", "key": "a", "address": "unix:/no/such/folder/s", "mode": 0o600}, "No such file"),
    ({"op": "listen", "key": "a", "address": "unix:/no/such/folder/s", "mode": "rw"}, "TypeError"),
    ({"op": "put"}, "KeyError: 'entries'"),
    ({"op": "put", "key": "a", "note": 1}, "KeyError: 'entries'"),  # as in protocol 1
    ({"op": "put", "entries": 7}, "TypeError"),
    ({"op": "put", "entries": [7]}, "TypeError"),
    ({"op": "put", "entries": ["abc"]}, "the counts of descriptors are ['c']"),
    ({"op": "put", "entries": [["a", None]]}, "ValueError: not enough values"),
    ({"op": "put", "entries": [["a", None, 2, 0]]}, "ValueError: too many values"),
    ({"op": "put", "entries": []}, "0 descriptors should have come, and 2 came"),
    ({"op": "put", "entries": [["a", None, 1]]}, "1 descriptors should have come, and 2 came"),
    ({"op": "put", "entries": [["a", None, 2], ["b", None, 1]]}, "3 descriptors should have come, and 2 came"),
    ({"op": "put", "entries": [["a", None, 3], ["b", None, -1]]}, "the counts of descriptors are [3, -1]"),
    ({"op": "put", "entries": [["a", None, 2.0]]}, "the counts of descriptors are [2.0]"),
    ({"op": "put", "entries": [["a", None, 10**1000]]}, "should have come, and 2 came"),
    ({"op": "put", "entries": [["a", None, 1], ["a", None, 1]]}, "a key stands there twice"),
    ({"op": "put", "entries": [["a", None, 1], [{"a": 1}, None, 1]]}, "a key is a string"),
    ({"op": "put", "entries": [["a", None, 1], ["b", "x" * (wire.MAX_BYTES - 100), 1]]}, "that fit into one packet"),
    ({"op": "note"}, "KeyError: 'key'"),
    ({"op": "note", "key": None}, "a key is a string"),
    ({"op": "note", "key": "a", "note": "x" * (wire.MAX_BYTES - 100)}, "that fit into one packet"),
    ({"op": "drop"}, "KeyError: 'keys'"),
    ({"op": "drop", "keys": 7}, "TypeError"),
    ({"op": "drop", "keys": [["a"]]}, "TypeError"),
    ({"op": "spawn"}, "KeyError: 'key'"),
    ({"op": "spawn", "key": "a"}, "KeyError: 'argv'"),
    ({"op": "spawn", "key": "a", "argv": ["true"]}, "KeyError: 'env'"),
    ({"op": "spawn", "key": "a", "argv": [], "env": {}}, "a command is a list of strings"),
    ({"op": "spawn", "key": "a", "argv": "true", "env": {}}, "a command is a list of strings"),
    ({"op": "spawn", "key": "a", "argv": ["true", 5], "env": {}}, "a command is a list of strings"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": 5}, "TypeError"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {"A": 5}}, "expected str"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "cwd": 5}, "cannot be started in the folder 5"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "cwd": ["/"]}, "true: "),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "user": 5}, "TypeError"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "user": "\0"}, "null"),
    (
        {"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "user": "nobody-of-that-name"},
        "there is no user called",
    ),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "group": "no-such-group"}, "there is no group called"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "group": ["sys"]}, "TypeError"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "listener": "nothing"}, "no listener is kept under"),
    ({"op": "spawn", "key": "a", "argv": ["true"], "env": {}, "listener": ["a"]}, "TypeError"),
    ({"op": "spawn", "key": ["a"], "argv": ["true"], "env": {}}, "a key is a string"),
    ({"op": "spawn", "key": "x" * (wire.MAX_BYTES - 284), "argv": ["true"], "env": {}}, "that fit into one packet"),
    ({"op": "signal"}, "KeyError: 'key'"),
    ({"op": "signal", "key": ["a"], "number": 15}, "TypeError"),
    ({"op": "signal", "key": "live"}, "KeyError: 'number'"),
    ({"op": "signal", "key": "live", "number": "TERM"}, "TypeError"),
    ({"op": "signal", "key": "live", "number": 12345}, "Invalid argument"),
    ({"op": "signal", "key": "live", "number": 10**30}, "OverflowError"),
    ({"op": "forget"}, "KeyError: 'key'"),
    ({"op": "forget", "key": {}}, "TypeError"),
    ({"op": "bye"}, "KeyError: 'code'"),
    ({"op": "bye", "code": "soon"}, "ValueError"),
    ({"op": "bye", "code": 300}, "300 is no exit code"),
    ({"op": "bye", "code": -1}, "-1 is no exit code"),
    ({"op": "bye", "code": float("inf")}, "inf is no exit code"),
    ({"op": "bye", "code": 3.0}, "3.0 is no exit code"),
    ({"op": "bye", "code": "3"}, "'3' is no exit code"),
    ({"op": "bye", "code": True}, "True is no exit code"),
    ({"op": "bye", "code": None}, "None is no exit code"),
]


class Real:
    """A keeper with a door process and one child, for all requests that are none."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.door = stage.enter()
        self.door.greet()
        self.door.ask("served")
        _, output = self.door.spawn("live", "sleep", "1000")
        os.close(output)


@pytest.fixture(scope="module")
def real() -> Iterator[Real]:
    with open_stage() as stage:
        yield Real(stage)


@pytest.mark.parametrize(("body", "problem"), WRONG, ids=lambda value: repr(value)[:60])
def test_what_is_not_understood_is_answered_and_changes_nothing(real: Real, body: dict[str, Any], problem: str) -> None:
    before = descriptors(real.stage.pid)
    read, write = os.pipe()
    real.door.say({"id": 7, **body}, [read, write])  # descriptors that nobody asked for are closed
    answer = real.door.hear()
    assert answer.body["re"] == 7
    assert problem in answer.body["error"]
    assert len(answer.body["error"]) <= 2000
    assert answer.fds == []
    assert descriptors(real.stage.pid) == before
    assert real.stage.keeper.poll() is None
    os.close(read)
    os.close(write)


def test_the_child_is_none_the_worse_for_it(real: Real) -> None:
    assert real.door.ask("signal", key="live", number=signal.SIGKILL).body["sent"] is True
    assert real.door.hear_of("exited")["status"] == -9


@given(
    op=st.sampled_from(["hello", "put", "note", "drop", "signal", "forget", "served", "bye", "?"]),
    fields=st.dictionaries(
        st.sampled_from(["key", "keys", "note", "entries", "number", "code", "protocol", "id"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=2),
            max_leaves=5,
        ),
    ),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # this machine may be busy
def test_no_request_whatever_raises(op: str, fields: dict[str, Any]) -> None:
    custody = Custody(lambda body: None, (1024, 1024))
    body, _ = custody.answer(wire.Message({**fields, "op": op}))
    wire.encode({"re": 1, **body})
    for held, _ in custody.inventory():
        wire.encode(held)


# -- requests -----------------------------------------------------------------------------------------------------


def test_hello_says_who_is_there_and_since_when(custody: Custody) -> None:
    answer = ask(custody, "hello", protocol=2)
    assert (answer["protocol"], answer["pid"]) == (2, os.getpid())
    assert time.monotonic() - 60 < answer["since"] <= time.monotonic()
    assert ask(custody, "hello", protocol=2) == answer


def test_served_and_bye_are_remembered(custody: Custody) -> None:
    assert (custody.serving, custody.leave_with) == (False, None)
    ask(custody, "served")
    ask(custody, "bye", code=4)
    assert (custody.serving, custody.leave_with) == (True, 4)


def test_put_takes_the_descriptors_and_note_keeps_them(custody: Custody) -> None:
    before = descriptors()
    read, write = os.pipe()
    assert ask(custody, "put", [read, write], entries=[["pipe", [1], 2]]) == {}
    assert ask(custody, "note", key="pipe", note=[2]) == {}
    assert list(custody.inventory()) == [({"op": "held", "entries": [["pipe", [2], 2]]}, [read, write])]
    assert ask(custody, "drop", keys=["other", "pipe"]) == {"dropped": ["pipe"]}
    assert list(custody.inventory()) == []
    assert descriptors() == before


def test_descriptors_that_came_without_being_asked_for_are_closed(custody: Custody) -> None:
    before = descriptors()
    ask(custody, "note", list(os.pipe()), key="a", note=1)
    ask(custody, "served", list(os.pipe()))
    assert descriptors() == before


def test_a_message_that_lost_its_descriptors_is_refused(custody: Custody) -> None:
    body, fds = custody.answer(wire.Message({"op": "put", "entries": [["a", None, 0]]}, truncated=True))
    assert "at its limit of open files" in body["error"]
    assert fds == ()
    assert list(custody.inventory()) == []


def test_an_entry_of_many_descriptors_is_handed_out_in_parts(custody: Custody) -> None:
    many = [os.open("/dev/null", os.O_RDONLY) for _ in range(300)]
    custody.vault.put("many", "note", many)
    custody.vault.put("one", None, [os.open("/dev/null", os.O_RDONLY)])
    first, second = custody.inventory()
    assert first == ({"op": "held", "entries": [["many", "note", 253]]}, many[:253])
    assert second[0] == {"op": "held", "entries": [["many", "note", 47], ["one", None, 1]]}
    assert second[1][:-1] == many[253:]


def test_as_many_notes_are_handed_out_in_a_message_as_fit(custody: Custody) -> None:
    for number in range(1000):
        ask(custody, "note", key=f"note/{number}", note="é" * 400)
    messages = [body for body, _ in custody.inventory()]
    assert [key for body in messages for key, _, _ in body["entries"]] == [f"note/{number}" for number in range(1000)]
    sizes = [len(wire.encode(body)) for body in messages]  # it raises if one is too large
    assert min(sizes[:-1]) > wire.MAX_BYTES * 0.95, sizes


def test_the_largest_note_that_is_taken_can_be_handed_out(custody: Custody) -> None:
    body: dict[str, Any] = {"op": "note", "id": 1, "key": "k", "note": ""}
    body["note"] = "é\n" * ((wire.REQUEST_BYTES - len(wire.encode(body))) // 4)
    wire.encode(body, wire.REQUEST_BYTES)
    assert ask(custody, **body) == {}
    for held, _ in custody.inventory():
        wire.encode(held)


def test_listen_hands_out_the_listener_and_keeps_it(stage: Stage, door: Puppet) -> None:
    answer = door.ask("listen", key="listen/a", address="127.0.0.1:0", note="n")
    (fd,) = answer.fds
    assert not os.get_inheritable(fd)
    with socket.socket(fileno=fd) as copy:
        address = copy.getsockname()
    with socket.create_connection(address):  # ours is closed: the keeper's is there
        pass
    assert door.ask("drop", keys=["listen/a"]).body["dropped"] == ["listen/a"]
    with socket.socket() as client:
        assert client.connect_ex(address) != 0


def test_listening_twice_at_one_address_is_refused_and_the_first_stays(door: Puppet) -> None:
    (fd,) = door.ask("listen", key="a", address="127.0.0.1:0").fds
    with socket.socket(fileno=fd) as sock:
        host, port = sock.getsockname()
        answer = door.ask("listen", key="b", address=f"{host}:{port}").body
        assert "already in use" in answer["error"]
        assert answer["errno"] == 98
        with socket.create_connection((host, port)):
            pass


def test_listening_under_a_key_without_one_leaves_no_socket_file(stage: Stage, door: Puppet) -> None:
    path = f"{stage.folder}/s"
    assert "error" in door.ask("listen", address=f"unix:{path}").body
    assert not os.path.exists(path)


def test_a_listener_that_is_kept_already_is_handed_out_again(stage: Stage, door: Puppet) -> None:
    first = door.ask("listen", key="a", address=f"unix:{stage.folder}/s").fds[0]
    before = descriptors(stage.pid)
    (second,) = door.ask("listen", key="a", address=f"unix:{stage.folder}/s").fds
    assert descriptors(stage.pid) == before
    assert os.fstat(second).st_ino == os.fstat(first).st_ino
    os.close(first)
    os.close(second)


def test_a_child_finds_its_listener_blocking_whatever_the_one_before_did_to_it(stage: Stage, door: Puppet) -> None:
    (listener,) = door.ask("listen", key="a", address=f"unix:{stage.folder}/s").fds
    for key in ("first", "second"):
        _, output = door.spawn(key, "sh", "-c", "grep flags /proc/$$/fdinfo/3", listener="a")
        assert not int(read_line(output).split()[1], 8) & os.O_NONBLOCK
        os.close(output)
        os.set_blocking(listener, False)
    os.close(listener)


def test_the_first_descriptor_of_the_message_is_the_childs_stdin_if_it_is_asked_for(stage: Stage, door: Puppet) -> None:
    said = os.memfd_create("event")
    os.write(said, b"an event\n")
    os.lseek(said, 0, os.SEEK_SET)
    before = descriptors(stage.pid)
    answer = door.ask("spawn", [said], key="a", argv=["cat"], env={}, stdin=True)
    assert read_all(answer.fds[0]) == "an event\n"
    door.hear_of("exited")
    answer.fds += door.ask("spawn", [said], key="b", argv=["readlink", "/proc/self/fd/0"], env={}).fds
    assert read_all(answer.fds[1]) == "/dev/null\n"
    door.hear_of("exited")
    assert "IndexError" in door.ask("spawn", key="c", argv=["cat"], env={}, stdin=True).body["error"]
    door.ask("forget", key="a")
    door.ask("forget", key="b")
    assert descriptors(stage.pid) == before, "the keeper keeps nothing of it"
    for fd in (said, *answer.fds):
        os.close(fd)


def test_a_childs_output_does_not_block_us_and_its_own_end_blocks(door: Puppet) -> None:
    _, output = door.spawn("a", "sh", "-c", "cat /proc/$$/fdinfo/1; exec sleep 1000")
    lines = dict(read_line(output).split(":\t") for _ in range(2))
    assert not int(lines["flags"], 8) & os.O_NONBLOCK
    assert not os.get_blocking(output)
    os.close(output)


def test_backends_get_the_limit_of_open_files_that_the_keeper_was_started_with() -> None:
    with open_stage(shell="ulimit -Sn 77;") as stage:
        door = stage.enter()
        door.greet()
        _, output = door.spawn("a", "sh", "-c", "ulimit -Sn")
        assert read_line(output) == "77"
        os.close(output)
        with open(f"/proc/{stage.pid}/limits") as file:
            (limits,) = [line.split() for line in file if line.startswith("Max open files")]
        assert limits[3] == limits[4] != "77", "its own is raised to the hard one"


def test_what_was_posted_and_is_not_kept_is_said() -> None:
    """Nobody waits for an answer, but somebody relies on it."""
    with open_stage(shell="ulimit -n 40;") as stage:
        door = stage.enter()
        door.greet()
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
        door.put(("a", None, fds))
        before = descriptors(stage.pid)
        door.say({"op": "put", "entries": [["pipe/1", None, 1], ["pipe/2", None, 1]]}, fds[:2])  # more than it keeps
        said = door.hear_of("unkept")
        assert said["keys"] == ["pipe/1", "pipe/2"]
        assert "keeps 20 descriptors at the most, and has 20" in said["why"]
        door.say({"op": "put", "entries": [["pipe/3", None, 20]]}, fds)  # more than it can take at all
        said = door.hear_of("unkept")
        assert (said["keys"], "at its limit of open files" in said["why"]) == (["pipe/3"], True)
        door.say({"op": "put", "entries": [7, [], [[]], ["key"]]})
        assert door.hear_of("unkept")["keys"] == ["key"]
        door.say({"op": "put"})
        assert door.hear_of("unkept")["keys"] == []
        assert descriptors(stage.pid) == before
        door.ask("drop", keys=["a"])
        door.say({"op": "put", "entries": [["pipe/1", None, 1]]}, fds[:1])
        assert door.ask("note", key="n").body.keys() == {"re"}
        assert door.heard == [], "of what is kept nothing is said"
        for fd in fds:
            os.close(fd)


def test_a_door_process_is_told_how_much_is_kept() -> None:
    with open_stage(shell="ulimit -n 1000;") as stage:
        assert stage.enter().ask("hello", protocol=wire.PROTOCOL).body["limit"] == 1000 - 320


def test_a_keeper_at_its_limit_refuses_and_keeps_what_it_has() -> None:
    with open_stage(shell="ulimit -n 40;") as stage:
        door = stage.enter()
        door.greet()
        door.ask("served")
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
        before = descriptors(stage.pid)
        assert door.put(("a", None, fds[:10]), ("b", None, fds[10:])) == {}
        refused = door.put(("a", "new", fds[:1]), ("c", None, fds[1:2]), ("d", None, fds[2:]))
        assert (refused["errno"], "at its limit of open files" in refused["error"]) == (24, True)
        assert len(descriptors(stage.pid)) == len(before) + 20, "nothing of it is kept, though some found room"
        assert {key: parts[0].body["note"] for key, parts in door.greet().items()} == {"a": None, "b": None}
        assert "keeps 20 descriptors at the most, and has 20" in door.put(("c", None, fds[:1]))["error"]
        assert door.put(("b", "newer", fds[:10])) == {}, "in the place of others there is room"

        # What is left is the keeper's own, for what it is asked to open; until that is used up, too.
        opened = 0
        while "error" not in (answer := door.ask("listen", key=f"l/{opened}", address="127.0.0.1:0")).body:
            opened += 1
            answer.close()
        assert opened > 2
        assert answer.body["error"] == "Too many open files"
        assert door.ask("spawn", key="s", argv=["true"], env={}).body["error"] == "Too many open files"
        # Not even a door process can be started now: the keeper says so, and tries again.
        door.die()
        until(lambda: "could not be started ([Errno 24] Too many open files)" in stage.errors)
        assert stage.keeper.poll() is None
        for fd in fds:
            os.close(fd)
