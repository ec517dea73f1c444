from __future__ import annotations

import json
import os
import pty
import signal
import subprocess

import trio

from cli.shell import Shell
from control.fakedoor import FakeDoor, control_socket, door_process, open_listener, until


async def test_status_as_text(shell: Shell, door: FakeDoor) -> None:
    result = await shell.run("status")
    assert (result.exit_code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[:6] == [
        "frontdoor 0.1.0, pid 4711, up 12 s",
        "",
        "door main on 127.0.0.1:8080: v2#2 is active",
        "  previous: v1#1 (still runs: a rollback is instant)",
        "  streams: 120 accepted, 9 open; ended: 80 client_closed, 30 backend_closed, 1 drain_closed",
        "  GENERATION  STATE     SINCE"
        + lines[5].removeprefix("  GENERATION  STATE     SINCE").split("OPEN")[0]
        + "OPEN  TOTAL      UP      DOWN  OLDEST CLIENT          PROCESSES",
    ]
    assert lines[6].split()[:2] == ["v2#2", "active"]
    assert lines[6].endswith("4720 up")
    assert "127.0.0.1:50000 (1 h)" in lines[7]
    assert lines[7].endswith("4719 up (2 restarts)")


async def test_status_says_what_is_under_way(shell: Shell, door: FakeDoor) -> None:
    door.state["doors"][0] |= {
        "paused": True,
        "swap": {"number": 3, "phase": "probing", "from": "v2#2", "to": "v3#3", "elapsed_s": 0.84},
    }
    door.state["doors"][0]["generations"][1] |= {
        "drain": {"closed": 2, "closes_from_s": 2940.0, "deadline_s": 3540.0},
    }
    result = await shell.run("status", "--door", "main")
    assert "v2#2 is active, paused" in result.out
    assert "\n  swap 3 under way: v2#2 → v3#3, probing for 0.8 s\n" in result.out
    assert " 87.9 KiB  127.0.0.1:50000 (1 h) " in result.out
    assert result.out.splitlines()[-1] == (
        "  v1#1 drains: 6 streams left, 2 closed, closing begins in 49 m, all are closed in 59 m"
    )
    assert (await shell.run("status", "--door", "side")).exit_code == 2


async def test_status_as_json_is_the_apis(shell: Shell, door: FakeDoor) -> None:
    assert (await shell.run("status", "--json")).json == door.state


async def test_status_watch_prints_a_block_at_each_change(shell: Shell, door: FakeDoor) -> None:
    command = await shell.start("status", "--watch", "--json")
    await command.out_until("\n")
    door.state["uptime_s"] = 99.0  # no change
    door.state["doors"][0]["paused"] = True
    await command.out_until('"paused": true')
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert result.exit_code == 130
    assert [line["doors"][0]["paused"] for line in result.json_lines] == [False, True]


async def test_status_watch_on_a_terminal_redraws_and_leaves_it_clean(shell: Shell, door: FakeDoor) -> None:
    ours, theirs = pty.openpty()
    process = await trio.lowlevel.open_process(
        shell.command("status", "--watch"),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=shell.folder,
        env={**shell.env, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = ""

    async def read_until(text: str) -> None:
        nonlocal seen
        with trio.fail_after(20):
            while text not in seen:
                await trio.lowlevel.wait_readable(ours)
                seen += os.read(ours, 65536).decode()

    await read_until("v2#2 is active")
    door.state["doors"][0]["active"] = "v3#3"
    await read_until("v3#3 is active")
    assert seen.startswith("\x1b[?1049h\x1b[?25l")
    process.send_signal(signal.SIGINT)
    await read_until("\x1b[?25h\x1b[?1049l")
    assert await process.wait() == 130
    os.close(ours)


async def test_streams_the_oldest_first(shell: Shell, door: FakeDoor) -> None:
    result = await shell.run("streams")
    assert (result.exit_code, result.out, result.err) == (0, "", "no open streams\n")
    door.open_streams = [
        {
            "id": 1,
            "door": "main",
            "generation": "v1#1",
            "client": "127.0.0.1:50000",
            "age_s": 7500.0,
            "idle_s": 0.25,
            "bytes": {"up": 100, "down": 5_000_000},
        },
        {"id": 2, "door": "main", "generation": "v2#2", "client": "[::1]:9", "age_s": 3.0, "idle_s": 3.0},
    ]
    result = await shell.run("streams")
    assert result.out.splitlines() == [
        "CLIENT           GENERATION      AGE   IDLE     UP     DOWN",
        "127.0.0.1:50000  v1#1        2 h 5 m  0.2 s  100 B  4.8 MiB",
        "[::1]:9          v2#2          3.0 s  3.0 s    0 B      0 B",
    ]
    result = await shell.run("streams", "v2#2", "--json")
    assert result.json == {"streams": door.open_streams[1:]}
    assert door.calls[-1] == ("streams", None, "v2#2")


async def test_requests_among_the_streams_say_what_is_asked_for(shell: Shell, door: FakeDoor) -> None:
    stream = {"door": "web", "generation": "v1#1", "client": "127.0.0.1:5", "age_s": 3.0, "idle_s": 3.0}
    door.open_streams = [stream | {"id": 1}, stream | {"id": "b24f-1", "request": "GET /news\x1b[2J"}]
    result = await shell.run("streams")
    assert result.out.splitlines() == [
        "CLIENT       GENERATION    AGE   IDLE   UP  DOWN  REQUEST",
        "127.0.0.1:5  v1#1        3.0 s  3.0 s  0 B   0 B  -",
        "127.0.0.1:5  v1#1        3.0 s  3.0 s  0 B   0 B  GET /news\\x1b[2J",
    ]


async def test_events_are_json_lines_for_scripts(shell: Shell, door: FakeDoor) -> None:
    first = door.bus.publish("door.started", door="main")
    result = await shell.run("events")
    assert (result.exit_code, result.json_lines) == (0, [first])

    command = await shell.start("events", "-f", "--door", "main")
    await command.out_until("door.started")
    door.bus.publish("paused", door="side")
    last = door.bus.publish("resumed", door="main")
    await command.out_until("resumed")
    command.process.send_signal(signal.SIGINT)
    result = await command.end()
    assert (result.exit_code, result.json_lines) == (130, [first, last])


async def test_events_are_followed_over_the_death_of_a_door_process(shell: Shell) -> None:
    shell.write_config()
    with open_listener(shell.socket) as listener:
        first, second = FakeDoor(), FakeDoor()
        async with door_process(first, listener):
            first.bus.publish("door.started", door="main")
            command = await shell.start("events", "-f")
            await command.out_until("door.started")
        second.bus.publish("door.restored", door="main")
        async with door_process(second, listener):
            await command.out_until("door.restored")
    result = await command.end()
    assert (result.exit_code, [line["event"] for line in result.json_lines]) == (0, ["door.started", "door.restored"])
    assert result.err.endswith("frontdoor has stopped\n")


async def test_events_are_sentences_on_a_terminal(shell: Shell, door: FakeDoor) -> None:
    door.bus.publish("swap.switched", door="main", **{"from": "v1#1", "to": "v2#2", "streams": 132})
    ours, theirs = pty.openpty()
    process = await trio.lowlevel.open_process(shell.command("events"), stdout=theirs, cwd=shell.folder, env=shell.env)
    assert await process.wait() == 0
    os.close(theirs)
    assert os.read(ours, 1000).decode().strip().endswith("swap.switched main v1#1 → v2#2 (132 streams left on v1#1)")
    os.close(ours)


async def test_a_reader_who_has_enough_is_no_error(shell: Shell, door: FakeDoor) -> None:
    for n in range(1000):
        door.bus.publish("paused", n=n, filler="x" * 200)
    with trio.fail_after(20):
        done = await trio.run_process(
            ["sh", "-c", '"$@" | head -n 1', "sh", *shell.command("events", "-f")],
            capture_stdout=True,
            capture_stderr=True,
            cwd=shell.folder,
            env=shell.env,
        )
    assert json.loads(done.stdout.splitlines()[0])["n"] == 0
    assert done.stderr == b""


async def test_drain(shell: Shell, door: FakeDoor) -> None:
    result = await shell.run("drain", "v1", "--now")
    assert (result.exit_code, result.out) == (0, "closed 6 streams of v1#1\n")
    result = await shell.run("drain", "v1#1", "--over", "10m", "--json")
    assert (result.exit_code, result.json["result"]) == (0, "closing")
    result = await shell.run("drain", "v2", "--now")
    assert (result.exit_code, "only a draining generation" in result.err) == (1, True)
    assert [call[2:] for call in door.calls] == [("v1", 0.0), ("v1#1", 600.0), ("v2", 0.0)]


async def test_pause_and_resume(shell: Shell, door: FakeDoor) -> None:
    result = await shell.run("pause")
    assert (result.exit_code, result.out) == (0, "main is paused: clients wait in the backlog\n")
    result = await shell.run("resume", "--door", "main", "--json")
    assert (result.json["result"], result.json["exit_code"]) == ("resumed", 0)
    assert (await shell.run("pause", "--for", "1m")).exit_code == 0
    assert door.calls == [("pause", "main"), ("resume", "main"), ("pause", "main", 60.0)]


async def test_what_is_of_all_doors_takes_none(shell: Shell, door: FakeDoor) -> None:
    for verb in ("stop", "reload"):
        assert (await shell.run(verb, "--door", "main")).exit_code == 2
    assert door.calls == []


async def test_stop_waits_until_the_process_is_gone(shell: Shell) -> None:
    shell.write_config()
    keeper = await trio.lowlevel.open_process(["sleep", "60"])
    door = FakeDoor(pid=keeper.pid)
    async with control_socket(door, shell.socket):
        command = await shell.start("stop")
        await door.stopped.wait()
        await command.err_until("waiting for 9 streams")
        assert command.process.poll() is None
        door.state["doors"][0]["streams"]["open"] = 1
        await command.err_until("waiting for 1 stream\n")
        keeper.terminate()
        result = await command.end()
    assert (result.exit_code, result.out) == (0, "frontdoor has stopped\n")
    assert door.calls == [("stop", False)]
    await keeper.wait()


async def test_stop_of_a_pid_that_is_not_ours_to_see_waits_for_the_socket(shell: Shell) -> None:
    shell.write_config()
    door = FakeDoor(pid=2**22 + 1)  # beyond what Linux gives: as in a container of its own
    async with control_socket(door, shell.socket):
        command = await shell.start("stop", "--now", "--json")
        await door.stopped.wait()
        await until(lambda: door.calls == [("stop", True)], "the stop")
        assert command.process.poll() is None
    result = await command.end()
    assert (result.exit_code, result.json["result"]) == (0, "stopped")


async def test_check(shell: Shell) -> None:
    shell.write_config('listen = ["127.0.0.1:8080"]\nactive = "v1"\n[backends."*"]\ncommand = ["true"]\n')
    result = await shell.run("check", "config.toml")
    assert (result.exit_code, result.out, result.err) == (0, "config.toml is valid\n", "")
    assert (await shell.run("check", "config.toml", "--json")).json["valid"] is True

    shell.write_config(
        'listen = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["true"]\nfrontdoor.admin = "0.0.0.0:1"\n'
    )
    result = await shell.run("check", "config.toml")
    assert (result.exit_code, result.out) == (0, "config.toml is valid\n")
    assert result.err.startswith("warning: frontdoor.admin: 0.0.0.0:1 can be reached from other machines")
    assert len((await shell.run("check", "config.toml", "--json")).json["warnings"]) == 1

    shell.write_config('listen = ["127.0.0.1:8080"]\nactve = "v1"\n\n[drain]\ntimeot = "1h"\n')
    result = await shell.run("check", "config.toml")
    assert (result.exit_code, result.out) == (2, "")
    assert "config.toml:5: drain.timeot" in result.err
    assert "drain.timeout" in result.err
    problems = (await shell.run("check", "config.toml", "--json")).json["problems"]
    assert [p["line"] for p in problems if p["key"] == "drain.timeot"] == [5]
    assert (await shell.run("check", "nope.toml")).exit_code == 2


async def test_the_report_of_a_swap(shell: Shell, door: FakeDoor) -> None:
    result = await shell.run("report")
    assert (result.exit_code, result.err) == (0, "")
    assert result.out == "Swap 2 of the door main: v1#1 → v2#2, switched\n"
    assert door.calls[-1:] == [("report", "main", None, "text")]
    assert (await shell.run("report", "1", "--json")).json["cut"] == 3
    assert door.calls[-1:] == [("report", "main", 1, "json")]
    picture = await shell.run("report", "1", "--svg", "-")
    assert picture.out == "<svg xmlns='http://www.w3.org/2000/svg'/>\n"
    unknown = await shell.run("report", "9")
    assert (unknown.exit_code, unknown.out) == (1, "")
    assert unknown.err == "frontdoor: there is no report of swap 9 of the door main: there is 1\n"
    door.reported.clear()
    assert (await shell.run("report", "--list")).err == "no swap yet: each one leaves a report\n"


async def test_a_list_of_reports(shell: Shell, door: FakeDoor) -> None:
    head, newest, oldest = (await shell.run("report", "--list")).out.splitlines()
    assert head.split() == ["SWAP", "WHEN", "WHAT", "FROM", "TO", "OUTCOME", "TOOK", "CUT"]
    assert newest.split()[3:] == ["swap", "v1#2", "v2#3", "switched", "12", "m", "3", "s", "3"]
    assert oldest.split()[0] == "1"
    assert (await shell.run("report", "--list", "--json")).json["reports"][0]["number"] == 2
    for wrong in (["--list", "1"], ["--list", "--svg", "x"], ["--json", "--svg", "x"], ["0"]):
        assert (await shell.run("report", *wrong)).exit_code == 2, wrong
