"""The command line as a person or a script meets it: a folder, and processes that are started in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import trio


@dataclass
class Result:
    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Shell:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.socket = f"{folder}/run/control.sock"
        names = ("PATH", "HOME", "LANG", "COVERAGE_PROCESS_START")
        self.env = {name: os.environ[name] for name in names if name in os.environ}

    def write_config(self, text: str = "", name: str = "config.toml") -> None:
        os.makedirs(f"{self.folder}/run", exist_ok=True)
        with open(f"{self.folder}/{name}", "w") as file:
            file.write(text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "frontdoor", *arguments]

    async def run(self, *arguments: str, **env: str) -> Result:
        """Run `frontdoor` with these arguments to its end."""
        with trio.fail_after(30):
            done = await trio.run_process(
                self.command(*arguments),
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd=self.folder,
                env={**self.env, **env},
            )
        result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in result.err
        return result

    async def start(self, *arguments: str) -> Running:
        """Start `frontdoor` and let it run."""
        process = await trio.lowlevel.open_process(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self.env,
        )
        return Running(process)


class Running:
    """A command under way. What it prints is read as a test asks for it."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.out = ""
        self.err = ""

    async def err_until(self, text: str) -> None:
        assert self.process.stderr is not None
        with trio.fail_after(30):
            while text not in self.err:
                data = await self.process.stderr.receive_some()
                assert data, f"it ended, and never said {text!r} but {self.err!r}"
                self.err += data.decode()

    async def out_until(self, text: str) -> None:
        assert self.process.stdout is not None
        with trio.fail_after(30):
            while text not in self.out:
                data = await self.process.stdout.receive_some()
                assert data, f"it ended, and never said {text!r} but {self.out!r} {self.err!r}"
                self.out += data.decode()

    async def end(self) -> Result:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with trio.fail_after(30):
            async for data in self.process.stdout:
                self.out += data.decode()
            async for data in self.process.stderr:
                self.err += data.decode()
            code = await self.process.wait()
            await self.process.stdout.aclose()
            await self.process.stderr.aclose()
        assert "Traceback" not in self.err
        return Result(code, self.out, self.err)
