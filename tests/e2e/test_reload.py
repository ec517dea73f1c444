"""`frontdoor reload` and SIGHUP: the config is read again, and all of it holds, or nothing of it."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from e2e.doors import Changing, OneDoor, config_of, is_refused
from e2e.harness import Command, Frontdoor, config, door_table, greeter, until

Only = Callable[..., OneDoor]

SLOW = {"command": greeter("--wait-for", "go")}
"""A version that does nothing before the test says so: `door.touch("go")`."""

BAD = {"command": greeter("--say", "no database", "--exit", "3")}

PATIENCE = 5.0
"""Seconds that a client has for its PROXY header."""


# -- listeners --------------------------------------------------------------------------------------------------------


def test_listeners_come_and_go(only: Only, changing: Changing) -> None:
    door = only(listen=["127.0.0.1:0", "127.0.0.2:0", "unix:old"])
    stays, goes, _ = door.status()["listen"]
    open_on_both = [door.connect(), door.connect("unix:old")]
    assert [client.generation for client in open_on_both] == ["v1#1", "v1#1"]

    changing.change(door, listen=["127.0.0.1:0", "127.0.0.3:0", "unix:new"])
    reloaded = changing.run("reload")
    assert (reloaded.returncode, reloaded.stdout) == (0, f"reloaded: doors.{door.name}.listen\n")
    first, new, unix = door.status()["listen"]
    assert first == stays, "it was not opened anew"
    assert door.connect(new).generation == "v1#1"
    assert unix == f"unix:{changing.path('new')}"
    assert door.connect("unix:new").generation == "v1#1"
    assert is_refused(goes)
    assert not os.path.exists(changing.path("old"))
    assert [client.ask("still there?") for client in open_on_both] == ["still there?"] * 2
    assert changing.logged("config.reloaded")[-1]["changed"] == [f"doors.{door.name}.listen"]
    assert door.started == ["v1#1"]


def test_who_is_in_the_backlog_of_a_listener_that_goes_is_served(only: Only, changing: Changing) -> None:
    door = only(listen=["127.0.0.1:0", "unix:old"])
    assert door.run("pause").returncode == 0
    queued = [door.connect("unix:old") for _ in range(3)]  # by the kernel: nobody accepts them
    assert door.status()["streams"]["accepted"] == 0
    changing.change(door, listen=["127.0.0.1:0"])
    assert changing.reload()["exit_code"] == 0
    assert [client.ask("served?") for client in queued] == ["served?"] * 3
    assert door.status()["paused"] is True, "for the address that stays"
    assert not os.path.exists(changing.path("old"))


def test_a_port_that_is_in_use(only: Only, changing: Changing) -> None:
    door = only()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        changing.change(door, listen=["127.0.0.1:0", "unix:new", taken], limits={"connections": 7})
        refused = changing.run("reload")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr == (
            f"frontdoor: the config was not applied, and nothing was changed: cannot listen on {taken}: something else "
            "listens there. Stop that, or choose another address in `listen`\n"
        )
    assert not os.path.exists(changing.path("new")), "what could be opened is closed again"
    assert len(door.status()["listen"]) == 1
    assert door.status()["limit"]["connections"] != 7
    assert door.connect().generation == "v1#1"
    assert changing.reload()["exit_code"] == 0, "now it is free"
    assert len(door.status()["listen"]) == 3


# -- what else may change ---------------------------------------------------------------------------------------------


def test_limits(only: Only, changing: Changing) -> None:
    door = only(limits={"connections": 1})
    assert door.connect().generation == "v1#1"
    waiting = door.connect()
    door.logs("limit.reached")
    changing.change(door, limits={"connections": 2})
    reloaded = changing.run("reload")
    assert reloaded.stdout == f"reloaded: doors.{door.name}.limits.connections\n"
    assert waiting.generation == "v1#1"
    assert door.status()["limit"]["connections"] == 2


def test_drain_times_hold_for_drains_that_are_begun_later(only: Only, changing: Changing) -> None:
    door = only(drain={"timeout": "never"})
    first = door.connect()
    assert first.generation == "v1#1"
    door.swap("v2")
    second = door.connect()
    assert second.generation == "v2#2"
    changing.change(door, drain={"timeout": "300ms", "close_over": "0s"})
    assert changing.reload()["exit_code"] == 0
    door.swap("v3")
    assert second.hear() == ""
    assert first.ask("still there?") == "still there?", "it was promised that it may stay"


def test_a_hook(only: Only, changing: Changing) -> None:
    door = only()
    changing.change(door, hooks={"switched": ["sh", "-c", "cat > hooked.new && mv hooked.new hooked"]})
    assert changing.reload()["exit_code"] == 0
    door.swap("v2")
    until(lambda: os.path.exists(changing.path("hooked")), "the hook has run")
    with open(changing.path("hooked")) as file:
        assert json.load(file)["to"] == "v2#2"


def test_health(only: Only, changing: Changing) -> None:
    common: dict[str, Any] = {
        "backends": {"*": {"command": greeter("--http", "status")}},
        "ready": {"check": "http:/healthz"},
    }
    changing.write("200", "status")
    door = only(**common)
    changing.change(door, **common, health={"interval": "50ms", "failures": 1})
    assert changing.reload()["exit_code"] == 0
    pid = door.pid("v1#1")
    changing.write("500", "status")
    exited = door.logs("backend.exited", generation="v1#1")
    assert exited["pid"] == pid
    changing.write("200", "status")
    until(lambda: door.pid("v1#1") not in (None, pid), "it is started again")
    changing.change(door, **common)
    assert changing.reload()["exit_code"] == 0


def test_nothing_has_changed(only: Only, changing: Changing) -> None:
    door = only()
    reloaded = changing.run("reload")
    assert (reloaded.returncode, reloaded.stdout) == (0, "reloaded: nothing has changed in the config\n")
    assert door.started == ["v1#1"]


# -- a changed `active` -----------------------------------------------------------------------------------------------


def test_a_changed_active_is_a_swap_to_it(only: Only, changing: Changing) -> None:
    door = only()
    old = door.connect()
    assert old.generation == "v1#1"
    changing.change(door, active="v2", listen=["127.0.0.1:0", "unix:new"])
    reloaded = changing.run("reload")
    assert reloaded.returncode == 0
    assert f"{door.name}: v2#2 starting" in reloaded.stderr
    changed = f"doors.{door.name}.listen, doors.{door.name}.active"
    assert reloaded.stdout == f"reloaded: {changed}; door {door.name}: v2#2 is active; v1#1 drains 1 stream\n"
    assert door.connect("unix:new").generation == "v2#2"
    assert old.ask("still there?") == "still there?"
    assert door.rollback() == "v1#1 is active; v2#2 drains 1 stream"


def test_when_the_new_active_is_bad_nothing_of_the_reload_holds(only: Only, changing: Changing) -> None:
    door = only(backends={"bad": BAD})
    before = door.status()
    changing.change(
        door,
        active="bad",
        listen=["127.0.0.1:0", "unix:new"],
        limits={"connections": 7},
        drain={"timeout": "100ms"},
        backends={"bad": BAD},
    )
    refused = changing.run("reload")
    assert (refused.returncode, refused.stdout) == (4, "")
    message, _, output = refused.stderr.splitlines()[-3:]
    assert message == (
        "frontdoor: the config was not applied, and nothing was changed: bad#2 did not become ready "
        "(it exited with code 3 before it was ready); v1#1 still serves"
    )
    assert "no database" in output
    assert changing.logged("config.refused")[-1]["reason"] in message
    after = door.status()
    for key in ("listen", "active", "limit", "streams", "swap"):
        assert after[key] == before[key]
    assert not os.path.exists(changing.path("new"))
    assert door.connect().generation == "v1#1"

    changing.change(door, active="v2", listen=["127.0.0.1:0", "unix:new"], backends={"bad": BAD})
    assert changing.reload()["exit_code"] == 0
    assert door.connect("unix:new").generation == "v2#3"


def test_when_the_new_active_of_one_door_is_bad_no_door_is_swapped(only: Only, changing: Changing) -> None:
    door = only()
    main = changing.door("main")
    before = main.status()["active"]
    changing.write(config(active="v2", doors={door.name: door_table(active="bad", backends={"bad": BAD})}))
    refused = changing.run("reload")
    assert refused.returncode == 4
    assert "bad#2 did not become ready" in refused.stderr
    assert main.connect().generation == before
    aborted = main.logs("swap.aborted")
    assert (aborted["version"], aborted["reason"]) == ("v2", "the reload, of which another part failed")
    main.logs("generation.stopped", generation=aborted["generation"])

    changing.write(config(active="v2", doors={door.name: door_table(active="v2")}))
    assert changing.reload()["exit_code"] == 0
    assert [each.connect().generation[:3] for each in (main, door)] == ["v2#", "v2#"]


def test_a_rollback_ends_the_swap_of_a_reload_and_so_the_reload(only: Only, changing: Changing) -> None:
    door = only(backends={"v2": SLOW})
    changing.change(door, active="v2", backends={"v2": SLOW}, limits={"connections": 7})
    reload = changing.begin("reload")
    reload.shows("v2#2 starting")
    assert door.rollback() == "the swap to v2#2 was ended before its switch; v1#1 still serves"
    ended = reload.ended()
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "frontdoor: the config was not applied, and nothing was changed: "
        "the swap to v2#2 was aborted by a rollback before the switch; v1#1 still serves"
    )
    assert door.status()["limit"]["connections"] != 7
    assert door.connect().generation == "v1#1"


def test_a_stop_ends_a_reload(prepare: Callable[..., Frontdoor]) -> None:
    door = prepare(backends={"v2": SLOW}).start()
    client = door.connect()
    assert client.generation == "v1#1"
    door.write(config(active="v2", listen=["127.0.0.1:0", "unix:new"], backends={"v2": SLOW}))
    reload = door.begin("reload")
    reload.shows("v2#2 starting")
    door.signal(signal.SIGTERM)
    ended = reload.ended()
    assert ended.returncode == 1
    assert client.ask("still there?") == "still there?"
    client.close()
    assert door.ends() == 0
    assert not os.path.exists(door.path("new"))


def test_a_stop_ends_a_reload_that_starts_a_new_door(prepare: Callable[..., Frontdoor]) -> None:
    door = prepare().start()
    client = door.connect()
    assert client.generation == "v1#1"
    newcomer = door_table(listen=["unix:newcomer"], backends={"*": SLOW})
    door.write(config(listen=["127.0.0.1:0", "unix:new"], doors={"newcomer": newcomer}))
    reload = door.begin("reload")
    candidate = door.logs("backend.starting", door="newcomer")["pid"]
    door.signal(signal.SIGTERM)
    ended = reload.ended()
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        "frontdoor: the config was not applied, and nothing was changed: "
        "frontdoor is being stopped, and door newcomer was still starting"
    )
    until(lambda: candidate not in door.processes(), "it is not waited for")
    assert client.ask("still there?") == "still there?"
    client.close()
    assert door.ends() == 0
    assert not door.logged("config.reloaded")
    assert not {"new", "newcomer"} & set(os.listdir(door.folder))


# -- refused ----------------------------------------------------------------------------------------------------------


def test_the_problems_of_a_config_are_in_the_answer(only: Only, changing: Changing) -> None:
    door = only()
    changing.write('listen = ["127.0.0.1:0"]\nactive = "v1"\nprotcol = "tcp"\n')
    calls = [("/v1/reload", {}), (f"/v1/doors/{door.name}/swap", {"version": "v2"})]
    for status, answer in [changing.control.post(call, body) for call, body in calls]:
        assert (status, answer["exit_code"]) == (400, 2)
        assert [(problem["key"], problem["line"]) for problem in answer["problems"]] == [
            ("protcol", 3),
            ("backends", None),
        ]
        assert answer["problems"][0]["message"] == "unknown key; the nearest known one is protocol"
    for verb in (changing.begin("reload", "--json"), door.begin("swap", "v2", "--json")):
        ended = verb.ended()
        assert (ended.returncode, json.loads(ended.stdout)["problems"]) == (2, answer["problems"])


def test_a_config_with_mistakes_changes_nothing_and_all_of_them_are_named(only: Only, changing: Changing) -> None:
    door = only()
    changing.write('listen = ["127.0.0.1:0", "unix:new"]\nactive = "v1"\nprotcol = "tcp"\n[drain]\ntimeout = 30\n')
    refused = changing.run("reload")
    assert (refused.returncode, refused.stdout) == (2, "")
    first, *problems = refused.stderr.splitlines()
    assert first == "frontdoor: the config is not valid, and nothing was changed"
    assert len(problems) == 3
    for place, problem in zip((".toml:3: protcol: ", ".toml:5: drain.timeout: ", "backends: "), problems, strict=True):
        assert place in problem
    assert changing.logged("config.refused")[-1]["problems"] == [problem.strip() for problem in problems]
    assert not os.path.exists(changing.path("new"))
    assert door.connect().generation == "v1#1"
    swapped = door.run("swap", "v2")
    assert swapped.returncode == 2, "for a swap it is not valid either"
    assert door.connect().generation == "v1#1"


def test_what_cannot_change_while_it_runs(only: Only, changing: Changing) -> None:
    door = only()
    changing.write(config(frontdoor={"runtime_dir": "elsewhere"}))
    refused = changing.run("reload", "--control", "run/control.sock")
    assert refused.returncode == 2
    assert refused.stderr.startswith("frontdoor: frontdoor.runtime_dir")
    assert "cannot be changed while frontdoor runs; nothing was changed: change it back, or stop" in refused.stderr
    assert not os.path.exists(changing.path("elsewhere"))
    assert door.connect().generation == "v1#1"


def test_a_reload_while_a_swap_is_under_way(only: Only, changing: Changing) -> None:
    door = only(backends={"v2": SLOW})
    client = door.connect()
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    changing.write("listen = 3")
    broken = changing.run("reload")
    assert broken.returncode == 2
    changing.change(door, backends={"v2": SLOW}, limits={"connections": 7})
    busy = changing.run("reload")
    assert busy.returncode == 5
    assert busy.stderr == (
        f"frontdoor: a swap of the door {door.name} to v2#2 is under way: wait until it has ended, and try again; "
        "nothing was changed\n"
    )
    assert client.generation == "v1#1"
    door.touch("go")
    assert swap.ended().returncode == 0
    assert changing.reload()["exit_code"] == 0
    assert door.status()["limit"]["connections"] == 7


def test_two_reloads_at_once(only: Only, changing: Changing) -> None:
    door = only(backends={"v2": SLOW})
    changing.change(door, active="v2", backends={"v2": SLOW})
    first = changing.begin("reload")
    first.shows("v2#2 starting")
    second = changing.run("reload")
    assert second.returncode == 5
    assert "another reload is under way" in second.stderr
    assert door.run("swap", "v3").returncode == 5
    door.touch("go")
    assert first.ended().returncode == 0
    assert door.connect().generation == "v2#2"


# -- doors ------------------------------------------------------------------------------------------------------------


def test_a_door_is_added_and_removed_and_comes_back(only: Only, changing: Changing) -> None:
    door = only(swap={"keep_warm": "15m"})
    door.swap("v2")
    client = door.connect()
    assert client.generation == "v2#2"
    changing.write(config())
    removed = changing.run("reload")
    assert (removed.returncode, removed.stdout) == (0, f"reloaded: doors.{door.name}\n")
    assert is_refused(door.address)
    assert client.ask("still there?") == "still there?"
    assert door.status()["state"] == "stopping"
    refused = door.run("swap", "v3")
    assert refused.returncode == 1
    assert f"the door {door.name} is not in the config any more, and is being closed" in refused.stderr

    changing.change(door)
    busy = changing.run("reload")
    assert busy.returncode == 5
    assert f"the door {door.name} is still being closed: reload when its last stream has ended" in busy.stderr
    client.close()
    until(lambda: not door.is_there, "it is gone")
    with open(changing.path("run/state.json")) as file:
        assert json.load(file)["doors"][door.name]["active"] == "v2"
    assert door.printed("v1#1") == door.printed("v2#2") == ["stop signal with 0 streams open"]
    assert not os.path.exists(changing.path(f"run/{door.name}"))

    assert changing.reload()["exit_code"] == 0
    again = changing.door(door.name)
    assert again.connect().generation == "v2#3", "as if frontdoor had been restarted"
    assert door.logged("door.started")[-1]["generation"] == "v2#3"


def removing(changing: Changing) -> Command:
    """Begin a reload that leaves no door but main; it waits for the first generation of a new one: touch "go"."""
    changing.write(config(doors={"latecomer": door_table(backends={"*": SLOW})}))
    reload = changing.begin("reload")
    until(lambda: changing.door("latecomer").is_there, "the new door is being started")
    return reload


@pytest.mark.parametrize("verb", [["rollback"], ["swap", "v3"]], ids=["rollback", "swap"])
def test_what_is_begun_at_a_door_while_a_reload_takes_it_away_is_aborted(
    only: Only, changing: Changing, verb: list[str]
) -> None:
    held = {"before_swap": ["sh", "-c", "while test -e held; do sleep 0.02; done"]}
    door = only(hooks=held)
    old = door.connect()
    assert old.generation == "v1#1"
    door.swap("v2")
    door.touch("held")
    reload = removing(changing)
    changing.change(door)  # it has been read: this is for whoever looks later
    begun = door.begin(*verb)
    begun.shows("swap 2: ")
    door.touch("go")
    assert reload.ended().returncode == 0
    ended = begun.ended()
    assert ended.returncode == 1
    target = "v1#1" if verb == ["rollback"] else "v3#3"
    assert f"frontdoor: the swap to {target} was aborted by the removal of the door before the switch" in ended.stderr
    os.unlink(changing.path("held"))
    assert old.ask("still there?") == "still there?"
    assert door.status()["active"] is None
    old.close()
    until(lambda: not door.is_there, "it is gone")

    changing.change(door)
    assert changing.reload()["exit_code"] == 0
    assert changing.door(door.name).connect().generation.startswith("v2#"), "and nothing of it is in the way"


def test_who_waits_for_a_backend_of_a_door_that_is_taken_away_is_let_go(only: Only, changing: Changing) -> None:
    trusted = ["127.0.0.0/8"]
    door = only(backends={"v1": {"restart": "never"}}, limits={"hold_timeout": "never"}, accept_proxy=trusted)
    waiting = [door.connect() for _ in range(3)]
    waiting[0].say("PROXY UNKNOWN\r\nexit 1")
    until(lambda: door.generation("v1#1")["processes"][0]["state"] == "exited", "nothing is there to serve")
    waiting[0].close()
    waiting[1].say("PROXY UNKNOWN\r")
    until(lambda: door.status()["streams"]["open"] == 2, "one waits for a backend, the other owes its header")
    changing.write(config())
    began = time.monotonic()
    assert changing.reload()["exit_code"] == 0
    assert [client.hear() for client in waiting[1:]] == ["", ""]
    until(lambda: not door.is_there, "it is gone")
    assert time.monotonic() - began < PATIENCE


def test_a_door_that_cannot_begin_leaves_everything_as_it_was(only: Only, changing: Changing) -> None:
    door = only()
    changing.write(
        config_of(
            {
                door.name: {"limits": {"connections": 7}},
                "newcomer": {"listen": ["unix:new"], "backends": {"v1": BAD}},
            }
        )
    )
    refused = changing.run("reload")
    assert refused.returncode == 4
    message, _, output = refused.stderr.splitlines()[-3:]
    assert message == (
        "frontdoor: the config was not applied, and nothing was changed: door newcomer: v1#1 did not become ready "
        "(it exited with code 3 before it was ready)"
    )
    assert "no database" in output
    assert {shown["name"] for shown in changing.doors} == {"main", door.name}
    assert not os.path.exists(changing.path("new"))
    assert door.status()["limit"]["connections"] != 7


# -- a door process that dies -----------------------------------------------------------------------------------------


def test_kill_9_after_a_reload_restores_what_was_reloaded(only: Only, changing: Changing) -> None:
    door = only(listen=["unix:old", "127.0.0.1:0"])
    changing.change(door, listen=["unix:new"], limits={"connections": 7})
    assert changing.reload()["exit_code"] == 0
    pid = door.connect("unix:new").pid
    changing.write("listen = 3")
    changing.kill_door_process()
    assert door.status()["listen"] == [f"unix:{changing.path('new')}"]
    assert door.status()["limit"]["connections"] == 7
    assert door.connect("unix:new").pid == pid
    assert not os.path.exists(changing.path("old"))


def test_kill_9_in_the_middle_of_a_reload_leaves_what_was_before(only: Only, changing: Changing) -> None:
    door = only(backends={"v2": SLOW})
    pid = door.connect().pid
    table = {"active": "v2", "backends": {"v2": SLOW}, "limits": {"connections": 7}}
    newcomer = {"listen": ["unix:newcomer"], "backends": {"v1": SLOW}}
    both = {door.name: {**table, "listen": ["127.0.0.1:0", "unix:new"]}, "newcomer": newcomer, "main": {}}
    changing.write(config_of(both))
    reload = changing.begin("reload")
    until(lambda: changing.door("newcomer").is_there, "the new door is being started")
    candidate = changing.door("newcomer").logs("backend.starting")["pid"]
    changing.kill_door_process()

    ended = reload.ended()
    assert ended.returncode == 1
    assert "the connection broke, and the reload's outcome is not known" in ended.stderr
    assert [shown["name"] for shown in changing.doors] == ["main", door.name]
    assert len(door.status()["listen"]) == 1
    assert door.status()["limit"]["connections"] != 7
    assert door.connect().pid == pid
    until(lambda: candidate not in changing.processes(), "what was begun is ended")
    door.touch("go")
    assert changing.reload()["exit_code"] == 0, "and it can be done again"
    assert door.connect("unix:new").generation == "v2#2"
    assert changing.door("newcomer").connect().generation.startswith("v1#")


# -- SIGHUP -----------------------------------------------------------------------------------------------------------


def test_sighup_is_a_reload_and_a_restart(only: Only, changing: Changing) -> None:
    door = only()
    old = door.connect()
    assert old.generation == "v1#1"
    changing.change(door, listen=["127.0.0.1:0", "unix:new"])
    changing.signal(signal.SIGHUP)
    door.logs("swap.switched", to="v1#2")
    assert door.connect("unix:new").generation == "v1#2"
    assert old.ask("still there?") == "still there?"


def test_sighup_with_a_changed_active_is_that_swap_alone(only: Only, changing: Changing) -> None:
    door = only()
    main = changing.door("main")
    before = len(main.started)
    changing.change(door, active="v2")
    changing.signal(signal.SIGHUP)
    door.logs("swap.settled", to="v2#2")
    until(lambda: len(main.started) == before + 1, "the door beside it is restarted")
    assert door.started == ["v1#1", "v2#2"]
    assert door.connect().generation == "v2#2"


def test_sighup_with_a_new_active_that_is_bad_does_nothing(only: Only, changing: Changing) -> None:
    door = only()
    changing.change(door, active="bad", backends={"bad": BAD})
    changing.signal(signal.SIGHUP)
    door.logs("generation.stopped", generation="bad#2")
    until(lambda: "bad#2" in changing.logged("config.refused")[-1]["reason"], "it says so")
    assert door.started == ["v1#1", "bad#2"]
    assert door.connect().generation == "v1#1"


def test_sighup_with_a_config_that_is_not_valid_does_nothing(only: Only, changing: Changing) -> None:
    door = only()
    before = len(changing.logged("restart.refused"))
    changing.write("listen = 3")
    changing.signal(signal.SIGHUP)
    until(lambda: len(changing.logged("restart.refused")) > before, "it says so")
    assert "listen: " in changing.logged("config.refused")[-1]["problems"][0]
    assert door.connect().generation == "v1#1"
    assert door.started == ["v1#1"]


def test_sighup_during_a_swap_waits_for_it_and_several_are_one(only: Only, changing: Changing) -> None:
    door = only(backends={"v2": SLOW})
    swap = door.begin("swap", "v2")
    swap.shows("v2#2 starting")
    changing.change(door, backends={"v2": SLOW}, limits={"connections": 7})
    for _ in range(3):
        changing.signal(signal.SIGHUP)
    door.logs("restart.waits")
    assert door.status()["limit"]["connections"] != 7
    door.touch("go")
    assert swap.ended().returncode == 0
    door.logs("swap.settled", to="v2#3")
    assert door.status()["limit"]["connections"] == 7
    assert door.started == ["v1#1", "v2#2", "v2#3"]
    assert door.connect().generation == "v2#3"


def test_sighup_during_a_reload_waits_for_it(only: Only, changing: Changing) -> None:
    door = only()
    latecomer = door_table(backends={"*": SLOW})
    changing.write(config(doors={door.name: door_table(), "latecomer": latecomer}))
    reload = changing.begin("reload")
    until(lambda: changing.door("latecomer").is_there, "the new door is being started")
    changing.signal(signal.SIGHUP)
    changing.logs("restart.waits", reason="a reload is under way")
    assert door.started == ["v1#1"]
    door.touch("go")
    assert reload.ended().returncode == 0
    door.logs("swap.settled", to="v1#2")
    assert door.connect().generation == "v1#2"
