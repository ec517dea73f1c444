"""In a process of its own, the launcher, since a fork copies whatever the test runner has: threads, handlers, files."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from keeper.watching import alive, until

LAUNCHER = """
import json, os, resource, signal, socket, sys
from frontdoor.keeper.identity import look_up
from frontdoor.keeper.spawn import Program, SpawnError, become_subreaper, start

exec(sys.argv[1])
for line in sys.stdin:
    order = json.loads(line)
    wait = order.pop("wait", True)
    order["identity"] = look_up(order.pop("user", ""), order.pop("group", ""))
    read, write = os.pipe2(os.O_CLOEXEC)
    before = len(os.listdir("/proc/self/fd"))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    answer = {}
    try:
        pid = answer["pid"] = start(Program(output=write, **{"env": {}, **order}))
    except SpawnError as error:
        answer["error"] = str(error)
        os.close(write)
    else:
        os.close(write)
        if wait:
            with open(read, "rb", closefd=False) as output:
                answer["output"] = output.read().decode()
            answer["status"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            answer["output"] = os.read(read, 4096).decode()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask, "the launcher's own mask is what it was"
    os.close(read)
    answer["leaked"] = len(os.listdir("/proc/self/fd")) - before + 2
    print(json.dumps(answer), flush=True)
"""

HANDS_OVER = """
os.set_inheritable(os.open("/etc/hostname", os.O_RDONLY), True)
os.dup2(os.open("/etc/passwd", os.O_RDONLY), 50)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGRTMIN + 3, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])
os.environ.update(NOTIFY_SOCKET="/run/s", LISTEN_FDS="1", LISTEN_PID="1", WATCHDOG_USEC="9", KEPT="yes", CHANGED="old")
"""


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start something as another user")


class Launcher:
    def __init__(self, preparation: str = "") -> None:
        command = [sys.executable, "-c", LAUNCHER, preparation]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, *argv: str, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"argv": argv, **order}) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer.pop("leaked") == 0
        return answer

    def output(self, *argv: str, **order: Any) -> str:
        answer = self.start(*argv, **order)
        assert answer.get("status") == 0, answer
        return str(answer["output"])

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    it = Launcher(HANDS_OVER)
    yield it
    it.close()


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fd-") as path:
        yield path


def script(folder: str, text: str, mode: int = 0o755) -> str:
    path = f"{folder}/program"
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    return path


def test_it_runs_the_command_and_its_output_comes_through(launcher: Launcher) -> None:
    done = launcher.start("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done["output"], done["status"]) == ("out\nerr\n", 3)


def test_arguments_are_never_read_by_a_shell(launcher: Launcher) -> None:
    assert launcher.output("echo", "$HOME; `id`", "*") == "$HOME; `id` *\n"


def test_it_leads_a_session_and_a_group_of_its_own(launcher: Launcher) -> None:
    words = launcher.output("sh", "-c", "echo $$; cat /proc/$$/stat").split()
    pid, parent, group, session, terminal = words[0], *words[4:8]
    assert int(parent) == launcher.process.pid
    assert (group, session, terminal) == (pid, pid, "0")


def test_it_inherits_no_descriptor(launcher: Launcher) -> None:
    listing = launcher.output("sh", "-c", "ls -l /proc/$$/fd").splitlines()
    found = dict(line.split()[-3::2] for line in listing if "->" in line)  # "… 2 -> pipe:[7]"
    assert found["0"] == "/dev/null"
    assert found["1"].startswith("pipe:")
    assert found == {"0": "/dev/null", "1": found["1"], "2": found["1"]}


def test_a_descriptor_that_it_is_to_keep_stays_under_its_number(launcher: Launcher) -> None:
    assert launcher.output("sh", "-c", "ls -l /proc/$$/fd", keep=[50]).count("/etc/passwd") == 1


def test_its_stdin_can_be_given(launcher: Launcher) -> None:
    assert launcher.output("cat", stdin=50).startswith("root:")
    assert launcher.output("cat") == "", "else it is empty"


SHOWS_WHAT_IT_WAS_PASSED = """
import os, socket
with socket.socket(fileno=3) as listener:
    print(listener.getsockname(), listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
print({name: value for name, value in os.environ.items() if name.startswith("LISTEN_")} | {"LISTEN_PID": 0})
print(int(os.environ["LISTEN_PID"]) == os.getpid(), len(os.listdir("/proc/self/fd")))
"""


@pytest.mark.parametrize("number", [3, 4, 60])
def test_a_listener_is_passed_as_from_systemd(number: int, folder: str) -> None:
    """Whatever its number here, and whatever has the number that it is to have."""
    it = Launcher(
        f"""
os.environ["LISTEN_FDS"] = "5"
listener = socket.socket(socket.AF_UNIX)
listener.bind({folder + "/s"!r})
listener.listen()
if listener.fileno() != {number}:
    os.dup2(listener.detach(), {number})
    {number} == 3 or os.closerange(3, {min(number, 4)})
"""
    )
    shown = it.output(sys.executable, "-c", SHOWS_WHAT_IT_WAS_PASSED, listener=number, env={"LISTEN_FDS": "9"})
    assert shown.splitlines() == [
        f"{folder}/s 1",
        str({"LISTEN_FDS": "1", "LISTEN_PID": 0, "LISTEN_FDNAMES": "frontdoor"}),
        "True 4",  # stdin, stdout, stderr, and the listing itself: the socket was closed by then
    ]
    it.close()


def test_signals_are_as_a_program_expects_them(launcher: Launcher) -> None:
    status = dict(
        line.split(":\t") for line in launcher.output("cat", "/proc/self/status").splitlines() if ":\t" in line
    )
    # Ignored in the launcher: SIGPIPE and SIGXFSZ (by Python), SIGHUP, a real-time one. Blocked: SIGTERM, SIGUSR2.
    assert {name: int(status[name], 16) for name in ("SigIgn", "SigBlk", "SigPnd", "ShdPnd")} == {
        "SigIgn": 0,
        "SigBlk": 0,
        "SigPnd": 0,
        "ShdPnd": 0,
    }


def test_the_environment_is_laid_over_the_launchers_own(launcher: Launcher) -> None:
    env = dict(
        line.split("=", 1)
        for line in launcher.output("env", env={"CHANGED": "new", "OWN": "a=b", "EMPTY": ""}).splitlines()
    )
    assert (env["KEPT"], env["CHANGED"], env["OWN"], env["EMPTY"]) == ("yes", "new", "a=b", "")
    assert env["PATH"] == os.environ["PATH"]


def test_what_systemd_says_to_frontdoor_is_not_passed_on(launcher: Launcher) -> None:
    env = launcher.output("env")
    for name in ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC"):
        assert f"{name}=" not in env
    assert "NOTIFY_SOCKET=/own\n" in launcher.output("env", env={"NOTIFY_SOCKET": "/own"})


def test_it_starts_in_its_folder(launcher: Launcher, folder: str) -> None:
    script(folder, "#!/bin/sh\npwd\n")
    assert launcher.output("./program", cwd=folder) == f"{os.path.realpath(folder)}\n"


def test_its_own_path_is_searched(launcher: Launcher, folder: str) -> None:
    script(folder, "#!/bin/sh\necho found\n")
    assert launcher.output("program", env={"PATH": f"{folder}:{os.environ['PATH']}"}) == "found\n"


def test_the_limit_of_open_files_is_restored(launcher: Launcher) -> None:
    assert launcher.output("sh", "-c", "ulimit -Sn; ulimit -Hn", nofile=[100, 200]) == "100\n200\n"


SHOWS_WHO_IT_IS = """
grep -E '^(Uid|Gid|Groups|CapEff|CapPrm):' /proc/$$/status | tr -s '\t ' ' '
echo $HOME $USER $LOGNAME $SHELL
echo logged > /dev/stdout
"""


@needs_root
class TestAnotherUser:
    def test_it_is_that_user_for_good(self, launcher: Launcher) -> None:
        daemon = pwd.getpwnam("daemon")
        groups = " ".join(str(number) for number in sorted(os.getgrouplist("daemon", daemon.pw_gid)))
        assert [line.strip() for line in launcher.output("sh", "-c", SHOWS_WHO_IT_IS, user="daemon").splitlines()] == [
            "Uid:" + f" {daemon.pw_uid}" * 4,  # real, effective, saved, of the file system: no way back to root
            "Gid:" + f" {daemon.pw_gid}" * 4,
            f"Groups: {groups}",
            "CapPrm: 0000000000000000",
            "CapEff: 0000000000000000",
            f"{daemon.pw_dir} daemon daemon {daemon.pw_shell}",
            "logged",
        ]

    def test_the_group_can_be_another_one(self, launcher: Launcher) -> None:
        assert launcher.output("id", "-un", user="daemon", group="sys") == "daemon\n"
        assert launcher.output("id", "-gn", user="daemon", group="sys") == "sys\n"

    def test_a_group_alone_changes_the_group_alone(self, launcher: Launcher) -> None:
        assert launcher.output("id", group="sys") == "uid=0(root) gid=3(sys) groups=3(sys)\n"

    def test_what_the_config_says_of_its_environment_goes_before(self, launcher: Launcher) -> None:
        assert "HOME=/elsewhere\n" in launcher.output("env", user="daemon", env={"HOME": "/elsewhere"})

    def test_its_folder_is_its_own(self, launcher: Launcher, folder: str) -> None:
        os.mkdir(f"{folder}/g1", 0o700)
        os.chmod(folder, 0o711)
        launcher.output("touch", f"{folder}/g1/0.sock", user="daemon", folder=f"{folder}/g1")
        assert os.stat(f"{folder}/g1").st_uid == os.stat(f"{folder}/g1/0.sock").st_uid == pwd.getpwnam("daemon").pw_uid
        assert "No such file" in launcher.start("true", user="daemon", folder=f"{folder}/g2")["error"]

    def test_what_is_closed_to_it_is_said(self, launcher: Launcher, folder: str) -> None:
        assert launcher.start("true", user="daemon", cwd=folder) == {
            "error": f"it cannot be started in the folder {folder}: Permission denied"
        }

    def test_it_dies_with_its_parent_all_the_same(self) -> None:
        it = Launcher()
        pid = it.start("sh", "-c", "echo ready; exec sleep 1000", wait=False, user="daemon")["pid"]
        os.kill(it.process.pid, signal.SIGKILL)
        until(lambda: not alive(pid), "that it died with its parent")
        it.close()

    def test_only_root_can_do_it(self) -> None:
        it = Launcher("os.setresuid(65534, 65534, 65534)")
        assert it.start("true", user="daemon", group="sys") == {
            "error": "only root can start it as user daemon and group sys, and frontdoor does not run as root"
        }
        it.close()


class TestRefusals:
    """In words that somebody who has written a wrong config understands."""

    def test_command_not_found(self, launcher: Launcher) -> None:
        assert launcher.start("frontdoor-no-such-command") == {"error": "command not found: frontdoor-no-such-command"}
        assert launcher.start("/no/such/command") == {"error": "command not found: /no/such/command"}

    def test_not_executable(self, launcher: Launcher, folder: str) -> None:
        path = script(folder, "#!/bin/sh\n", mode=0o644)
        assert launcher.start(path) == {"error": f"not allowed to run {path} (is it executable?)"}

    def test_a_folder(self, launcher: Launcher, folder: str) -> None:
        assert launcher.start(folder, cwd=folder) == {"error": f"not allowed to run {folder} (is it executable?)"}

    def test_neither_a_script_nor_a_binary(self, launcher: Launcher, folder: str) -> None:
        path = script(folder, "no first line that names an interpreter")
        assert launcher.start(path) == {"error": f"{path}: [Errno 8] Exec format error: '{path}'"}

    def test_folder_missing(self, launcher: Launcher) -> None:
        assert launcher.start("true", cwd="/no/such") == {"error": "the folder to start it in does not exist: /no/such"}

    def test_folder_is_a_file(self, launcher: Launcher) -> None:
        assert launcher.start("true", cwd="/etc/passwd") == {
            "error": "it cannot be started in the folder /etc/passwd: Not a directory"
        }

    def test_no_command_at_all(self, launcher: Launcher) -> None:
        assert launcher.start() == {"error": "there is no command to start"}

    def test_a_variable_that_is_no_text(self, launcher: Launcher) -> None:
        assert "expected str" in launcher.start("true", env={"A": 5})["error"]
        assert "null" in launcher.start("true", env={"A": "a\0b"})["error"]

    def test_a_reason_that_is_not_utf_8(self, launcher: Launcher) -> None:
        assert launcher.start(os.fsdecode(b"/no/\xff"))["error"] == "command not found: /no/?"

    def test_a_very_long_reason_is_cut(self, launcher: Launcher) -> None:
        assert len(launcher.start("/no/" + "x" * 100_000)["error"]) <= 4000


def test_it_dies_with_its_parent() -> None:
    it = Launcher()
    pid = it.start("sh", "-c", "trap '' TERM HUP; echo ready; exec sleep 1000", wait=False)["pid"]
    until(lambda: alive(pid))
    os.kill(it.process.pid, signal.SIGKILL)
    until(lambda: not alive(pid), "that it died with its parent")
    it.close()


def test_the_death_signal_can_be_one_that_it_handles() -> None:
    it = Launcher()
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        command = f"trap 'echo bye > {folder}/last; exit' TERM; echo ready; while :; do sleep 0.01; done"
        pid = it.start("sh", "-c", command, wait=False, death_signal=int(signal.SIGTERM))["pid"]
        os.kill(it.process.pid, signal.SIGKILL)
        until(lambda: not alive(pid))
        with open(f"{folder}/last") as file:
            assert file.read() == "bye\n"
    it.close()


COUNTS_SIGNALS = """
woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
signal.set_wakeup_fd(wake)
signal.signal(signal.SIGUSR1, lambda *_: None)
os.setpgid(0, 0)

import frontdoor.keeper.spawn as spawn
become = spawn._become
def slowly(program, parent, failed):
    # In the child, before its setsid: the group is signalled, as by a Ctrl-C at the terminal.
    os.killpg(os.getpgid(0), signal.SIGUSR1)
    become(program, parent, failed)
spawn._become = slowly

import atexit
atexit.register(lambda: print(len(os.read(woken, 100)), flush=True))
"""


def test_a_signal_that_reaches_the_child_before_it_has_its_own_session_is_not_counted_twice() -> None:
    it = Launcher(
        COUNTS_SIGNALS + "import atexit; atexit.register(lambda: print(len(os.read(woken, 100)), flush=True))"
    )
    assert it.output("echo", "unharmed") == "unharmed\n"
    assert it.process.stdin is not None
    assert it.process.stdout is not None
    it.process.stdin.close()
    assert it.process.stdout.read() == "1\n"
    it.close()
