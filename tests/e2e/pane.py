"""A terminal in which somebody types: a shell in tmux, and what can be seen there."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from typing import TypeVar

import pytest

from e2e.harness import COMMAND, environment, until

T = TypeVar("T")

TMUX = shutil.which("tmux")

needs_tmux = pytest.mark.skipif(TMUX is None, reason="tmux is not installed: apt-get install tmux")

PROMPT = "ready>"


class Pane:
    """A shell of its own, in a tmux server of its own."""

    def __init__(self, width: int = 80, height: int = 24, **env: str) -> None:
        self._folder = tempfile.mkdtemp(prefix="fdt")
        kept = environment(**env)
        for name in {"NO_COLOR", "COLORTERM", "TMUX", "LINES", "COLUMNS"} - env.keys():
            kept.pop(name, None)
        if kept.get("LC_ALL", kept.get("LANG", "C")) in ("C", "POSIX"):
            kept["LC_ALL"] = "C.UTF-8"
        with open(f"{self._folder}/tmux.conf", "w") as file:
            file.write('set -g status off\nset -g default-terminal "screen-256color"\n')
        size = ("-x", str(width), "-y", str(height))
        self._ask("-f", f"{self._folder}/tmux.conf", "new-session", "-d", *size, "sh", env=kept)
        try:
            until(lambda: self.text.strip(), "the shell asks")
            self.run(f"PS1='{PROMPT[:1]}''{PROMPT[1:]} '; clear")  # not that from the environment, if it is root's
            self.shows(PROMPT)
        except BaseException:
            self.close()
            raise

    def _ask(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        assert TMUX is not None
        command = [TMUX, "-u", "-S", f"{self._folder}/socket", *arguments]
        # Not in the folder of a test: it looks for what runs there.
        done = subprocess.run(command, env=env, cwd=self._folder, capture_output=True, text=True, check=True)
        return done.stdout

    @property
    def rows(self) -> list[str]:
        """What is on the screen, without the blanks at the right."""
        return self._ask("capture-pane", "-p").split("\n")[:-1]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    @property
    def styled(self) -> str:
        """The same with its colours, as a terminal is told them (SGR)."""
        return self._ask("capture-pane", "-p", "-e")

    @property
    def history(self) -> str:
        """With what has left the screen at its top, and with rows that were wrapped in one."""
        return self._ask("capture-pane", "-p", "-J", "-S", "-")

    def shows(self, text: str) -> str:
        """Wait until that is on the screen; all that is."""
        return self._becomes(lambda: self.text if text in self.text else "", f"{text!r} is shown")

    def shows_not(self, text: str) -> None:
        """Wait until that is not on the screen any more."""
        self._becomes(lambda: text not in self.text, f"{text!r} is gone")

    def _becomes(self, look: Callable[[], T], what: str) -> T:
        try:
            return until(look, what)
        except AssertionError as error:
            raise AssertionError(f"{error}, but:\n{self.text}") from None

    def press(self, *keys: str) -> None:
        """Press keys, by the names that tmux(1) has for them."""
        self._ask("send-keys", *keys)

    def type(self, text: str) -> None:
        self._ask("send-keys", "-l", text)

    def paste(self, text: str) -> None:
        """Paste it as a terminal does whose program has asked for bracketed paste."""
        self._ask("set-buffer", text)
        self._ask("paste-buffer", "-p")

    def resize(self, width: int, height: int) -> None:
        self._ask("resize-window", "-x", str(width), "-y", str(height))

    def run(self, line: str) -> None:
        """Type a command line."""
        self.type(line)
        self.press("Enter")

    def top(self, control: str, *options: str) -> None:
        """`frontdoor top` of that control socket; its exit code is printed after it as ``ended: 0``."""
        self.run(" ".join([COMMAND, "top", "--control", control, *options, "; echo ended: $?"]))
        self.shows("is active")  # the first state has come

    def ended(self) -> str:
        """Wait for its end; the screen, without the prompt."""
        found = self._becomes(lambda: re.search(r"^ended: (\d+)", self.history, re.MULTILINE), "it has ended")
        assert found is not None
        return found[1]

    @property
    def modes(self) -> str:
        """What ``stty -a`` says of its terminal."""
        with open(self._value("pane_tty")) as tty:
            return subprocess.run(["stty", "-a"], stdin=tty, capture_output=True, text=True, check=True).stdout

    @property
    def is_clean(self) -> bool:
        """The first screen, with a cursor, and with lines that wrap."""
        return [self._value(flag) for flag in ("alternate_on", "cursor_flag", "wrap_flag")] == ["0", "1", "1"]

    @property
    def is_taken(self) -> bool:
        return [self._value(flag) for flag in ("alternate_on", "cursor_flag", "wrap_flag")] == ["1", "0", "0"]

    def _value(self, name: str) -> str:
        return self._ask("display-message", "-p", f"#{{{name}}}").strip()

    @property
    def pid(self) -> int:
        """Of the program that runs in it: the shell's child."""
        shell = self._value("pane_pid")

        def children() -> str:
            with open(f"/proc/{shell}/task/{shell}/children") as file:
                return file.read()

        return int(until(children, "it runs").split()[0])

    def close(self) -> None:
        """Its terminal goes away. A test may have done so already."""
        if not os.path.exists(self._folder):
            return
        with contextlib.suppress(subprocess.CalledProcessError):
            self._ask("kill-server")
        shutil.rmtree(self._folder, ignore_errors=True)


def cpu_ns(pid: int) -> int:
    """What all threads of a process have used so far, in nanoseconds (proc(5), schedstat)."""
    used = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as file:
            used += int(file.read().split()[0])
    return used
