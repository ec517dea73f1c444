"""A keeper of protocol 1, as small as it can be: what runs when frontdoor is older than the code on disk.

Run in front of ``frontdoor serve CONFIG``, it is that instead, with the door process that is installed now.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from typing import Any

from frontdoor.keeper.listeners import open_listeners

PROTOCOL = 1
CONFIG = os.path.abspath(sys.argv[-1])


class Earlier:
    """Key → note and descriptors; key → child; and one door process after the other."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Any, list[int]]] = {}
        self.children: dict[str, dict[str, Any]] = {}
        self.code: int | None = None
        self.signals, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def run(self) -> int:
        while self.code is None:
            self.wire, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            argv = [sys.executable, "-P", "-m", "frontdoor.door", str(theirs.fileno()), CONFIG]
            door = subprocess.Popen(argv, pass_fds=[theirs.fileno()], start_new_session=True)
            theirs.close()
            while door.poll() is None:
                self.turn()
            self.wire.close()
        for child in self.children.values():
            if not child["gone"]:
                os.killpg(child["pid"], signal.SIGKILL)
        return self.code

    def turn(self) -> None:
        ready, _, _ = select.select([self.wire.fileno(), self.signals], [], [], 0.5)
        if self.signals in ready:
            for number in os.read(self.signals, 4096):
                if number == signal.SIGCHLD:
                    self.reap()
                else:
                    self.say({"op": "signal", "number": number})
        if self.wire.fileno() in ready:
            try:
                data, ancillary, _, _ = self.wire.recvmsg(1 << 18, socket.CMSG_SPACE(4 * 253), socket.MSG_CMSG_CLOEXEC)
            except ConnectionResetError:
                data, ancillary = b"", []
            if not data:
                time.sleep(0.01)  # it is dead, and is about to be seen
                return
            fds = [
                int.from_bytes(of[at : at + 4], sys.byteorder) for _, _, of in ancillary for at in range(0, len(of), 4)
            ]
            self.answer(json.loads(data), fds)

    def say(self, body: dict[str, Any], fds: list[int] | None = None) -> None:
        try:
            socket.send_fds(self.wire, [json.dumps(body).encode(errors="surrogatepass")], fds or [])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has just died

    def answer(self, body: dict[str, Any], fds: list[int]) -> None:
        try:
            known = ("hello", "listen", "put", "note", "drop", "spawn", "signal", "forget", "served", "bye")
            if body["op"] not in known:
                raise ValueError(f"no operation is called {body['op']!r}")
            answer, handed_out = getattr(self, body["op"])(body, fds)
        except Exception as error:
            answer, handed_out = {"error": f"{type(error).__name__}: {error}", "errno": None}, []
        if isinstance(body.get("id"), int):
            self.say({"re": body["id"], **answer}, handed_out)

    def hello(self, body: dict[str, Any], fds: list[int]) -> Any:
        if body["protocol"] != PROTOCOL:
            raise ValueError(f"this keeper speaks protocol {PROTOCOL}, not {body['protocol']}")
        for key, (note, kept) in self.kept.items():
            self.say({"op": "held", "key": key, "note": note, "first": 0}, kept)
        for child in self.children.values():
            self.say({"op": "child", **child})
        return {"protocol": PROTOCOL, "pid": os.getpid(), "since": time.monotonic()}, []

    def listen(self, body: dict[str, Any], fds: list[int]) -> Any:
        if body["key"] not in self.kept:
            opened = [sock.detach() for sock in open_listeners(body["address"], mode=body.get("mode"))]
            self.kept[body["key"]] = (body.get("note"), opened)
        return {}, self.kept[body["key"]][1]

    def put(self, body: dict[str, Any], fds: list[int]) -> Any:
        self._drop(body["key"])
        self.kept[body["key"]] = (body.get("note"), fds)
        return {}, []

    def note(self, body: dict[str, Any], fds: list[int]) -> Any:
        _, kept = self.kept.get(body["key"], (None, []))
        self.kept[body["key"]] = (body.get("note"), kept)
        return {}, []

    def drop(self, body: dict[str, Any], fds: list[int]) -> Any:
        return {"dropped": [key for key in body["keys"] if self._drop(key)]}, []

    def _drop(self, key: str) -> bool:
        if key not in self.kept:
            return False
        for fd in self.kept.pop(key)[1]:
            os.close(fd)
        return True

    def spawn(self, body: dict[str, Any], fds: list[int]) -> Any:
        read, write = os.pipe()
        os.set_blocking(read, False)
        try:
            env = {**os.environ, **body["env"]}
            process = subprocess.Popen(
                body["argv"],
                env=env,
                cwd=body.get("cwd"),
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,
            )
        finally:
            os.close(write)
        process.returncode = 0  # it is reaped here, and not there
        child = {"key": body["key"], "pid": process.pid, "note": body.get("note"), "status": None, "gone": False}
        self.children[body["key"]] = child
        self.kept[f"output/{body['key']}"] = (None, [read])
        return {"key": body["key"], "pid": process.pid}, [read]

    def reap(self) -> None:
        for child in self.children.values():
            if child["status"] is None:
                pid, status = os.waitpid(child["pid"], os.WNOHANG)
                if pid:
                    child.update(status=os.waitstatus_to_exitcode(status), gone=True)
                    self.say({"op": "exited", **child})

    def signal(self, body: dict[str, Any], fds: list[int]) -> Any:
        child = self.children.get(body["key"])
        if child is None or child["gone"]:
            return {"sent": False}, []
        os.killpg(child["pid"], body["number"])
        return {"sent": True}, []

    def forget(self, body: dict[str, Any], fds: list[int]) -> Any:
        if self.children.get(body["key"], {}).get("gone"):
            del self.children[body["key"]]
            self._drop(f"output/{body['key']}")
        return {}, []

    def served(self, body: dict[str, Any], fds: list[int]) -> Any:
        return {}, []

    def bye(self, body: dict[str, Any], fds: list[int]) -> Any:
        self.code = body["code"]
        return {}, []


if __name__ == "__main__":
    sys.exit(Earlier().run())
