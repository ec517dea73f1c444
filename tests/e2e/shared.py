"""A frontdoor that tests share, and that each of them finds as if it had just been started."""

import os
import shutil
from collections.abc import Mapping
from typing import Any, Self

from e2e.harness import Frontdoor, door_table, toml, until
from frontdoor.control.dial import ControlError

_KEPT = ("config.toml", "run", "serve.log")


class Shared(Frontdoor):
    """It has one door, another one for each test: a reload is a tenth of a start.

    What is frontdoor's own and no door's lives on: its processes, however often a test has killed them. After a test
    that has stopped it, the next one starts it.
    """

    def __init__(self, *, env: Mapping[str, str] | None = None, **tables: Any) -> None:
        """``tables``: what is beside the door, in all tests; ``env``: what it is started with."""
        super().__init__("")
        self._env = env or {}
        self._tables = tables
        self._count = 0
        self._name = ""

    def anew(self, **changes: Any) -> Self:
        """It has a door of greeters with these changes, whose first generation is v1#1. Its log is empty."""
        self._count += 1
        self._name = f"door{self._count}"
        self._address = None
        self.change(**changes)
        if self._serve is None:
            return self.start(**self._env)
        frontdoors = {self.pid, self.control.ask("/v1/status")["door_pid"]}
        self._empty_the_log()
        old = self.processes().keys() - frontdoors
        outcome = self.outcome("/v1/reload", {})
        assert outcome["exit_code"] == 0, outcome
        until(lambda: not old & self.processes().keys(), "the backends of the test before are gone")
        until(self._is_empty, "and its streams and its door")
        return self

    def change(self, **changes: Any) -> None:
        """Write a config in which its door is one of greeters with these changes."""
        self.write(toml({**self._tables, "doors": {self._name: door_table(**changes)}}))

    def _is_empty(self) -> bool:
        whole = self.control.ask("/v1/status")
        return len(whole["doors"]) == 1 and not whole["vault"]["streams"]

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Without what the door of the test before has still said."""
        return [entry for entry in super().logged(event, **fields) if entry.get("door", self._name) == self._name]

    def leave(self) -> None:
        """A test has ended: nothing of it may be in the way of the next, whatever has become of it."""
        try:
            self.hang_up()
            for command in self._commands:
                command.close()
            self._look_back()
            if not self._is_at_rest():
                self._end()
        except BaseException:
            self._end()
            raise
        finally:
            self._commands.clear()
            self.excused.clear()
            for name in set(os.listdir(self.folder)) - set(_KEPT):
                path = self.path(name)
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def _is_at_rest(self) -> bool:
        """Whether it serves, and no swap is under way."""
        if self._serve is None or self._serve.poll() is not None:
            return False
        try:
            until(lambda: not self.status()["swap"], "no swap is under way")
        except ControlError:
            return False  # it is about to stop
        return True

    def _end(self) -> None:
        self._kill()
        self._serve = None
        shutil.rmtree(self.path("run"), ignore_errors=True)
        self._empty_the_log()

    def _empty_the_log(self) -> None:
        if os.path.exists(self._log):
            os.truncate(self._log, 0)  # whoever writes there appends
        self._entries.clear()
        self._read = 0
