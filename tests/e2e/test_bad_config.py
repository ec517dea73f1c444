"""Configs that are not valid, and places where nothing can be served: one clear line, the right code, nothing left."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable

import pytest

from e2e.harness import Frontdoor, greeter

Prepare = Callable[..., Frontdoor]

MISTAKES = """\
listen = ["127.0.0.1:0"]
active = "v1"
protcol = "tcp"

[backends."*"]
command = "python app.py"
processes = 0

[drain]
timeot = "1h"
shutdown_timeout = 30

[swap]
bake = "never"
"""


def test_every_mistake_is_named_with_its_key_and_line(prepare: Prepare) -> None:
    door = prepare()
    door.write(MISTAKES)
    checked = door.run("check", "config.toml")
    assert (checked.returncode, checked.stdout) == (2, "")
    lines = checked.stderr.splitlines()
    expected = [
        ("config.toml:3: protcol: ", "the nearest known one is protocol"),
        ('config.toml:6: backends."*".command: ', "never a shell line"),
        ('config.toml:7: backends."*".processes: ', "1"),
        ("config.toml:10: drain.timeot: ", "the nearest known one is drain.timeout"),
        ("config.toml:11: drain.shutdown_timeout: ", '"30s"'),
        ("config.toml:14: swap.bake: ", 'cannot be "never"'),
    ]
    assert len(lines) == len(expected), lines
    for line, (place, hint) in zip(lines, expected, strict=True):
        assert place in line
        assert hint in line

    assert door.launch().ends() == 2
    assert "".join(door.messages).count("config.toml:") == len(expected)
    for line in lines:
        assert line.partition("config.toml:")[2] in door.log_text
    assert not os.path.exists(door.path("run"))


def test_check_says_when_all_is_well(prepare: Prepare) -> None:
    door = prepare()
    checked = door.run("check", "config.toml")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "config.toml is valid\n", "")
    assert not os.path.exists(door.path("run")), "it starts and makes nothing"


@pytest.mark.parametrize("verb", ["check", "serve"])
def test_a_config_that_is_not_there(prepare: Prepare, verb: str) -> None:
    refused = prepare().run(verb, "nowhere.toml")
    assert refused.returncode == 2
    assert "nowhere.toml" in refused.stderr
    assert "no such file" in refused.stderr.lower()
    assert len(refused.stderr.splitlines()) == 1


def test_a_config_that_is_not_toml(prepare: Prepare) -> None:
    door = prepare()
    door.write('listen = ["127.0.0.1:0"\nactive = "v1"\n')
    checked = door.run("check", "config.toml")
    assert checked.returncode == 2
    assert "config.toml:2: " in checked.stderr
    assert door.launch().ends() == 2
    assert "config.toml:2: " in door.log_text
    assert len(door.messages) == 1


def test_an_active_version_that_nobody_knows(prepare: Prepare) -> None:
    door = prepare()
    door.write('listen = ["127.0.0.1:0"]\nactive = "v2"\n[backends.v1]\ncommand = ["app"]\n')
    assert door.launch().ends() == 2
    (line,) = door.messages
    assert "config.toml:2: active: " in line
    assert "v2" in line
    assert "v1" in line


def test_a_first_version_that_does_not_become_ready(prepare: Prepare) -> None:
    door = prepare(backends={"v1": {"command": greeter("--say", "no module named 'app'", "--exit", "3")}})
    assert door.launch().ends() == 4
    (_, output) = messages = door.messages
    assert messages[0] == (
        "frontdoor: v1#1 did not become ready (it exited with code 3 before it was ready); nothing serves. "
        "Its last output:"
    )
    assert "no module named 'app'" in output


# -- the public address --------------------------------------------------------------------------------------------


def test_a_port_that_is_in_use(prepare: Prepare) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        door = prepare(listen=[address])
        assert door.launch().ends() == 1
        why = "something else listens there. Stop that, or choose another address in `listen`"
        assert door.messages == [f"frontdoor: cannot listen on {address}: {why}"]
    assert os.listdir(door.path("run")) == []
    assert door.start().connect().generation == "v1#1", "and when it is free, it works"


def test_a_listening_unix_socket_with_a_path_that_is_too_long(prepare: Prepare) -> None:
    door = prepare(listen=[f"unix:{'x' * 120}"])
    checked = door.run("check", "config.toml")
    assert checked.returncode == 2
    assert "config.toml:1: listen: " in checked.stderr
    assert "107" in checked.stderr


def test_a_file_where_the_unix_socket_should_be_is_left_alone(prepare: Prepare) -> None:
    door = prepare(listen=["unix:public"])
    door.write("precious", "public")
    assert door.launch().ends() == 1
    (line,) = door.messages
    assert "it is not a socket" in line
    with open(door.path("public")) as file:
        assert file.read() == "precious"


def test_a_unix_address_serves_and_its_file_goes_with_it(prepare: Prepare) -> None:
    door = prepare(listen=["unix:public"]).start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(door.path("public"))
        assert client.recv(100).startswith(b"v1#1")
    door.signal(signal.SIGTERM)
    assert door.ends() == 0
    assert not os.path.exists(door.path("public"))


# -- the runtime folder --------------------------------------------------------------------------------------------


def test_a_runtime_folder_with_a_path_that_is_too_long(prepare: Prepare) -> None:
    door = prepare(frontdoor={"runtime_dir": "x" * 100})
    checked = door.run("check", "config.toml")
    assert checked.returncode == 2
    assert "frontdoor.runtime_dir: " in checked.stderr
    assert "107" in checked.stderr
    assert door.launch().ends() == 2
    assert len(door.messages) == 1


def test_a_file_in_the_place_of_the_runtime_folder(prepare: Prepare) -> None:
    door = prepare()
    door.write("precious", "run")
    assert door.launch().ends() == 1
    assert door.messages == [
        f"frontdoor: {door.path('run')} is not a folder: name another one as [frontdoor] runtime_dir"
    ]


def test_a_runtime_folder_that_others_may_write_into(prepare: Prepare) -> None:
    door = prepare()
    os.mkdir(door.path("run"))
    os.chmod(door.path("run"), 0o777)
    assert door.launch().ends() == 1
    (line,) = door.messages
    assert f"chmod go-w {door.path('run')}" in line
    assert os.listdir(door.path("run")) == []


def test_a_runtime_folder_that_cannot_be_written(prepare: Prepare) -> None:
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        # What root may do regardless of the mode is one capability; without it root is like everybody else.
        before = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
        if shutil.which("setpriv") is None or subprocess.run([*before, "true"], capture_output=True).returncode:
            pytest.skip("root may write everywhere here, and setpriv cannot take that right away")
    door = prepare()
    os.mkdir(door.path("run"), 0o555)
    assert door.launch(*before).ends() == 1
    (line,) = door.messages
    assert door.path("run") in line
    assert "not writable" in line
    assert "runtime_dir" in line, "it says what to do"


def test_a_second_serve_in_the_same_folder_is_refused_and_the_first_goes_on(prepare: Prepare) -> None:
    door = prepare().start()
    client = door.connect()
    refused = door.run("serve", "config.toml")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"frontdoor: another frontdoor (pid {door.pid}) runs in {door.path('run')}, and goes on: "
        "stop it with `frontdoor stop`, or name another folder as [frontdoor] runtime_dir\n"
    )
    assert client.ask("still there?") == "still there?"
    assert door.run("status").returncode == 0
    assert json.loads(door.run("status", "--json").stdout)["pid"] == door.pid
